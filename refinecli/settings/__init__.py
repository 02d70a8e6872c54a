"""Read flags, environment, files and defaults into one typed object."""
