"""What is known of a mapping before it serves: its `examples`, its `inverse` and what that loses.

`knowledge` is what a match tells of a message, `comparison` how two messages differ.
"""
