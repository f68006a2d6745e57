"""Keeping things: a `worker` for blocking calls, a SQLite file, the state directory."""
