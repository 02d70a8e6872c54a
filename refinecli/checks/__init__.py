"""Rubric items that code grades, without a model."""
