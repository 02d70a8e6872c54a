"""Decide when the next request may go."""
