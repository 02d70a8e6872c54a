"""What a person sees of records and of a run."""
