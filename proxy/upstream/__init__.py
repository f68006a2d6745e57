"""Connections to the servers.

From the bottom up: a `target` says where a server is, `response` what it answers, `health` whether
it is to be asked. A `connection` carries one exchange after another, a `pool` keeps those to one
server, a `probe` asks it whether it is well, and the `fleet` chooses one of them all.
"""
