"""Keeping users logged in: sessions, found by the tokens that clients hold, and their renewal.

From the bottom up: `known` is what this process remembers, `counts` what it counts, `call` presents
a refresh token to the server; `ledger` brings memory and store together, `lease` says who may
renew, `proof` what a client has to show; `renewals` renews, once for all who wait; `routes` is for
logins, refreshes of clients and logouts, `upkeep` for what is due without a request, `oversight`
for operators; `registry` is what the data plane talks to, and `opening` makes it. The rules are not
here: `proxy.renewal` decides.
"""
