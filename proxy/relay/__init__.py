"""Bytes between the two sides, with no word of configuration, sessions or mappings.

`exchange` carries a request and its response, `hold` a response that waits for a decision,
`bodies` those that are rewritten whole; `dispatch` finds a connection to the server; `websocket`
is an open WebSocket, made of two legs (`leg`).
"""
