"""Clients' connections, and the one room that knows aiohttp's insides.

`listener` makes a `connection` of each client, which reads requests one after the other (`intake`
for their bodies), within `limits`; `request` is one of them. `websockets` are the connections that
were upgraded, `certificate` is what new TLS handshakes get.
"""
