"""Where sessions are kept: `base` says what a store does, `sqlite` and `redis` are the two."""
