"""Messages on their way through mappings.

A `compiled` runs one mapping, a `program` a chain of them, and `explanation` tells how it went.
"""
