"""The mapping language: YAML files that say how messages of one dialect become another's.

    documents -> model -> compiler -> engine
                             ^          |
                          catalog ------+--> one `Program` for each cohort, channel and direction

`model` is the file format, with what a rule can ask (`matches`), what it can do (`actions`,
`formats`) and the smallest parts of both (`fields`). `compiler` turns a file into closures, once,
at load: `predicates` for what a rule matches (`patterns` for regular expressions), `operations` for
what it does (`arrays`, `conversions`, `times`; `places` reaches the field), `analysis` for what can
be known about a match without a message. `links` runs one mapping on a message, `engine` a chain of
them on whatever arrives, `trace` tells how it went.

`catalog` checks a set of files against each other and against the cohorts (`checks`; `examples`
proves them on their own examples), and refuses the set whole if anything is wrong. `inverse` says
what a rule loses, and makes the mapping that leads back. `routes` finds the programs for the body
of a request.

One rule governs everything here: only what a rule names changes. `objects` opens a message just so
far that its members' names are known; the value of each member stays the bytes that arrived
(`tolerant` does the same for what strict parsers refuse). So big integers, `1.10`, `1E2`, `-0`
and escapes come out as they went in, and so does the order of the keys.
"""
