"""Tokens, pure: read, found, kept unreadable, taken out of texts.

`jwt` reads the times of one, `credentials` finds them in requests and bodies, `sealing` is for
those at rest, `redaction` for whatever looks like one.
"""
