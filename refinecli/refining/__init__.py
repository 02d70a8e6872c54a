"""The loops that make a response better, one file a strategy."""
