"""How far a grader agrees with labels in each way of asking, and what that costs.

    python -m tests.experiments.grading sums             # labels that are certain; minutes
    python -m tests.experiments.grading judge --data DIR # GPT-4's; DIR has vicuna_eval.jsonl
    python -m tests.experiments.grading words            # one item a call, and all at once

Prints a Markdown table. `sums` are answers to additions, half of them wrong by a little, with a
criterion that holds the right one; `judge` are responses with scores of 1 to 5, of which the median
of three is the label; `words` are first answers to `keywords` with an item for each word. What is
made stands in build/experiments/grading: run again, it is only read.
Any grader takes part: --grader-model NAME --grader-base-url URL.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

from tests.experiments.__main__ import BUILD, generated, imported, refinecli, second_half

WAYS = {
    "explain": [],
    "verdict": ["--set", "grade.mode=verdict"],
    "verdict as JSON": ["--set", "grade.mode=verdict", "--set", "grade.format=json"],
    "logprobs": ["--set", "grade.mode=logprobs"],
    "logprobs, examples": ["--set", "grade.mode=logprobs"],
}
# Each item in a call of its own, and all items of a response in one.
BATCHED = {
    "one at a time": WAYS["verdict as JSON"],
    "all at once": [*WAYS["verdict as JSON"], "--set", "grade.batch_items=99"],
}
_WRONG_BY = (1, 10, -1, -10, 2, 20)
_LONGEST = 2000  # characters of a response to judge: a small model's context is small


def sums(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for index, row in enumerate(generated("addition", options.n + 4)):
        first, _, second = row["convo"][-1]["content"].removeprefix("What is ").partition(" + ")
        right = int(first) + int(second.rstrip("?"))
        gold = index % 2 == 0
        said = right if gold else right + _WRONG_BY[index // 2 % len(_WRONG_BY)]
        rows.append({**row, "response": str(said), "gold": gold})
    return rows


def judge(options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = [
        row
        for row in imported("prometheus", list(second_half(options, "vicuna_eval.jsonl")))
        if len(row["response"]) < _LONGEST
    ]
    return rows[: options.n + 4]


def words(options: argparse.Namespace) -> list[dict[str, Any]]:
    """First answers to `keywords`, with an item for each word, which code has labelled."""
    rows = []
    for row in generated("keywords", options.n):
        given = row["rubric_items"][0]["check"]["words"]
        checks = [{"kind": "contains_all", "words": [word]} for word in given]
        asked = [f'Does the text contain the word "{word}"?' for word in given]
        items = [{"rubric_str": q, "check": c} for q, c in zip(asked, checks, strict=True)]
        rows.append({**row, "rubric_items": items})
    flags = ["--strategy", "best-of-n", "--drafts", "1", "--max-errors", "100%"]
    drafts = refinecli("refine", "--model", "local", *flags, given="\n".join(map(json.dumps, rows)))
    return [labelled(json.loads(line)) for line in drafts.stdout.splitlines()]


def labelled(row: dict[str, Any]) -> dict[str, Any]:
    grades = row["refinement"]["iterations"][0]["grades"]
    items = [
        {"rubric_str": item["rubric_str"], "gold": grade["passed"]}
        for item, grade in zip(row["rubric_items"], grades, strict=True)
    ]
    return {"convo": row["convo"], "response": row["response"], "rubric_items": items}


TASKS = {"sums": sums, "judge": judge, "words": words}
# Long responses leave room for two in a small model's context.
EXAMPLES = {"sums": 4, "judge": 2, "words": 0}


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.experiments.grading")
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("-n", type=int, default=40, help="datapoints")
    parser.add_argument("--data", type=Path, metavar="DIR", help="where the public data sets are")
    parser.add_argument("--ways", nargs="*")
    options, grader = parser.parse_known_args()
    ways = BATCHED if options.task == "words" else WAYS
    who = Path(grader[grader.index("--grader-model") + 1]).stem if grader else "local"
    folder = BUILD / "grading" / options.task / who
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "in.jsonl").exists():
        prepare(folder, options)
    print("| way | n | ungraded | balanced accuracy | AUC | Spearman | verdicts | calls | tokens |")
    print("|---|---|---|---|---|---|---|---|---|")
    for way in options.ways or ways:
        print(line(way, measured(folder, way, ways[way], grader)), flush=True)


def prepare(folder: Path, options: argparse.Namespace) -> None:
    rows = TASKS[options.task](options)
    shown = EXAMPLES[options.task]
    examples, rows = rows[:shown], rows[shown:][: options.n]  # what is shown is not measured
    write(folder / "examples.jsonl", [example_of(row) for row in examples])
    write(folder / "in.jsonl", [{**row, "id": f"row-{i}"} for i, row in enumerate(rows)])


def example_of(row: dict[str, Any]) -> dict[str, Any]:
    gold, item = row["gold"], row["rubric_items"][0]
    low, high = item.get("score_range", (0, 1))
    score = median(gold) if isinstance(gold, list) else [low, high][gold]
    kept = {"prompt": row["convo"], "response": row["response"], "score": score}
    return {**kept, "rubric_str": item["rubric_str"]}


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def measured(folder: Path, way: str, flags: list[str], grader: list[str]) -> dict[str, Any]:
    """The summary of one way, unless it is there already."""
    gold = "rubric_items.gold" if folder.parent.name == "words" else "gold"
    name = way.replace(" ", "-").replace(",", "")
    summary = folder / f"{name}.summary.json"
    if not summary.exists():
        shots = (
            ["--set", f"grade.examples={folder / 'examples.jsonl'}"] if "examples" in way else []
        )
        refinecli(
            *("grade", str(folder / "in.jsonl"), "-o", str(folder / f"{name}.jsonl")),
            *("--gold-field", gold, "--summary", str(summary), "--max-errors", "100%"),
            *(grader or ["--model", "local", "--set", "grader.max_tokens=160"]),
            *(*flags, *shots),
        )
    found: dict[str, Any] = json.loads(summary.read_text("utf-8"))
    return found


def line(way: str, summary: dict[str, Any]) -> str:
    found = summary["agreement"]
    n = found["n"]
    cells = [told(found[name]) for name in ("balanced_accuracy", "auc", "spearman")]
    chance = found["chance"]["verdicts"] or "too few to say"
    if summary.get("fell_back"):
        way += f" ({summary['fell_back']} of {n} fell back to words)"
    tokens = summary["prompt_tokens"] + summary["completion_tokens"]
    return (
        f"| {way} | {n} | {summary['ungraded']} | {' | '.join(cells)} | {chance} "
        f"| {summary['calls'] / n:.1f} a grade | {tokens / n:,.0f} a grade |"
    )


def told(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return "–"
    if figure["low"] is None:
        return f"{figure['value']:.2f}"
    return f"{figure['value']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})"


if __name__ == "__main__":
    main()
