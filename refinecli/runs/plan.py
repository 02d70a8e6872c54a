"""A run in advance: the first prompts of a datapoint, and the most calls it can take."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from refinecli.grading.batch import most_calls
from refinecli.grading.estimate import Estimate, estimate
from refinecli.grading.gate import waits
from refinecli.grading.grade import first_prompt
from refinecli.models.request import with_system
from refinecli.prompts import rubric_messages, with_rubric
from refinecli.refining.strategies import most_calls as most_calls_of_a_loop
from refinecli.refining.strategies import most_grades, most_waves
from refinecli.settings.load import Settings
from refinecli.settings.roles import RoleSettings
from refinecli.types import Datapoint, Message

Prompt: TypeAlias = tuple[str, list[Message]]  # the role that it goes to, and what it is sent


@dataclass(frozen=True, slots=True)
class Plan:
    """For a datapoint: its first prompts, the most calls that it can take, and, from its prompts,
    what grading one response of it sends; the most `grades` among its calls, and the most `waves`
    that it takes. For all of them: `warnings`."""

    prompts: Callable[[Datapoint], list[Prompt]]
    calls: Callable[[Datapoint], int]
    warnings: tuple[str, ...] = ()
    grading: Callable[[Datapoint, list[Prompt]], Estimate] = lambda point, prompts: Estimate()
    grades: Callable[[Datapoint], int] = lambda point: 0
    waves: Callable[[Datapoint], int] = lambda point: 0


def refine_plan(settings: Settings) -> Plan:
    """Return the plan of refining."""
    graders = settings.graders
    return Plan(
        lambda point: [
            *_draft_prompts(settings, point),
            *_grader_prompts(settings, graders, point),
        ],
        lambda point: most_calls_of_a_loop(point, settings.refine, settings.grade, len(graders)),
        settings.warnings,
        partial(_grading, settings, graders, 1),
        lambda point: most_grades(point, settings.refine, settings.grade, len(graders)),
        lambda point: most_waves(point, settings.refine, settings.grade),
    )


def grade_plan(settings: Settings, repeats: int) -> Plan:
    """Return the plan of grading each response `repeats` times."""
    graders = settings.graders

    def calls(datapoint: Datapoint) -> int:
        if datapoint.response is None:
            return 0
        once = most_calls(datapoint.rubric_items, settings.grade)
        return repeats * len(graders) * once

    def waves(datapoint: Datapoint) -> int:
        if datapoint.response is None:
            return 0
        return waits(datapoint.rubric_items, gated=settings.grade.gate)

    prompts = partial(_grader_prompts, settings, graders)
    grading = partial(_grading, settings, graders, repeats)
    return Plan(prompts, calls, settings.warnings, grading, calls, waves)


def _grading(
    settings: Settings,
    graders: Sequence[RoleSettings],
    repeats: int,
    datapoint: Datapoint,
    prompts: list[Prompt],
) -> Estimate:
    names = [role.name for role in graders]
    first = next((messages for role, messages in prompts if role in names), None)
    if first is None:
        return Estimate()
    once = estimate(datapoint, first, settings.prompts, settings.grade)
    return once * (repeats * len(graders))


def rubric_plan(settings: Settings, *, contrast: bool) -> Plan:
    """Return the plan of writing rubrics. The number of items that a model writes is not known, the
    most is."""
    from refinecli.generators.rubric_writer import MOST_ITEMS
    from refinecli.generators.rubrics import needs_rubric

    def prompts(datapoint: Datapoint) -> list[Prompt]:
        if not needs_rubric(datapoint):
            return []
        messages = rubric_messages(settings.prompts, datapoint)
        return [("grader", with_system(settings.grader.system, messages))]

    def calls(datapoint: Datapoint) -> int:
        if not needs_rubric(datapoint):
            return 0
        most_items = [datapoint.rubric_items[-1]] * MOST_ITEMS
        return 2 + (2 * most_calls(most_items, settings.grade) if contrast else 0)

    return Plan(prompts, calls)


def _draft_prompts(settings: Settings, datapoint: Datapoint) -> list[Prompt]:
    if datapoint.response is not None:
        return []
    convo = datapoint.convo
    if settings.refine.show_rubric:
        convo = tuple(with_rubric(settings.prompts, datapoint))
    return [("policy", with_system(settings.policy.system, convo))]


def _grader_prompts(
    settings: Settings, graders: Sequence[RoleSettings], datapoint: Datapoint
) -> list[Prompt]:
    """Return the prompt about the first item that a model grades, for each who grades."""
    messages = first_prompt(datapoint, settings.prompts, settings.grade)
    if not messages:
        return []
    return [(role.name, with_system(role.system, messages)) for role in graders]
