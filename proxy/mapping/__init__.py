"""The mapping language: YAML files that say how messages of one dialect become another's.

    documents -> model -> compiler -> engine
                             ^          |
                          catalog ------+--> one `Program` for each cohort and direction

`model` is the file format. `compiler` turns a file into closures, once, at load: `predicates` for
what a rule matches, `operations` for what it does, `analysis` for what can be known about a match
without a message. `engine` runs them on messages. `catalog` checks a set of files against each
other and against the cohorts (`examples` proves them on their own examples), and refuses the set
whole if anything is wrong.

One rule governs everything here: only what a rule names changes. `objects` opens a message just so
far that its members' names are known; the value of each member stays the bytes that arrived
(`tolerant` does the same for what strict parsers refuse). So big integers, `1.10`, `1E2`, `-0`
and escapes come out as they went in, and so does the order of the keys.
"""
