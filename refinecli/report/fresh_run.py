"""A run that grades responses again: the body of its job, and what it finds."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from zlib import compress, decompress

from refinecli.data.output_lines import Outcome, grade_record
from refinecli.report.cases import Key
from refinecli.report.fresh_grades import Regraded, Unsent, alarms, left_out, pairs, regrade
from refinecli.report.gains import Regrade
from refinecli.report.runs import Run
from refinecli.runs.run import Input
from refinecli.settings.load import Settings
from refinecli.text.json_text import dumps, loads
from refinecli.types import Completer, JSONObject

if TYPE_CHECKING:
    from refinecli.models.engine import Engine
    from refinecli.runs.lifecycle import Display, Started


@dataclass
class FreshGrades:
    """The fresh grades of a run, by role and datapoint. With `keeps_replies` those of the first
    datapoints are kept as the graders wrote them."""

    repeats: int
    keeps_replies: bool = False
    by_role: dict[str, dict[Key, Regrade]] = field(default_factory=dict)
    models: Mapping[str, str] = field(default_factory=dict)
    alarms: list[JSONObject] = field(default_factory=list)
    grades: int = 0
    ungraded: int = 0
    _replies: dict[Key, bytes] = field(default_factory=dict)

    def record(self) -> JSONObject:
        """Return how the fresh grades came about."""
        return {
            "repeats": self.repeats,
            "models": dict(self.models),
            "grades": self.grades,
            "ungraded": self.ungraded,
        }

    def add(self, result: Regraded) -> Outcome:
        """Take the grades of a datapoint in; return what a summary counts of it."""
        for role, one in result.by_role.items():
            self.by_role.setdefault(role, {})[result.pair.key] = one
        if self.keeps_replies and len(self._replies) < _MOST_KEPT:
            self._replies[result.pair.key] = compress(dumps(_as_given(result)), 1)
        self.grades += result.grades
        self.ungraded += len(result.failures)
        kinds = () if result.whole else tuple(dict.fromkeys(result.failures))
        return Outcome({}, "done" if result.whole else "ungraded", failures=kinds)

    def replies(self, key: Key) -> JSONObject:
        """Return a datapoint's fresh grades by role, with the graders' replies: those of the
        `first` and of the `final` response, a list for each repeat. Empty where none are kept."""
        packed = self._replies.get(key)
        return loads(decompress(packed)) if packed else {}


# Datapoints whose replies are kept, packed: some kilobytes each.
_MOST_KEPT = 10_000


def _as_given(result: Regraded) -> JSONObject:
    return {
        role: {
            "first": [list(map(grade_record, one)) for one in first],
            "final": [list(map(grade_record, one)) for one in final],
            "scores": [result.by_role[role].first, result.by_role[role].final],
        }
        for role, (first, final) in result.given.items()
    }


@dataclass(frozen=True, kw_only=True)
class GradeAgain:
    """The body of a job that grades the responses of a run, and those of the `others`, which are
    baselines. No `roles` where code grades all."""

    run: Run
    rows: Input
    others: Sequence[Mapping[Key, str]]
    settings: Settings
    roles: Sequence[str]
    display: Display
    found: FreshGrades

    async def __call__(self, started: Started) -> None:
        found, asked = self.found, completers_of(started.engine, self.roles)
        if asked:
            found.models = started.engine.made_with.models
            found.alarms = alarms(self.run, found.models)
            for alarm in found.alarms:
                self.display.notice(f"warning: {alarm['message']}")
        async with aclosing(self.results(asked or {"grader": Unsent()})) as results:
            async for result in results:
                self._take(result, started)
        found.alarms += left_out(found.ungraded, found.grades)

    def results(self, completers: Mapping[str, Completer]) -> AsyncGenerator[Regraded, None]:
        """Yield each datapoint, graded by these."""
        return regrade(
            pairs(self.rows, self.run, self.others),
            completers,
            self.settings.prompts,
            self.found.repeats,
            concurrency=self.settings.run.concurrency,
        )

    def _take(self, result: Regraded, started: Started) -> None:
        for role, one in result.by_role.items():
            first, final = map(_shown, (one.first, one.final))
            self.display.detail(f"{result.pair.key[0]}: {role}: first {first}, final {final}")
        outcome = self.found.add(result)
        started.summary.finished += 1
        started.summary.add(outcome)
        if outcome.status != "done":
            started.unsettled(result.pair.datapoint)


def completers_of(engine: Engine, roles: Sequence[str]) -> dict[str, Completer]:
    """Return the completers of the roles, by name."""
    return {role: getattr(engine.roles, role) for role in roles}


def _shown(score: float | None) -> str:
    return "ungraded" if score is None else f"{score:.3g}"
