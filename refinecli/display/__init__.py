"""Show records, and the progress of a run, to a person."""
