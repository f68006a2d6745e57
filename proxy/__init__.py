"""Segue: a migration compatibility proxy.

It stands in front of a server that cannot be changed yet, and lets clients of every version live
with it, and with its successor, at the same time. How it is built, from the bottom up; imports go
down only, and import-linter holds them to it:

Floor 0, the words: `values` (enums, counters) and `errors` (whose fault it is, and what follows).

Floor 1, the rules: pure functions and small state machines, text or bytes in, values out, with no
    sockets, no clock and no files. `headers`, `framing`, `codings`, `handshake`, `cors` and
    `answers` know HTTP, `sharing` which answers several may have, `trace` the field `traceparent`;
    `frames`, `faults`, `walker` and `treatment` know WebSocket messages; `versions` and `selection`
    choose the client's version; `tokens` reads the times of a JWT, `credentials` finds tokens in
    requests and bodies, `sealing` keeps them unreadable at rest; `yamltext` and `documents` read
    what people write, `notation`, `overrides`, `keys`, `settings` (with `session_settings`,
    `upstream_settings`) and `config` give it types; `mapping` compiles mapping files to programs;
    `redaction` puts placeholders into what was recorded; `histogram` counts durations.

Floor 2, the adapters: `upstream` (the servers, and connections to them), `store` (sessions at
    rest), `metrics`, `log`.

Between them and the next: `renewal`, the rules of sessions, as pure as floor 1; they speak of the
    records that a store keeps.

Floor 3, the state: `live` (the immutable snapshot that serves), `connections` (open WebSockets),
    `visits` (what is known of one request), `sessions` (who stays logged in), `recorder` (messages
    that are kept as examples), `changeover` (what gives way when a snapshot does).

Floor 4, the data plane: `gateway` is the one pipeline, and the page to read first; `relay` carries
    the bytes, `relay.dispatch` finds them a connection to the server, and `relay.takeover` is the
    one place that knows aiohttp's insides. Beside it `watch` notices changed files.

Floor 5, the view: `admin`, on a listener of its own.

Floor 6, the process: `server` (the only place that constructs), `commands` (for whoever
    writes mappings and looks after a running proxy) and `cli`.

A request's way through it: aiohttp parses it (`relay.takeover`), `gateway` takes the current
snapshot, looks whose session it is (`relay.door`), chooses version and cohort (`selection`), writes
the head for the server (`headers`), and has an `Exchange` (`relay.http`) carry request and response
over a connection that `relay.dispatch` finds; on routes with polling relief one for all who ask the
same (`relay.relief`), on those of tokens what `relay.token_routes` says.
Where the answer is `101`, the two transports become the legs of a `Relay`
(`relay.websocket`), whose frames `walker.Walker` reads and the cohort's programs (`mapping.engine`)
rewrite; no task is left for an open socket.
"""
