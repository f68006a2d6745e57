"""The control plane: what decides which snapshot serves.

`loading` reads configuration and mappings whole, `reload` does so again when it is asked to or when
files have changed, and swaps the result in.
"""
