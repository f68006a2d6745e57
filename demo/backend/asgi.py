"""The ASGI application: Django for HTTP, Channels for WebSockets."""

from __future__ import annotations

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application
from django.utils.module_loading import import_string

application = ProtocolTypeRouter(
    {
        "http": get_asgi_application(),
        # By name, because the consumers import models, and those wait for Django to be set up.
        "websocket": import_string("demo.backend.routing.websockets"),
    }
)
