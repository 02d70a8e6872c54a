"""Send requests to models and read their replies."""
