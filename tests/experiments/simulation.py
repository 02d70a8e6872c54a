"""How often does the report claim a gain that is none? Whole runs, with scripted models.

    python -m tests.experiments.simulation --noise 0.1    # --strategy refine for that loop

Each run is the real loop over datapoints whose rewrites change nothing, with a grader that is wrong
on a share of the items; its output is written, read and regraded as `report --regrade` does it, and
the report is built from that. Nothing but the models is made up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
from contextlib import aclosing
from pathlib import Path
from typing import Any

from refinecli.data import output_lines
from refinecli.data.sources import Source
from refinecli.prompts import Prompts
from refinecli.refining.estimates import lesson_of
from refinecli.refining.rollout import refine
from refinecli.refining.strategies import STRATEGIES, RefineOptions
from refinecli.report.figures import build
from refinecli.report.fresh_grades import pairs, regrade
from refinecli.report.gains import Regrade
from refinecli.report.runs import read_run
from refinecli.runs.learning import Learner
from refinecli.runs.run import Input
from tests.support import fakes


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.experiments.simulation")
    parser.add_argument("--noise", type=float, default=0.1, help="share of wrong grades")
    parser.add_argument("--strategy", choices=STRATEGIES, default=RefineOptions().strategy)
    parser.add_argument("--copies", type=float, default=0, help="share that repeats the loop's")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("-n", type=int, default=40, help="datapoints in a run")
    options = parser.parse_args()
    claimed, in_the_loop, afresh = 0, 0.0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.runs):
            rng = random.Random(f"{options.noise} {number}")
            figures = asyncio.run(one(rng, options, Path(folder) / "out.jsonl"))
            claimed += figures["claim"]["gain"]
            in_the_loop += figures["loop_gain"]["mean"] / options.runs
            afresh += figures["regraded_gain"]["mean"] / options.runs
    print(
        f"{options.strategy}, {options.noise:.0%} of the grades wrong, {options.runs} runs of "
        f"{options.n} datapoints, 3 items, 3 repeats: a gain is claimed in {claimed}; "
        f"mean gain in the loop {in_the_loop:+.3f}, graded afresh {afresh:+.3f}"
    )


async def one(rng: random.Random, options: argparse.Namespace, file: Path) -> dict[str, Any]:
    """One run and its report."""
    noise, n = options.noise, options.n
    in_the_loop: dict[tuple[str, str], int] = {}
    truth = [[rng.random() < 0.6 for _ in range(3)] for _ in range(n)]

    def answer(call: fakes.Call) -> str:
        draw = call.draw
        return f"{draw.role}'s answer {draw.iteration} {draw.sample} to {draw.datapoint_id}"

    def verdict(call: fakes.Call) -> str:
        met = truth[int(call.draw.datapoint_id)][int(call.criterion.split()[-1])]
        verdict = int(met ^ (rng.random() < noise))
        asked = (call.graded_response, call.criterion)
        if call.draw.iteration >= 0:  # fresh grades have no round
            in_the_loop[asked] = verdict
        elif rng.random() < options.copies:
            verdict = in_the_loop[asked]
        return fakes.score(verdict)

    grader, learner = fakes.Scripted(verdict), Learner()
    items = [{"rubric_str": f"Criterion {item}"} for item in range(3)]
    with file.open("w") as lines:
        for number in range(n):
            datapoint = fakes.datapoint(*items, id=number)
            models = fakes.roles(answer, answer, grader)
            loop = RefineOptions(options.strategy)
            with learner.row() as row:
                made = await refine(datapoint, models, loop, Prompts(), estimates=row.estimates)
                row.lesson = lesson_of(made.iterations)
            convo = [{"role": "user", "content": "Say something good."}]
            raw = {"id": number, "convo": convo, "rubric_items": items}
            done = output_lines.refined(
                raw, made, output_lines.Provenance({"grader": "scripted"}, "")
            )
            lines.write(json.dumps(done.record) + "\n")
    run = read_run(str(file))
    found: dict[Any, Regrade] = {}
    rows = Input(Source(str(file)))
    fresh = regrade(pairs(rows, run), {"grader": grader}, Prompts(), 3, concurrency=8)
    async with aclosing(fresh):
        async for result in fresh:
            found[result.pair.key] = result.by_role["grader"]
    return build([run], (), found)


if __name__ == "__main__":
    main()
