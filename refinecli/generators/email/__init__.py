"""Make customers' emails to a shop, to be answered by its policies, from a seed."""

from refinecli.generators.email.task import generate

__all__ = ["generate"]
