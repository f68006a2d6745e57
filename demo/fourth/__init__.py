"""The fourth act: a broken mapping in a canary of 10 %, and the guard that takes it back."""
