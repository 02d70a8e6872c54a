"""Share limits with other processes: what a run may spend or send is leased from one limiter."""

# Annotations are read at start, and as strings (`from __future__`) would be compiled there too.
from typing import NamedTuple, Protocol

from refinecli.models.budget import Amount


class Pace(NamedTuple):
    """The limits of one endpoint and model, for all processes together; `name` stands for both, and
    for the variable of the key."""

    name: str
    rpm: float | None
    tpm: float | None


class Starts(NamedTuple):
    """Starts of `requests`: the first after `delay` seconds, each of the others `every` seconds
    later, with its part of `tokens`."""

    requests: int
    delay: float
    every: float
    tokens: float


class Leases(Protocol):
    """A limiter that several processes ask."""

    async def amount(self, wanted: Amount) -> Amount:
        """Return what more may be spent: as much as is wanted at least, or nothing."""

    async def starts(self, pace: Pace, requests: int, tokens: float, more: float) -> Starts:
        """Wait until some of the requests may be sent. Earlier ones took `more` tokens than were
        leased for them, or fewer."""
