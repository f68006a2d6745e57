"""A mapping file becomes closures, once, at load.

`predicates` for what a rule matches (`kinds` for the field that decides), `operations` for what it
does (`arrays`, `conversions`; `places` reaches the field, `splice` exchanges bytes), `analysis` for
what can be known of a match without a message; `compiler` puts them together.
"""
