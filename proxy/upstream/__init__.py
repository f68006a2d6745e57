"""Connections to the server.

From the bottom up: `target` says where it is, `response` what it answers; a `connection` carries
one exchange after another, and a `pool` keeps those that wait for the next.
"""
