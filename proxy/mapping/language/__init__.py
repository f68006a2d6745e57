"""The words of a mapping file, and what they mean.

`model` is a file, with what a rule can ask (`matches`) and do (`actions`, `formats`), and the
smallest parts of both: `fields`, `patterns`, `times`. `predicates` makes closures of what is asked;
`places` reaches the field that is to be changed; `symbolic` is what is known of a message while
operations are walked.
"""
