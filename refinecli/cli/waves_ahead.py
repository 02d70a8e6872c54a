"""Say in advance what a run in waves takes: the wave that is next, and the most that may follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from statistics import mean
from typing import TYPE_CHECKING

from refinecli.grading.estimate import CHARACTERS_PER_TOKEN, Estimate
from refinecli.models.traffic import money
from refinecli.prompts import message_text
from refinecli.stats.wording import plural

if TYPE_CHECKING:
    from refinecli.data.output_lines import Outcome
    from refinecli.data.rows import Row
    from refinecli.models.batch.waves import WaveAhead
    from refinecli.runs.plan import Plan, Prompt
    from refinecli.runs.run import Work
    from refinecli.settings.load import Settings
    from refinecli.settings.roles import RoleSettings
    from refinecli.types import Datapoint


class WavesAhead:
    """All that is known of a run's waves before it. `wave` counts the requests that go out next,
    unless results are `waited_for`, in words; the plan of each datapoint bounds the rest."""

    def __init__(
        self, wave: WaveAhead, waited_for: str, settings: Settings, asked: Sequence[RoleSettings]
    ) -> None:
        self.wave, self._waited_for = wave, waited_for
        names = {role.name for role in settings.graders}
        self._graders = [role for role in asked if role.name in names]
        self._others = [role for role in asked if role.name not in names]
        self._datapoints = self._waves = self._grades = self._other_calls = 0
        self._characters = 0  # of the first prompt that is not a grader's
        self._grading = Estimate()

    def within(self, work: Work) -> Work:
        """Return the work on a row, each of which is parked as a whole."""
        from refinecli.models.batch.waves import row_of_a_wave

        async def parked(row: Row) -> Outcome:
            with row_of_a_wave():
                return await work(row)

        return parked

    def add(
        self,
        datapoint: Datapoint,
        plan: Plan,
        calls: int,
        prompts: Sequence[Prompt],
        grading: Estimate,
    ) -> None:
        """Count a datapoint that may still take `calls`."""
        self._datapoints += 1
        self._waves = max(self._waves, plan.waves(datapoint))
        grades = min(plan.grades(datapoint), calls)
        self._grades += grades
        self._other_calls += calls - grades
        names = {role.name for role in self._graders}
        first = next((sent for role, sent in prompts if role not in names), datapoint.convo)
        self._characters += sum(len(message_text(message)) for message in first)
        self._grading += grading

    def lines(self) -> Iterator[str]:
        """Yield what there is to say, once the last datapoint is counted."""
        if self._waited_for:
            yield self._waited_for
        elif not self.wave.requests:
            yield "no wave is needed: no reply is missing"
            return
        else:
            yield self._next_wave()
        written = self.wave.number - 1
        so_far = f", {written} of them written" if written else ""
        yield f"waves: at most {self._waves}{so_far}; more where a reply fails or cannot be read"
        yield from self._price()

    def _next_wave(self) -> str:
        wave = self.wave
        requests = plural(wave.requests, "request")
        tokens = f"about {wave.characters // CHARACTERS_PER_TOKEN:,} prompt tokens"
        words = f"next wave: number {wave.number}, {requests}, {tokens}"
        if not self._priced:
            return words
        return f"{words}, {money(wave.cost)} with {_replies(not wave.unbounded)}"

    @property
    def _priced(self) -> bool:
        roles = (*self._graders, *self._others)
        return bool(roles) and all(role.has_prices for role in roles)

    def _price(self) -> Iterator[str]:
        """Yield the price of all calls; nothing where a role has none."""
        if not self._priced:
            return
        used = [*(self._graders if self._grades else ()), *self._others]
        bounded = all(role.max_tokens for role in used)
        sent = self._grading.sent
        cost = _cost(self._graders, mean, self._grades, sent.characters / (sent.calls or 1))
        cost += _cost(
            self._others, max, self._other_calls, self._characters / (self._datapoints or 1)
        )
        yield (
            f"price of {plural(self._grades + self._other_calls, 'call')}: at most about "
            f"{money(cost * self.wave.discount)} with {_replies(bounded)}, if prompts stay as long "
            f"as the first (run.batch_discount={self.wave.discount:g} is counted)"
        )


def _replies(bounded: bool) -> str:
    return "replies of max_tokens" if bounded else "no replies, which max_tokens does not bound"


def _cost(
    roles: Sequence[RoleSettings],
    of_several: Callable[[list[float]], float],
    calls: int,
    characters: float,
) -> float:
    """Return the price of calls with prompts of that length, before any discount."""
    if not roles:
        return 0.0
    prompt = characters / CHARACTERS_PER_TOKEN
    into = of_several([role.input_price or 0.0 for role in roles])
    out = of_several([(role.output_price or 0.0) * (role.max_tokens or 0) for role in roles])
    return calls * (prompt * into + out) / 1e6
