"""The certificate of new handshakes, exchanged while clients go on; how many there were."""

from __future__ import annotations

import ssl


class Certificate:
    """The TLS context of new handshakes, behind one that a listener can keep.

    Attributes:
        current: the newest; None where the listener speaks plain TCP.
        begun, done: handshakes that clients have begun, and those that were completed.
    """

    def __init__(self, current: ssl.SSLContext | None) -> None:
        self.current = current
        self.begun = 0
        self.done = 0

    def behind(self, outer: ssl.SSLContext | None) -> ssl.SSLContext | None:
        """Let every handshake that begins with `outer` go on with the newest context."""
        if outer is not None:
            # Called for clients that name no host too (SSL_CTX_set_tlsext_servername_callback(3)).
            outer.sni_callback = self._choose
            outer.sslobject_class = self._counted()
        return outer

    def _choose(self, handshake: ssl.SSLObject, _name: str | None, _outer: ssl.SSLContext) -> None:
        if self.current is not None:
            handshake.context = self.current

    def _counted(self) -> type[ssl.SSLObject]:
        # The loop tells nobody of a handshake that fails, or that it cuts because it is late.
        counts = self

        class Handshake(ssl.SSLObject):
            begun = False

            def do_handshake(self) -> None:
                """Go on; called until it is completed."""
                if not self.begun:
                    self.begun = True
                    counts.begun += 1
                super().do_handshake()
                counts.done += 1

        return Handshake
