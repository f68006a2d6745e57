"""Proofs: what takes too long for every change, run by hand, its results committed to `proofs/`."""
