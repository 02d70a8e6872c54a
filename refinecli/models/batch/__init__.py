"""Replies that come by files: what is missing is written down, and asked for all at once."""
