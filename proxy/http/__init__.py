"""RFC 9110 and 9112, pure: what a proxy has to know of HTTP, and no word of sessions or mappings.

`headers` and `framing` are of every message; `request_head` is what a server gets; `cookies`,
`cors`, `content_coding`, `representation`, `traceparent` are of single fields; `responses` are
Segue's own; `routing` finds a route by its path, `sharing` which answers several may have.
"""
