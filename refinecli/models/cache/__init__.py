"""The call cache: every reply on disk before it is used."""
