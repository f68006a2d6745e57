"""A mapping file becomes a link, once, at load.

`compiler` puts the closures of its rules together; `kinds` names what a message is, `splice`
exchanges bytes, `analysis` is what can be known of a match without a message.
"""
