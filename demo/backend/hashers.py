"""How passwords are hashed here."""

from __future__ import annotations

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class DemoPasswordHasher(PBKDF2PasswordHasher):
    """PBKDF2 with few rounds: a login of the demo costs milliseconds, not a third of a second.

    Fit for accounts that nobody needs to protect, and for no others.
    """

    algorithm = "pbkdf2_sha256_demo"
    iterations = 20_000
