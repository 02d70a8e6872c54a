"""Run a whole input through one piece of work."""
