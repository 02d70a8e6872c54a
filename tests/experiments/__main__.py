"""Does refining help the embedded model? Each strategy beside resampling at equal tokens.

    python -m tests.experiments keywords            # some minutes; prints a Markdown table
    python -m tests.experiments ifeval --data DIR   # DIR has ifeval.jsonl
    python -m tests.experiments keywords --arms best-of-n adaptive
    python -m tests.experiments payloads            # another question: see payloads.py
    python -m tests.experiments train               # and another: see training.py

Everything is the real command, and all items are graded by code. What is made stands in
build/experiments/NAME: run again, finished calls are replayed and only what is missing is asked.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from refinecli.stats.resampling import Clusters, Figure, Measure
from tests.experiments import payloads, training

BUILD = Path(__file__).parents[2] / "build" / "experiments"
POOL = "best-of-n"  # drafts enough for any arm; the report takes as many as cost the same
ARMS = {
    POOL: ["--strategy", "best-of-n", "--drafts", "8"],
    "first answer, rubric in the prompt": [
        *("--strategy", "best-of-n", "--drafts", "1", "--set", "refine.show_rubric=true"),
    ],
    "adaptive": ["--strategy", "adaptive", "--max-iterations", "7"],  # at most as many responses
    "adaptive, at most 4": ["--strategy", "adaptive"],
    "refine": ["--strategy", "refine"],
    "self-refine": ["--strategy", "self-refine"],
    "rm-gallery": ["--strategy", "rm-gallery"],
}
CONTROLS = (POOL, "refine")
LOOPS = (POOL, "adaptive", "adaptive, at most 4", "refine")


@dataclass(frozen=True)
class Experiment:
    """Datapoints for so many rows, and the arms that are tried on them. Files are read from their
    second half on: wordings were chosen on the first."""

    rows: Callable[[argparse.Namespace], Iterator[dict[str, Any]]]
    n: int
    arms: Sequence[str] = tuple(ARMS)


# ------------------------------------------------------------------ datapoints


def generated(task: str, n: int) -> list[dict[str, Any]]:
    made = refinecli("generate-data", task, "-n", str(n), "--seed", "42").stdout
    return [json.loads(line) for line in made.splitlines()]


def second_half(options: argparse.Namespace, name: str) -> Iterator[dict[str, Any]]:
    if options.data is None:
        sys.exit(f"--data DIR: a folder with {name}")
    lines = (options.data / name).read_text("utf-8").splitlines()
    yield from map(json.loads, lines[len(lines) // 2 :])


def imported(task: str, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    lines = "\n".join(map(json.dumps, rows))
    made = refinecli("generate-data", task, "--from", "-", given=lines).stdout
    return [json.loads(line) for line in made.splitlines()]


def keywords(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    yield from generated("keywords", options.n)


def commongen(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """CommonGen-Hard, cut to the first six words of each list, then to the next six."""
    rows = list(second_half(options, "commongen_hard.jsonl"))
    cuts = [row["concepts"][start : start + 6] for start in (0, 6) for row in rows]
    yield from imported("keywords", [{"concepts": cut} for cut in cuts])


def ifeval(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Prompts with two checks or more: every other one is for the loop, the rest is held out."""
    for row in imported("ifeval", list(second_half(options, "ifeval.jsonl"))):
        items = [item for item in row["rubric_items"] if item.get("check")]
        if len(items) > 1:
            yield {**row, "rubric_items": items[::2], "held_out": items[1::2]}


def addition(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The sums, graded by the number; the policy learns only that it is not right."""
    for row in generated("addition", options.n):
        first, _, second = row["convo"][-1]["content"].removeprefix("What is ").partition(" + ")
        yield numbered(row["convo"], int(first) + int(second.rstrip("?")))


def gsm8k(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for row in second_half(options, "gsm8k.jsonl"):
        convo = [{"role": "user", "content": row["question"] + "\nEnd with the number alone."}]
        yield numbered(convo, float(row["answer"].rpartition("####")[2].replace(",", "")))


def numbered(convo: list[dict[str, Any]], value: float) -> dict[str, Any]:
    item = {"rubric_str": "Is the answer right?", "check": {"kind": "number", "value": value}}
    return {"convo": convo, "rubric_items": [item]}


EXPERIMENTS = {
    "keywords": Experiment(keywords, 60),
    "commongen": Experiment(commongen, 60, LOOPS),
    "ifeval": Experiment(ifeval, 40, LOOPS),
    "addition": Experiment(addition, 40, CONTROLS),
    "gsm8k": Experiment(gsm8k, 20, CONTROLS),
}


# ------------------------------------------------------------------ running and reporting


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.experiments")
    parser.add_argument("name", choices=[*EXPERIMENTS, "payloads", "train"])
    parser.add_argument("-n", type=int, help="datapoints")
    parser.add_argument("--arms", nargs="+", choices=ARMS, metavar="ARM", help="these alone")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where the public data sets are")
    parser.add_argument("--python", default=sys.executable, help="train: the one with the extras")
    parser.add_argument("--only", action="append", default=[], metavar="ARM", help="train: one arm")
    options = parser.parse_args()
    other = options.name == "train" and options.data  # prompts: not among the files of the first
    folder = BUILD / (f"{options.name}-data" if other else options.name)
    folder.mkdir(parents=True, exist_ok=True)
    if options.name == "payloads":
        payloads.main(folder, refinecli, options.n)
        return
    if options.name == "train":
        training.main(folder, options.python, options.only, options.data, options.n)
        return
    experiment = EXPERIMENTS[options.name]
    options.n = options.n or experiment.n
    rows = list(experiment.rows(options))[: options.n]
    data = "".join(
        json.dumps({**row, "id": f"{options.name}-{i}"}) + "\n" for i, row in enumerate(rows)
    )
    (folder / "in.jsonl").write_text(data, "utf-8")
    arms = options.arms or experiment.arms
    print(
        "| | n | at first | kept | gain | ahead of best-of-n at equal tokens | responses a row "
        "| tokens | of all of best-of-n's | and ahead of that by | tokens a point | calls | s |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for arm in arms:
        seconds = run(folder, arm)
        print(line(folder, arm, seconds), flush=True)
    if "held_out" in rows[0]:
        for arm in arms:
            print(f"held out, {arm}: {held_out(folder, arm)}", flush=True)


def run(folder: Path, arm: str) -> float:
    """One arm, unless it is there already; the seconds it took."""
    name = arm.replace(" ", "-").replace(",", "")
    summary = folder / f"{name}.summary.json"
    if not (folder / f"{name}.jsonl").exists():
        refinecli(
            *("refine", str(folder / "in.jsonl"), "-o", str(folder / f"{name}.jsonl")),
            *("--model", "local", "--seed", "1", "--summary", str(summary), *ARMS[arm]),
            *("--max-errors", "100%"),
            # Arms that draw the same drafts share them: the comparison is paired, and cheaper.
            *("--cache", str(folder / "calls.db")),
        )
    return float(json.loads(summary.read_text())["seconds"])


def line(folder: Path, arm: str, seconds: float) -> str:
    output = folder / f"{arm.replace(' ', '-').replace(',', '')}.jsonl"
    control = [] if arm == POOL else ["--baseline", str(folder / f"{POOL}.jsonl")]
    figures = json.loads(refinecli("report", str(output), *control, "--json", "-").stdout)
    rows = [json.loads(row) for row in output.read_text("utf-8").splitlines()]
    firsts = [row["refinement"]["initial_score"] for row in rows if row.get("refinement")]
    first = sum(firsts) / len(firsts)
    written = sum(len(row["refinement"]["iterations"]) for row in rows if row.get("refinement"))
    tokens, a_point = (figures["run_cost"][key] for key in ("tokens", "cost_per_point"))
    ahead, beside = "–", "– | –"
    if control:
        beside = beside_all(rows, folder)
        pool = figures["baselines"][-1]
        ahead = f"{told(pool['gain_over_it'])}, best of {pool['drafts']}"
        if pool["tokens_ratio"] < 0.95:
            ahead += f" with {pool['tokens_ratio']:.2f} × the tokens"
    return (
        f"| {arm} | {figures['n']} | {first:.3f} | {figures['score']['mean']:.3f} "
        f"| {told(figures['loop_gain'])} | {ahead} | {written / len(firsts):.1f} "
        f"| {'–' if tokens is None else f'{tokens:,}'} | {beside} "
        f"| {'–' if a_point is None else f'{a_point:,.0f}'} "
        f"| {figures['runs'][-1]['calls']} | {seconds:.0f} |"
    )


def beside_all(rows: Sequence[dict[str, Any]], folder: Path) -> str:
    """Return the share of the tokens of all that best-of-n drew, and how much higher it scored
    than the best of them, with intervals over the rows that both graded."""
    pool = (folder / f"{POOL}.jsonl").read_text("utf-8").splitlines()
    others = {row["id"]: row for row in map(json.loads, pool)}
    both = [(row, others[row["id"]]) for row in rows]
    both = [pair for pair in both if all(row.get("score") is not None for row in pair)]
    columns = [[tokens_of(pair[at]) for pair in both] for at in (0, 1)]
    columns += [[one["score"] - other["score"] for one, other in both], [1] * len(both)]
    share = Measure(lambda sums: sums[..., 0], lambda sums: sums[..., 1], "best-of-n took none")
    ahead = Measure(lambda sums: sums[..., 2], lambda sums: sums[..., 3], "no rows")
    found = Clusters([row["id"] for row, _ in both]).of_sums(
        [np.array(column, float) for column in columns], {"share": share, "ahead": ahead}
    )
    return f"{between(found['share'], '.0%')} | {between(found['ahead'], '+.3f')}"


def between(figure: Figure, form: str) -> str:
    if figure.value is None or figure.low is None or figure.high is None:
        return "–" if figure.value is None else format(figure.value, form)
    value, low, high = (format(end, form) for end in (figure.value, figure.low, figure.high))
    return f"{value} ({low} to {high})"


def tokens_of(row: dict[str, Any]) -> int:
    used = [it["usage"] for it in row["refinement"]["iterations"]]
    return sum(usage["prompt_tokens"] + usage["completion_tokens"] for usage in used)


def held_out(folder: Path, arm: str) -> str:
    """The gain on the items that the loop never saw, by the same code."""
    output = folder / f"{arm.replace(' ', '-').replace(',', '')}.jsonl"
    files = []
    for when in ("before", "after"):
        rows = []
        for text in output.read_text("utf-8").splitlines():
            row = json.loads(text)
            first = row["refinement"]["iterations"][0]["response"]
            response = first if when == "before" else row["response"]
            kept = {key: row[key] for key in ("id", "convo")}
            rows.append({**kept, "rubric_items": row["held_out"], "response": response})
        lines = "\n".join(map(json.dumps, rows))
        file = folder / f"held-out-{when}.jsonl"
        file.write_text(refinecli("grade", "--model", "local", given=lines).stdout, "utf-8")
        files.append(str(file))
    figures = json.loads(refinecli("report", *files, "--json", "-").stdout)
    return f"{told(figures['compared']['gain'])}, n = {figures['compared']['n']}"


def told(gain: dict[str, float] | None) -> str:
    if gain is None:
        return "–"
    if gain["low"] is None:
        return f"{gain['mean']:+.3f}"
    return f"{gain['mean']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})"


def refinecli(*args: str, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "refinecli", *args]
    done = subprocess.run(command, input=given, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(args)}: exit {done.returncode}")
    return done


if __name__ == "__main__":
    main()
