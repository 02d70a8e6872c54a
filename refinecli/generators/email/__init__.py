"""Customers' emails to a shop, to be answered by its policies; made up from a seed."""

from refinecli.generators.email.task import generate

__all__ = ["generate"]
