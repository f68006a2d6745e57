"""The client's `version`: its `sources`, its `selection`, and the `cohorts` that it may be in."""
