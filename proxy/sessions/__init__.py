"""Keeping users logged in: sessions, found by the tokens that clients hold, and their renewal.

From the bottom up: `record` is what is known of a session, `rules` decide, both pure; `store`
keeps records, `cache` is what this process remembers, `metrics` what it counts, `refresh_call`
presents a refresh token to the server; `repository` brings cache and store together, `lease` says
who may renew, `possession` what a client has to show; `renewals` renews, once for all who wait;
`token_exchange` is for logins, refreshes of clients and logouts, `maintenance` for what is due
without a request, `administration` for operators; `service` is what the data plane talks to, and
`opening` makes it.
"""
