"""One response against its rubric items."""
