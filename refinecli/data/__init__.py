"""Lines of JSON to datapoints and back, and the files they stand in."""
