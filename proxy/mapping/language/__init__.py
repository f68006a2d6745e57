"""The words of a mapping file, and what they mean.

`model` is a file. What a rule can ask is in `matches`, and `predicates` makes closures of it. What
it can do is in `operations`, a module each, and `table` has them all; `operation` is what they have
in common, `places` reaches the field that they change, and `symbolic` is what is known of a message
while they are walked. `fields`, `patterns` and `times` are the smallest parts.
"""
