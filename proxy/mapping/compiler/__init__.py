"""A mapping file becomes a link, once, at load.

`operations` for what a rule does (`arrays`, `conversions`), `kinds` for the field that names what a
message is, `splice` exchanges bytes, `analysis` is what can be known of a match without a message;
`compiler` puts them together.
"""
