"""One process of Segue: the only room that constructs.

`assembly` makes of a configuration what is exchanged while clients go on, `inherited` takes a
listening socket over, `server` builds everything, starts it and ends it.
"""
