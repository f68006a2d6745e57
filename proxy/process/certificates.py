"""Watching the certificates that are served: whether they are valid, and for how long still."""

from __future__ import annotations

import time
from typing import Final

from structlog.typing import FilteringBoundLogger

from proxy.errors import ConfigError, Diagnostic
from proxy.process.tls_files import ServedCertificate
from proxy.types import Publish, unpublished

_DAY: Final = 86400.0


class CertificateWatch:
    """Warns of certificates that end soon or have ended: at once, and once a day from then on."""

    def __init__(
        self,
        served: tuple[ServedCertificate, ...],
        log: FilteringBoundLogger,
        publish: Publish = unpublished,
    ) -> None:
        self._served = served
        self._log = log
        self._publish = publish
        self._next = 0.0

    def check_new(self, wanted: tuple[ServedCertificate, ...]) -> None:
        """Refuse what would be served in place of something better.

        One that is served already is not refused: whatever its time, a reload that mends something
        else must not fail because of it.

        Raises:
            ConfigError: a certificate that is new has expired, or is not valid yet.
        """
        known = {(each.path, each.fingerprint) for each in self._served}
        new = tuple(each for each in wanted if (each.path, each.fingerprint) not in known)
        problems = faults(new)
        if problems:
            raise ConfigError(problems)

    def change(self, served: tuple[ServedCertificate, ...]) -> None:
        """Watch these from now on."""
        known = {(each.path, each.fingerprint) for each in self._served}
        for each in served:
            if (each.path, each.fingerprint) not in known:
                self._publish(
                    "certificate_changed",
                    certificate=each.path,
                    fingerprint=each.fingerprint.hex(),
                    not_after=each.not_after,
                )
        self._served = served
        self._next = 0.0

    def look(self) -> None:
        """Warn, where it is time; called about once a second."""
        now = time.time()
        if now < self._next and self._next - now <= _DAY:
            return
        self._next = now + _DAY
        for each in self._served:
            problem = each.fault(now)
            if problem is not None:
                self._log.error("certificate not valid", problem=str(problem))
                self._publish("certificate_not_valid", problem=str(problem))
            elif (warning := each.warning(now)) is not None:
                self._log.warning("certificate expires soon", problem=str(warning))
                self._publish("certificate_expires_soon", problem=str(warning))


def faults(served: tuple[ServedCertificate, ...]) -> list[Diagnostic]:
    """What is wrong with the times of these."""
    now = time.time()
    return [problem for each in served if (problem := each.fault(now)) is not None]


def warnings(served: tuple[ServedCertificate, ...]) -> list[Diagnostic]:
    """Which of these end soon."""
    now = time.time()
    return [warning for each in served if (warning := each.warning(now)) is not None]
