"""Switches: how much of a cohort's traffic each of its mappings is applied to. Pure rules.

`setting` is what one switch is set to; `table` what all are; `changes` makes a table of another
one, or says why not; `history` is what changes leave behind; `canary` says who is in.
"""
