"""Hold the state of an endpoint and model, shared by all roles that use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Protocol

from refinecli.errors import RunError
from refinecli.models.negotiation import Terms
from refinecli.models.pacing.pacer import Pacer
from refinecli.models.retries import Health
from refinecli.settings.roles import RoleSettings
from refinecli.text.json_text import digest

if TYPE_CHECKING:
    from refinecli.models.leases import Leases


class Log(Protocol):
    """A log of an endpoint's peculiarities and troubles."""

    def notice(self, text: str) -> None:
        """Report something that every user should know."""

    def detail(self, text: str) -> None:
        """Report something for those who asked for it."""


@dataclass(slots=True, eq=False)
class Endpoint:
    """One (URL, model, key): what was learned about it, its pace, and its health. `place` stands
    for the URL in the call cache."""

    url: str
    model: str
    place: str
    terms: Terms
    health: Health
    pacer: Pacer = field(default_factory=lambda: Pacer(1))
    rpm: float | None = None
    tpm: float | None = None
    replayed: bool = False  # one of its replies was in the call cache
    over: RunError | None = None  # the reason why nothing more can be sent here

    @property
    def known(self) -> bool:
        """True once it has answered with this model, in this run or a cached one."""
        return self.replayed or self.health.successes > 0

    @property
    def fact(self) -> str:
        """The name under which the call cache keeps what it refuses."""
        # A URL may hold a key, and a cache may be shared.
        return f"changes {digest(self.place)} {self.model}"

    def limit(self, role: RoleSettings, concurrency: int, leases: Leases | None = None) -> None:
        """Keep to a role's limits too: roles that share an endpoint share the lower ones. What
        other processes share is leased."""
        self.rpm = _lower(self.rpm, role.rpm)
        self.tpm = _lower(self.tpm, role.tpm)
        lease = None
        if leases and (self.rpm or self.tpm):
            from refinecli.models.leases import Pace

            name = digest([self.place, self.model, role.api_key_env])
            lease = partial(leases.starts, Pace(name, self.rpm, self.tpm))
        self.pacer = Pacer(concurrency, rpm=self.rpm, tpm=self.tpm, lease=lease)


def endpoint_at(url: str, model: str, place: str) -> Endpoint:
    """Return an endpoint about which nothing is known yet."""
    return Endpoint(url, model, place, Terms(model), Health(url))


def _lower(one: float | None, other: float | None) -> float | None:
    known = [limit for limit in (one, other) if limit is not None]
    return min(known, default=None)
