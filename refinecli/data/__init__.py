"""Turn lines of JSON into datapoints and back, and read and write their files."""
