"""Strings, without knowledge of the domain."""
