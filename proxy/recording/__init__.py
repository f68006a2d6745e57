"""Looking at messages on their way, in memory only: the `tap`, who looks, and what hides values."""
