"""Django's settings, made from `options` alone."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any

from demo.backend.options import Options
from demo.backend.secret import signing_key

SEGUE_DEMO = Options.from_environ(os.environ)

DEBUG = False
SECRET_KEY = SEGUE_DEMO.secret_key or signing_key(SEGUE_DEMO.state_dir)
ALLOWED_HOSTS = list(SEGUE_DEMO.allowed_hosts)
ALLOW_JOB_PURGE = SEGUE_DEMO.allow_job_purge

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "corsheaders",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "channels",
    "demo.backend",
]
MIDDLEWARE = [
    "corsheaders.middleware.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.common.CommonMiddleware",
]
ROOT_URLCONF = "demo.backend.urls"
ASGI_APPLICATION = "demo.backend.asgi.application"

AUTH_USER_MODEL = "backend.User"
PASSWORD_HASHERS = ["demo.backend.hashers.DemoPasswordHasher"]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-us"

DATABASES: dict[str, dict[str, Any]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": SEGUE_DEMO.state_dir / "backend.sqlite3",
        "OPTIONS": {
            # A transaction that begins as a reader and turns into a writer fails at once with
            # "database is locked", whatever the timeout; one that begins as a writer waits.
            "transaction_mode": "IMMEDIATE",
            "timeout": 30,
            "init_command": "PRAGMA synchronous=NORMAL;",
        },
    }
}

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "channels.layers.InMemoryChannelLayer",
        # The layer drops what exceeds the capacity; this is far beyond the frames of one job.
        "CONFIG": {"capacity": 1_000},
    }
}

CORS_ALLOWED_ORIGINS = list(SEGUE_DEMO.cors_origins)

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["demo.backend.parsers.ShallowJSONParser"],
}

SIMPLE_JWT = {
    "ALGORITHM": "HS256",
    "ACCESS_TOKEN_LIFETIME": timedelta(seconds=SEGUE_DEMO.access_lifetime),
    "REFRESH_TOKEN_LIFETIME": timedelta(seconds=SEGUE_DEMO.refresh_lifetime),
    "ROTATE_REFRESH_TOKENS": SEGUE_DEMO.rotation,
    "BLACKLIST_AFTER_ROTATION": SEGUE_DEMO.rotation,
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    # Refused requests are what the tests of a proxy are made of; only faults are worth a line.
    "loggers": {
        "django": {"handlers": [], "level": "ERROR"},
        "django.security": {"handlers": [], "level": "CRITICAL"},
    },
}
