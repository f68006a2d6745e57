"""The client's `version`, the `cohorts` that it may be in, and its `selection`."""
