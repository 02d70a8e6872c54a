"""Complete words in a shell, apart from names of commands and options. Imports late, so that
`--help` does not pay for it."""

from __future__ import annotations

from refinecli.cli.names import COMMANDS, topics


def complete_topics(incomplete: str) -> list[str]:
    """Return the words that `refinecli help` takes."""
    return _beginning([*topics(), *COMMANDS], incomplete)


def complete_strategies(incomplete: str) -> list[str]:
    """Return the strategies."""
    from refinecli.refining.strategies import STRATEGIES

    return _beginning(list(STRATEGIES), incomplete)


def complete_tasks(incomplete: str) -> list[str]:
    """Return the tasks of `generate-data`."""
    from refinecli.generators import TASKS

    return _beginning(list(TASKS), incomplete)


def complete_kinds(incomplete: str) -> list[str]:
    """Return the kinds of `export`."""
    from refinecli.export.kinds import KINDS

    return _beginning(list(KINDS), incomplete)


def complete_formats(incomplete: str) -> list[str]:
    """Return the formats of `export`."""
    from refinecli.export.formats import FORMATS

    return _beginning(list(FORMATS), incomplete)


def complete_pairings(incomplete: str) -> list[str]:
    """Return the ways in which `export` makes pairs."""
    from refinecli.export.selection import PAIRINGS

    return _beginning(list(PAIRINGS), incomplete)


def complete_settings(incomplete: str) -> list[str]:
    """Return `section.key=` of each setting."""
    from refinecli.settings.sections import places

    return _beginning([f"{place}=" for place in places()], incomplete)


def _beginning(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
