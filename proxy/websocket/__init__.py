"""RFC 6455, pure: `frames`, the `filter` of one direction, its `failures`, the `handshake`."""
