"""The steps of a request, and the only room that joins relay, sessions and mappings.

`pipeline` is the way of every request, as a `RequestContext` (`context`) that all steps take.
`forwarding` writes the head for the server, `sessions` looks whose session it is,
`token_endpoints` answers logins, refreshes and logouts, `rewriting` finds what is done to bodies
and messages, `sending` gets the request to a server, `coalescing` once for all who ask the same
(`call` is one such question), `upgrade` for WebSockets: each is an `open_websocket`.
"""
