"""`refinecli generate-data`."""
