"""The steps of a request, and the only room that joins relay, sessions and mappings.

`pipeline` is the way of every request. `forwarding` writes the head for the server, `sessions`
looks whose session it is, `token_endpoints` answers logins, refreshes and logouts, `coalescing`
asks once for all who want the same (`call` is one such question), `upgrade` opens WebSockets.
"""
