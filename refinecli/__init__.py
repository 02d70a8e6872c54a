"""Turn a JSONL file of prompts and rubrics into better answers, honest grades and training data."""

__version__ = "0.1.0"
