"""Flags, environment, files and defaults as one typed object."""
