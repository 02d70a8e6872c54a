"""A whole input through one piece of work."""
