"""JSON texts, opened no further than needed.

`objects` splits an object or a list into the bytes of its members, `tolerant` does the same for
what strict parsers refuse; `depth` counts brackets, `literals` reads and writes single values.
"""
