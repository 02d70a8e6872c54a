"""The embedded model's server and its child process."""
