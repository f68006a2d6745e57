"""A Django server with SimpleJWT's own views where djoser puts them, as a program.

`python -m tests.support.django_tokens DIRECTORY SECONDS` prints its port, and serves until it is
ended. Access tokens live for so many seconds; there is one user, `ann`.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import django
from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application

PASSWORD = "correct horse"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 (the name it has there)
        """Nobody reads it."""


def configure(directory: Path, seconds: int) -> None:
    settings.configure(
        SECRET_KEY="a key of the tests that is long enough",
        ALLOWED_HOSTS=["*"],
        ROOT_URLCONF="tests.support.django_token_urls",
        INSTALLED_APPS=[
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "rest_framework",
            "rest_framework_simplejwt.token_blacklist",
        ],
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.sqlite3",
                "NAME": str(directory / "users.sqlite3"),
            }
        },
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
        USE_TZ=True,
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": [
                "rest_framework_simplejwt.authentication.JWTAuthentication"
            ],
            "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
        },
        SIMPLE_JWT={
            "AUTH_HEADER_TYPES": ("JWT",),
            "ACCESS_TOKEN_LIFETIME": timedelta(seconds=seconds),
            "ROTATE_REFRESH_TOKENS": True,
            "BLACKLIST_AFTER_ROTATION": True,
        },
    )


def main() -> None:
    configure(Path(sys.argv[1]), int(sys.argv[2]))
    django.setup()
    call_command("migrate", verbosity=0)
    user = get_user_model()(username="ann")
    user.set_password(PASSWORD)
    user.save()
    application = get_wsgi_application()
    with make_server("127.0.0.1", 0, application, _Server, _Handler) as server:
        sys.stdout.write(f"{server.server_port}\n")
        sys.stdout.flush()
        server.serve_forever()


if __name__ == "__main__":
    main()
