"""Grade a run's first and final responses again, by its grader and by the held-out judge.

At temperature 0 the same grader asked in the same words repeats its error, and the loop kept the
response that the error favoured. So fresh means perturbed: each repeat has another wording of the
grader's prompt, its own seed and a temperature, all of them the same for both responses of a
datapoint. Nothing in a request shows which of the two it is about.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from hashlib import blake2b
from statistics import fmean, stdev
from typing import TypeAlias

from refinecli.completers import gather
from refinecli.errors import CompletionError
from refinecli.grading.grade import grade
from refinecli.prompts import Prompts
from refinecli.prompts.regrade import reworded
from refinecli.report.cases import Key, grader_of
from refinecli.report.gains import Regrade
from refinecli.report.runs import Run
from refinecli.runs.ordered_map import ordered_map
from refinecli.runs.run import Input
from refinecli.settings.load import Settings
from refinecli.settings.roles import RoleSettings
from refinecli.types import (
    Completer,
    Completion,
    Datapoint,
    Draw,
    Grade,
    JSONObject,
    Message,
    RubricItem,
    Usable,
    Wants,
)

# Used where a grader's temperature is 0: enough that a close call may fall the other way.
_TEMPERATURE = 0.7
_ROLES = ("grader", "judge")
_SEED = 42  # unless the user gives one
# In place of an iteration's number, so that no reply of a loop is taken for a fresh one.
_NO_ROUND = -1

Scores: TypeAlias = Sequence[float | None]  # one for each item
Repeats: TypeAlias = Sequence[tuple[Grade, ...]]  # of one response


@dataclass(frozen=True, slots=True)
class Pair:
    """A datapoint's first and final response; `others` are the baselines' responses to it."""

    datapoint: Datapoint
    key: Key
    first: str
    final: str
    others: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Regraded:
    """One datapoint's fresh grades, by role; how many grades a model had to give or are missing,
    and the failures of these. `given` has the grades of the first and of the final response as they
    came."""

    pair: Pair
    by_role: Mapping[str, Regrade]
    grades: int
    failures: tuple[str, ...]
    given: Mapping[str, tuple[Repeats, Repeats]]

    @property
    def whole(self) -> bool:
        """True if each role gave both responses a score."""
        return all(
            one.gain is not None
            for regrade in self.by_role.values()
            for one in (regrade, *regrade.others)
            if one
        )


def perturbed(settings: Settings) -> Settings:
    """Return settings with graders that need not repeat themselves: a temperature above 0,
    seeds."""

    def role(one: RoleSettings) -> RoleSettings:
        return replace(one, temperature=_TEMPERATURE) if one.temperature == 0 else one

    seed = _SEED if settings.run.seed is None else settings.run.seed
    single = settings.without_jury()  # its grades are noisy only together
    roles = {name: role(one) if name in _ROLES else one for name, one in single.roles.items()}
    return replace(single, roles=roles, run=replace(single.run, seed=seed))


def count_pairs(run: Run) -> int:
    """Count the datapoints with both scores from the loop; the rest say nothing about a gain."""
    return sum(case.first is not None and case.final is not None for case in run.cases)


async def pairs(
    rows: Input, run: Run, others: Sequence[Mapping[Key, str]] = ()
) -> AsyncGenerator[Pair, None]:
    """Yield the responses to grade, from the file that the run was read from, in its order."""
    refined = (case for case in run.cases if case.refined)
    async with aclosing(rows.stream()) as stream:
        async for row in stream:
            if row.error:
                raise row.error
            refinement = row.raw.get("refinement")
            if row.datapoint is None or not isinstance(refinement, dict):
                continue
            case, iterations = next(refined), refinement["iterations"]
            if case.first is not None and case.final is not None:
                first, final = iterations[0]["response"], iterations[case.best]["response"]
                texts = tuple(other.get(case.key) for other in others)
                yield Pair(row.datapoint, case.key, first, final, texts)


async def regrade(
    pairs: AsyncIterable[Pair],
    completers: Mapping[str, Completer],
    prompts: Prompts,
    repeats: int,
    *,
    concurrency: int,
) -> AsyncGenerator[Regraded, None]:
    """Grade each pair `repeats` times by each role, yielding results in order as soon as they are
    ready."""
    worded = [reworded(prompts, repeat) for repeat in range(repeats)]
    results = ordered_map(
        pairs,
        lambda pair: _regraded(pair, completers, worded),
        active=concurrency,
        window=max(256, 8 * concurrency),
    )
    async with aclosing(results):
        async for result in results:
            yield result


# ------------------------------------------------------------------ one datapoint


async def _regraded(
    pair: Pair, completers: Mapping[str, Completer], worded: Sequence[Prompts]
) -> Regraded:
    # Equal texts are graded once; their order does not show which was first.
    others = (text for text in pair.others if text is not None)
    texts = sorted({pair.first, pair.final, *others}, key=_scattered)
    asked = [(role, text) for text in texts for role in completers]
    found = await gather(
        grade(
            pair.datapoint,
            text,
            _drawn_as(role, completers[role]),
            prompts,
            iteration=_NO_ROUND,
            sample=repeat,
        )
        for role, text in asked
        for repeat, prompts in enumerate(worded)
    )
    grades = [of_repeat for of_repeat, _ in found]
    scores = [[grade.score for grade in of_repeat] for of_repeat in grades]
    by_text = {key: scores[at * len(worded) :][: len(worded)] for at, key in enumerate(asked)}
    given = {key: grades[at * len(worded) :][: len(worded)] for at, key in enumerate(asked)}

    def against(role: str, text: str) -> Regrade:
        items = pair.datapoint.rubric_items
        return regrade_of(items, by_text[role, text], by_text[role, pair.final])

    return Regraded(
        pair,
        {
            role: replace(
                against(role, pair.first),
                others=tuple(None if text is None else against(role, text) for text in pair.others),
            )
            for role in completers
        },
        grades=sum(
            one.grader == "llm" or not one.graded for of_repeat in grades for one in of_repeat
        ),
        failures=tuple(one.error.type for of_repeat in grades for one in of_repeat if one.error),
        given={role: (given[role, pair.first], given[role, pair.final]) for role in completers},
    )


def _scattered(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass")).digest()


def _drawn_as(role: str, completer: Completer) -> Completer:
    async def ask(
        messages: Sequence[Message],
        draw: Draw,
        usable: Usable | None = None,
        wants: Wants | None = None,
    ) -> Completion:
        return await completer(messages, draw._replace(role=role), usable, wants)

    return ask


def regrade_of(
    items: Sequence[RubricItem], first: Sequence[Scores], final: Sequence[Scores]
) -> Regrade:
    """Combine repeated grades of two responses; `first` and `final` have the scores of each
    repeat."""
    means = [
        _means([scores[i] for scores in first], [scores[i] for scores in final])
        for i in range(len(items))
    ]
    apart = [spread for text in (first, final) if (spread := _spread(items, text)) is not None]
    return Regrade(
        first=_score(items, [mean for mean, _ in means]),
        final=_score(items, [mean for _, mean in means]),
        items=tuple(means),
        spread=fmean(apart) if apart else None,
    )


def _means(first: Scores, final: Scores) -> tuple[float | None, float | None]:
    """Return an item's means over the repeats that graded both responses, since a wording may be
    stricter than another; without such repeats, over all."""
    both = [(a, b) for a, b in zip(first, final, strict=True) if a is not None and b is not None]
    if both:
        return fmean(a for a, _ in both), fmean(b for _, b in both)
    return _mean(first), _mean(final)


def _mean(scores: Scores) -> float | None:
    there = [score for score in scores if score is not None]
    return fmean(there) if there else None


def _spread(items: Sequence[RubricItem], text: Sequence[Scores]) -> float | None:
    whole = [total for scores in text if (total := _score(items, scores)) is not None]
    return stdev(whole) if len(whole) > 1 else None


def _score(items: Sequence[RubricItem], scores: Scores) -> float | None:
    total = 0.0
    for item, score in zip(items, scores, strict=True):
        if score is None:
            return None
        total += item.weight * score
    return total / sum(item.weight for item in items if item.weight > 0)


# ------------------------------------------------------------------ alarms

_UNGRADED = 0.05  # share of the fresh grades


def left_out(ungraded: int, grades: int) -> list[JSONObject]:
    """Raise an alarm where many fresh grades are missing: the rest may not be like them."""
    if ungraded <= _UNGRADED * grades:
        return []
    message = f"{ungraded:,} of {grades:,} fresh grades have no score; means are over the rest."
    return [{"type": "ungraded_afresh", "message": message}]


def alarms(run: Run, models: Mapping[str, str]) -> list[JSONObject]:
    """Raise alarms about who graded; `models` are those of the fresh grades."""
    found = []
    grader, before, judge = models["grader"], grader_of(run.models), models.get("judge")
    if before and grader != before:
        found.append(
            (
                "other_grader",
                f"The run was graded by {before} and regraded by {grader}: the optimism includes "
                "the difference between them.",
            )
        )
    used = {f"the run's {role}": model for role, model in run.models.items()}
    used["the grader of the fresh grades"] = grader
    if judge and (same := [role for role, model in used.items() if model == judge]):
        found.append(
            (
                "judge_not_held_out",
                f"The judge is not held out: {judge} is also {' and '.join(same)}, and shares "
                "its errors.",
            )
        )
    return [{"type": kind, "message": message} for kind, message in found]


# ------------------------------------------------------------------ dry runs


@dataclass(slots=True)
class Unsent:
    """A completer that asks no model: it counts the requests that only a model could answer, and
    keeps the first. It stands in front of an offline role, or in place of one."""

    inner: Completer | None = None
    missing: int = 0
    characters: int = 0
    first: Sequence[Message] = ()

    async def __call__(
        self,
        messages: Sequence[Message],
        draw: Draw,
        usable: Usable | None = None,
        wants: Wants | None = None,
    ) -> Completion:
        from refinecli.prompts import message_text

        try:
            if self.inner is not None:
                return await self.inner(messages, draw, usable, wants)
        except CompletionError as error:
            if error.type != "offline":
                raise
        self.missing += 1
        self.characters += sum(len(message_text(message)) for message in messages)
        self.first = self.first or messages
        raise CompletionError("offline", "a dry run sends nothing")
