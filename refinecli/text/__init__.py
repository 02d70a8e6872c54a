"""Work on strings, without knowledge of the domain."""
