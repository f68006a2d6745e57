"""Messages on their way through mappings.

A `link` runs one mapping, a `program` a chain of them, and `explanation` tells how it went.
"""
