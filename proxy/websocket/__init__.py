"""RFC 6455, pure: `frames`, the `filter` of one direction, its `failures`, `handshake`, `closing`.

`state` is what a filter is in the middle of, in plain values.
"""
