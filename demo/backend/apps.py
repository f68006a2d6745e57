"""Django's name for this app."""

from __future__ import annotations

from django.apps import AppConfig


class BackendConfig(AppConfig):
    """The one app of the project; its label prefixes the tables."""

    name = "demo.backend"
    label = "backend"
