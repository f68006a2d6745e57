"""What a rule can do: a module for each operation, or for two that differ in a word.

Each is a class with what a file says of the operation, what carries it out, and its way back; see
`Operation`. They do not know each other; `table` knows them all.
"""
