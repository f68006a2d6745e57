"""What is known of a mapping before it serves: its `examples`, its `inverse` and what that loses.

`comparison` is how two messages differ.
"""
