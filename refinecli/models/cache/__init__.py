"""Keep every reply on disk before it is used."""
