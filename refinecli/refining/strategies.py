"""List the loops of `refine`, one module each, and define what they share.

A strategy is an async function named like its module: it takes a `Rollout` and returns a
`Refinement`. The table below holds all that settings need to know, so that a strategy's module is
imported only when it is used. `steps` holds what loops are made of.

To add a strategy: write the module, add an entry to the table, describe it in the guide.
"""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, with_config

from refinecli.errors import UsageError
from refinecli.grading.batch import most_calls as most_calls_of
from refinecli.grading.gate import waits
from refinecli.grading.verdict import GradeOptions

if TYPE_CHECKING:
    from refinecli.prompts import Prompts
    from refinecli.refining.estimates import Estimates
    from refinecli.types import Datapoint, Refinement, Roles, Usage


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True))
@dataclass(frozen=True, slots=True)
class RefineOptions:
    """`[refine]`: the settings of a loop.

    At most `max_iterations` rewrites, from `drafts` to start with, until the score reaches
    `threshold`. `accept` says when a rewrite is accepted; after `patience` rewrites that are not,
    the loop gives up. `stop_on_repeat` ends it at a text that came before. `show_rubric` shows the
    rubric to the first writer, and critics judge by `principles`. With `memory` a rewrite is shown
    what was tried before from the same response and did not help. `adaptive` stops where no step
    is expected to gain `min_gain`, and learns from earlier rows unless `learn` is off. Drafting
    ends at a draft that passes with `stop_when_passed`.
    """

    strategy: str = "adaptive"
    max_iterations: Annotated[int, Field(ge=0)] = 3
    drafts: Annotated[int, Field(ge=1)] = 1
    threshold: float | None = None
    accept: Literal["better", "not-worse", "pairwise"] = "better"
    patience: Annotated[int, Field(ge=1)] | None = None
    stop_on_repeat: bool = True
    show_rubric: bool = False
    principles: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    memory: bool = False
    min_gain: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.02
    learn: bool = True
    stop_when_passed: bool = False

    def shaping(self) -> dict[str, Any]:
        """Return what of these shapes results. An option that came later counts only where it is
        changed, so that a run begun before it existed can continue."""
        usual = RefineOptions()
        values = asdict(self)
        later = {key for key in _LATER if values[key] == getattr(usual, key)}
        return {key: value for key, value in values.items() if key not in later}


_LATER = ("memory", "min_gain", "learn", "stop_when_passed")

# The options that only some strategies have.
OPTIONS = frozenset(
    {"max_iterations", "drafts", "accept", "patience", "stop_on_repeat", "principles", *_LATER}
)


class Prices(NamedTuple):
    """The costs of a million tokens by role, of the prompt's and of the reply's; every token is 1
    where no role has a price."""

    by_role: Mapping[str, tuple[float, float]] = MappingProxyType({})

    def of(self, role: str, usage: Usage) -> float:
        """Return the cost of a role's calls."""
        into, out = self.by_role.get(role, (1.0, 1.0))
        cost = into * usage.prompt_tokens + out * usage.completion_tokens
        return cost / 1e6 if self.by_role else cost


WRITERS = frozenset({"policy", "reviser"})


async def prior() -> Estimates:
    """Return the estimates of a row before which there was none."""
    from refinecli.refining.estimates import before_any_row

    return before_any_row()


class Rollout(NamedTuple):
    """One datapoint on its way through a loop.

    The roles in `redraws` could reply to the same request in another way. `estimates` are what
    earlier rows say about this one, and are waited for.
    """

    datapoint: Datapoint
    roles: Roles
    options: RefineOptions
    prompts: Prompts
    grading: GradeOptions
    seed: int | None
    redraws: frozenset[str] = WRITERS
    prices: Prices = Prices()
    estimates: Callable[[], Awaitable[Estimates]] = prior


class Strategy(NamedTuple):
    """A strategy's description, which can be read without importing it.

    `options` are those of OPTIONS that mean something to it. `calls` returns at most how many
    responses it writes besides the drafts, how many it has graded, and how many other calls it
    makes; `steps`, how many times at most it waits for other replies than grades, and how many
    times for grades. `by_grade` says whether it keeps what was graded best, so that a gain is
    optimistic. `feedback_by` is the role, if any, that is asked about an answer before it is
    rewritten; these calls count as the answer's. With `history`, a rewrite request follows all
    responses so far.
    """

    name: str
    summary: str
    roles: tuple[str, ...]
    options: frozenset[str]
    calls: Callable[[RefineOptions], tuple[int, int, int]]
    steps: Callable[[RefineOptions], tuple[int, int]]
    defaults: Mapping[str, Any] = MappingProxyType({})
    by_grade: bool = False
    feedback_by: Literal["critic", "selector"] | None = None
    history: bool = False

    def __call__(self, rollout: Rollout) -> Awaitable[Refinement]:
        """Run the strategy; raise CompletionError where not even a first response could be had."""
        return _loop(self.name)(rollout)


@cache  # for each row
def _loop(name: str) -> Callable[[Rollout], Awaitable[Refinement]]:
    module = name.replace("-", "_")
    loop: Callable[[Rollout], Awaitable[Refinement]]
    loop = getattr(import_module(f"{__package__}.{module}"), module)
    return loop


def _refine_calls(options: RefineOptions) -> tuple[int, int, int]:
    rounds = options.max_iterations
    votes = 4 * rounds if options.accept == "pairwise" else 0
    return rounds, options.drafts + rounds, votes


def _ends(options: RefineOptions) -> int:
    """Count the responses graded at the end: the first, and the last where there is another."""
    return 1 + (options.max_iterations > 0)


def _steps_of_a_loop(options: RefineOptions) -> tuple[int, int]:
    rounds = options.max_iterations
    votes = rounds if options.accept == "pairwise" else 0
    return 1 + rounds + votes, 1 + rounds


def _steps_of_drafts(options: RefineOptions) -> tuple[int, int]:
    in_turn = options.drafts if options.stop_when_passed else 1
    return in_turn, in_turn


def _steps_graded_at_the_end(options: RefineOptions) -> tuple[int, int]:
    return 1 + 2 * options.max_iterations, 1


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        strategy.name: strategy
        for strategy in (
            Strategy(
                "adaptive",
                "draft again or rewrite, whichever promises more",
                ("policy", "reviser", "grader"),
                frozenset({"max_iterations", "drafts", "memory", "min_gain", "learn"}),
                lambda options: (
                    options.max_iterations,
                    options.drafts + options.max_iterations,
                    0,
                ),
                _steps_of_a_loop,
                {"memory": True},
                by_grade=True,
            ),
            Strategy(
                "refine",
                "rewrite the best answer from what failed",
                ("policy", "reviser", "grader"),
                OPTIONS - {"principles", "min_gain", "learn", "stop_when_passed"},
                _refine_calls,
                _steps_of_a_loop,
                by_grade=True,
            ),
            Strategy(
                "best-of-n",
                "draft N answers, keep the best",
                ("policy", "grader"),
                frozenset({"drafts", "stop_when_passed"}),
                lambda options: (0, options.drafts, 0),
                _steps_of_drafts,
                {"drafts": 4, "max_iterations": 0},
                by_grade=True,
            ),
            Strategy(
                "self-refine",
                "answer, feedback in the critic's own words, rewrite",
                ("policy", "reviser", "grader", "critic"),
                frozenset({"max_iterations", "stop_on_repeat", "principles"}),
                lambda options: (options.max_iterations, _ends(options), options.max_iterations),
                _steps_graded_at_the_end,
                feedback_by="critic",
                history=True,
            ),
            Strategy(
                "rm-gallery",
                "the selector's reason for the best so far is the feedback",
                ("policy", "reviser", "grader", "selector"),
                frozenset({"max_iterations"}),
                lambda options: (
                    options.max_iterations,
                    _ends(options),
                    2 * options.max_iterations,
                ),
                _steps_graded_at_the_end,
                feedback_by="selector",
            ),
            Strategy(
                "writer-critic",
                "a critic improves the answer, the selector picks the better",
                ("policy", "grader", "critic", "selector"),
                frozenset({"max_iterations"}),
                lambda options: (0, _ends(options), 6 * options.max_iterations),
                _steps_graded_at_the_end,
                {"max_iterations": 1},
            ),
        )
    }
)


def strategy_named(name: str) -> Strategy:
    """Return the strategy of this name; raise UsageError where there is none."""
    if name in STRATEGIES:
        return STRATEGIES[name]
    close = difflib.get_close_matches(name, STRATEGIES, n=1)
    raise UsageError(
        f"there is no strategy {name!r}",
        (f"did you mean {close[0]}? " if close else "") + f"use one of: {', '.join(STRATEGIES)}",
    )


def roles_of(options: RefineOptions) -> tuple[str, ...]:
    """Return the roles that a refinement asks."""
    roles = STRATEGIES[options.strategy].roles
    return (*roles, "selector") if options.accept == "pairwise" else roles


def most_calls(
    datapoint: Datapoint, options: RefineOptions, grading: GradeOptions, graders: int = 1
) -> int:
    """Bound the calls of a datapoint: every response written and graded, item by item, each item by
    each of the `graders` and with its one retry."""
    written, _, other = STRATEGIES[options.strategy].calls(options)
    given = datapoint.response is not None
    grades = most_grades(datapoint, options, grading, graders)
    return options.drafts - int(given) + written + other + grades


def most_grades(
    datapoint: Datapoint, options: RefineOptions, grading: GradeOptions, graders: int = 1
) -> int:
    """Bound the calls among those that grade."""
    _, graded, _ = STRATEGIES[options.strategy].calls(options)
    return graders * most_calls_of(datapoint.rubric_items, grading) * graded


def most_waves(datapoint: Datapoint, options: RefineOptions, grading: GradeOptions) -> int:
    """Bound the waves of a datapoint: the times that it waits for replies, each of which can be
    used."""
    others, gradings = STRATEGIES[options.strategy].steps(options)
    drafted = datapoint.response is not None and (options.drafts == 1 or options.stop_when_passed)
    return others - int(drafted) + gradings * waits(datapoint.rubric_items, gated=grading.gate)
