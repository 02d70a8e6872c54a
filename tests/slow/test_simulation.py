"""The statistics, shown by simulation: what is claimed where nothing changed, and found where
something did. Grades are scripted: each is wrong with a known probability, by itself."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import pytest

from refinecli import prompts
from refinecli.data import output_lines
from refinecli.refining.rollout import refine as refine_datapoint
from refinecli.refining.strategies import RefineOptions
from refinecli.report.cases import Case, Item, Mark, Spent, Step
from refinecli.report.gains import Regrade, gains
from refinecli.report.runs import read_run
from refinecli.types import JSONObject
from tests.conftest import write_jsonl
from tests.support import fakes

RUNS = 200
ROUNDS = 3
MARKS = (Mark(0.0, False), Mark(1.0, True))
Truth = tuple[bool, ...]


class World(NamedTuple):
    """How many datapoints of how many items, graded how, and what a rewrite truly does: it mends
    each item that the response fails with probability `mends`, and breaks none."""

    datapoints: int
    items: int
    repeats: int
    noise: float
    mends: float = 0.0


class Refined(NamedTuple):
    """A datapoint as the loop saw it, and what its first and final response are truly like."""

    case: Case
    first: Truth
    final: Truth


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def graded(rng: random.Random, truth: Truth, noise: float) -> list[int]:
    """One grade for each item, each wrong with probability `noise`."""
    return [int(met ^ (rng.random() < noise)) for met in truth]


def step(number: int, parent: int | None, marks: list[int], accepted: bool) -> Step:
    return Step(
        parent=parent,
        role="reviser" if number else "policy",
        score=mean(marks),
        accepted=accepted,
        decided=True,
        marks=tuple(MARKS[mark] for mark in marks),
        characters=100,
        spent=Spent(6, 300, 60),
    )


def refine(rng: random.Random, number: int, world: World) -> Refined:
    """The loop: grade, rewrite, keep what is graded strictly better, stop where all is passed."""
    truths = [tuple(rng.random() < 0.6 for _ in range(world.items))]
    steps = [step(0, None, graded(rng, truths[0], world.noise), True)]
    best = 0
    while len(steps) <= ROUNDS and steps[best].score != 1:
        truths.append(tuple(met or rng.random() < world.mends for met in truths[best]))
        marks = graded(rng, truths[-1], world.noise)
        accepted = mean(marks) > (steps[best].score or 0)
        steps.append(step(len(steps), best, marks, accepted))
        best = len(steps) - 1 if accepted else best
    items = tuple(Item(f"item-{n}", "full", 1.0, False, False) for n in range(world.items))
    case = Case((number, 0), None, items, tuple(steps), best, True, False, Spent())
    return Refined(case, truths[0], truths[best])


def regrade(rng: random.Random, refined: Refined, world: World) -> Regrade:
    """Both responses graded afresh; where nothing was accepted they are one text, graded once."""

    def afresh(truth: Truth) -> float:
        return mean([mean(graded(rng, truth, world.noise)) for _ in range(world.repeats)])

    first = afresh(refined.first)
    return Regrade(first, afresh(refined.final) if refined.case.best else first)


def simulated(world: World, seed: int) -> Iterator[tuple[JSONObject, float]]:
    """The gains that a report states of each run, and the true one."""
    for run in range(RUNS):
        rng = random.Random(f"{seed} {run}")
        rows = [refine(rng, number, world) for number in range(world.datapoints)]
        fresh = {row.case.key: regrade(rng, row, world) for row in rows}
        true = mean([mean(row.final) - mean(row.first) for row in rows])
        yield gains([row.case for row in rows], fresh), true


@pytest.mark.parametrize("noise", [0.1, 0.2])
def test_edits_that_change_nothing_are_no_gain(noise: float) -> None:
    """The loop sees a gain in every run, and regrading claims one in at most 5% of them."""
    world = World(datapoints=100, items=5, repeats=3, noise=noise)
    reports = [report for report, _ in simulated(world, seed=1)]
    in_the_loop = mean([report["loop_gain"]["mean"] for report in reports])
    above = sum(report["regraded_gain"]["low"] > 0 for report in reports)
    claimed = sum(report["claim"]["gain"] for report in reports)
    told = (
        f"noise {noise:.0%}: loop gain {in_the_loop:+.3f} on average; regraded, the interval lies "
        f"above 0 in {above} of {RUNS} runs, and a gain is claimed in {claimed}"
    )
    print(told)
    assert min(report["loop_gain"]["low"] for report in reports) > 0, told
    assert in_the_loop > 0.08, told
    assert above <= 0.05 * RUNS, told
    assert claimed <= 0.05 * RUNS, told


def test_a_true_gain_is_found_as_often_as_the_report_says() -> None:
    """Stated is the effect found 4 times in 5; the power for another follows by the normal law.

    A grader that is wrong on one item in ten sees eight tenths of a true gain: that is the effect.
    """
    world = World(datapoints=250, items=2, repeats=1, noise=0.1, mends=0.0655)
    runs = list(simulated(world, seed=2))
    true = mean([gain for _, gain in runs])
    assert true == pytest.approx(0.05, abs=0.002)
    normal = NormalDist()
    upper = normal.inv_cdf(0.975)
    unit = upper + normal.inv_cdf(0.8)  # standard errors that are found 4 times in 5
    seen = 0.05 * (1 - 2 * world.noise)
    powers = [normal.cdf(seen * unit / report["detectable"] - upper) for report, _ in runs]
    found = sum(report["claim"]["gain"] for report, _ in runs)
    told = f"a true gain of {true:.4f} is found in {found} of {RUNS} runs; stated {sum(powers):.1f}"
    print(told)
    assert 0.6 * RUNS < sum(powers) < 0.95 * RUNS, told  # or it would be no test of anything
    spread = sqrt(sum(power * (1 - power) for power in powers))
    assert abs(found - sum(powers)) <= 2.6 * spread, told


def test_the_real_loop_sees_the_gain_that_the_simulated_one_sees(tmp_path: Path) -> None:
    world = World(datapoints=300, items=5, repeats=1, noise=0.1)
    rng = random.Random(3)

    def answer(call: fakes.Call) -> str:
        return f"answer {call.draw.iteration} to {call.draw.datapoint_id}"

    async def refined(number: int) -> JSONObject:
        truth = [rng.random() < 0.6 for _ in range(world.items)]

        def verdict(call: fakes.Call) -> str:
            met = truth[int(call.criterion.split()[-1])]
            return fakes.score(int(met ^ (rng.random() < world.noise)))

        items = [{"rubric_str": f"Criterion {n}"} for n in range(world.items)]
        datapoint = fakes.datapoint(*items, id=number)
        roles = fakes.roles(answer, answer, fakes.Scripted(verdict))
        options = RefineOptions("refine", max_iterations=ROUNDS)
        made = await refine_datapoint(datapoint, roles, options, prompts.Prompts())
        raw = {"id": number, "convo": [], "rubric_items": items}
        return output_lines.refined(raw, made, output_lines.Provenance({}, "")).record

    async def everything() -> list[JSONObject]:
        return [await refined(number) for number in range(world.datapoints)]

    rows = asyncio.run(everything())
    found = gains(read_run(str(write_jsonl(tmp_path / "out.jsonl", rows))).cases)
    cases = [refine(rng, number, world).case for number in range(world.datapoints)]
    simulated_gain = gains(cases)["loop_gain"]["mean"]
    assert found["loop_gain"]["low"] > 0.05
    assert found["loop_gain"]["mean"] == pytest.approx(simulated_gain, abs=0.03)
    assert found["claim"]["gain"] is False
