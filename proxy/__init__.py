"""Segue: a migration compatibility proxy.

It stands in front of a server that cannot be changed yet, and lets clients of every version live
with it, and with its successor, at the same time. The rooms of the house, from top to bottom;
imports go down only, rooms on one floor do not know each other, and import-linter holds them to it
(`docs/architecture.md` has the picture, and the ways of a request and of a frame):

    cli             the command line
    process         one process from its sockets down: the only room that constructs
    admin           HTTP for operators, on a listener of its own
    control         decides what serves: loads, checks and swaps snapshots
    gateway         the steps of a request; the only room that joins relay, sessions and mappings
    recording       looking at messages on their way
    relay           bytes between the two sides
    sessions        who stays logged in
    snapshot        what the control plane hands to the data plane: immutable values
    downstream      clients' connections; the one room that knows aiohttp's insides
    mapping         the mapping language, compiled to programs
    upstream        the servers, and connections to them
    configuration   text in; values, and problems with their places, out
    observability   log, metrics, what is known of one request
    storage         files and workers that keep things
    tokens          what is in a token, where it stands, and how it is kept unreadable
    websocket       RFC 6455: frames, closing, handshake
    http            RFC 9110 and 9112: fields, framing, cookies, codings
    rewriting       what the data plane and the mapping language know of each other
    versions        the client's version and cohort
    errors          whose fault it is, and what follows
    types           the smallest words

`configuration`, `mapping`, `tokens`, `websocket`, `http`, `rewriting`, `versions`, `errors`,
`types`, and the rules of sessions and of a server's health are pure: no sockets, no clock, no
files, no chance. The page to read first is `gateway/pipeline.py`.
"""
