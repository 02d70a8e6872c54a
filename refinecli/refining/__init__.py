"""Make a response better in a loop, one file a strategy."""
