"""The format of a mapping file.

`model` is a file, with what a rule can ask (`matches`) and do (`actions`, `formats`), and the
smallest parts of both: `fields`, `patterns`, `times`.
"""
