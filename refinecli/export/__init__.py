"""Turn runs into training data: what a run offers, what of it goes in, and in which form."""
