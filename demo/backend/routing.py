"""The paths of the WebSockets."""

from __future__ import annotations

from typing import Any

from channels.routing import URLRouter
from django.urls import path, re_path

from demo.backend.consumers import JobConsumer, RefusingConsumer

# Django's `path` is typed for views; Channels uses it for ASGI applications.
_watch: Any = JobConsumer.as_asgi()
_refuse: Any = RefusingConsumer.as_asgi()
_patterns: list[Any] = [path("ws/jobs/<uuid:job_id>/", _watch), re_path("", _refuse)]

websockets = URLRouter(_patterns)
