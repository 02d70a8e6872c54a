"""Everything between a request to a model and its reply."""
