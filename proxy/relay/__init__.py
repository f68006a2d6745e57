"""Bytes between clients and the server: streamed HTTP, WebSocket legs, and aiohttp's insides."""
