"""Messages that are kept as examples, in memory only: `recorder`, and what hides values."""
