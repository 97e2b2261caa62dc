"""Which parts of a network stay as they are, and what that allows to compute only once."""
