"""The second act: a switch is turned while frames flow, and back."""
