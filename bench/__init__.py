"""Segue beside its peers, on one core, under the same loads. See `bench.__main__`."""
