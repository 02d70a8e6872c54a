"""Run the embedded model's server in a child process."""
