"""The certificate of new handshakes, exchanged while clients go on; how many there were."""

from __future__ import annotations

import ssl


class Certificate:
    """The TLS context of new handshakes, behind one that a listener can keep.

    Attributes:
        current: the newest; None where the listener speaks plain TCP.
        not_after: the Unix time at which it ends; None where that is not known.
        succeeded, failed: handshakes of clients that were completed, and all others that have
            ended: refused, given up, or late.
    """

    def __init__(self, current: ssl.SSLContext | None, not_after: float | None = None) -> None:
        self.current = current
        self.not_after = not_after
        self.succeeded = 0
        self.failed = 0

    def change(self, current: ssl.SSLContext | None, not_after: float | None) -> None:
        """Have new handshakes go on with another one."""
        self.current, self.not_after = current, not_after

    def for_listener(self) -> ssl.SSLContext | None:
        """A context that a listener can keep: its handshakes go on with the newest one."""
        outer = self.current
        if outer is not None:
            # Called for clients that name no host too (SSL_CTX_set_tlsext_servername_callback(3)).
            outer.sni_callback = self._choose
            outer.sslobject_class = self._counted()
        return outer

    def _choose(self, handshake: ssl.SSLObject, _name: str | None, _outer: ssl.SSLContext) -> None:
        if self.current is not None:
            handshake.context = self.current

    def _counted(self) -> type[ssl.SSLObject]:
        counts = self

        class CountedHandshake(ssl.SSLObject):
            unfinished = False

            def do_handshake(self) -> None:
                """Go on; called until it is completed."""
                self.unfinished = True
                try:
                    super().do_handshake()
                except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    raise  # It goes on when there is more to read, or room to write.
                except BaseException:
                    self._fail()
                    raise
                self.unfinished = False
                counts.succeeded += 1

            def __del__(self) -> None:
                # The loop tells nobody of a handshake that it cuts because it is late, or whose
                # client has gone: it lets go of this object.
                self._fail()

            def _fail(self) -> None:
                if self.unfinished:
                    self.unfinished = False
                    counts.failed += 1

        return CountedHandshake
