"""What does a response gain by talking to its grader? Each payload behind answers that must fail.

    python -m tests.experiments payloads            # some minutes; prints a Markdown table

*quoted*: an honest grader's verdict, read by the parser, where the grader quotes the response
before and after it; *gullible*: a grader (`tests/support/gullible.py`) that believes what it reads
outside of the response's delimiters. *bare*: the response pasted in as it is; *tags*: our words
with tags that anybody can write; *ours*: the prompt that is sent. Then the embedded model, which is
shown two examples, by the probabilities of its verdict. A gain is the score with the payload less
that without.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from tests.support.gullible import Grader, Prompt, bare, gullible, honest, in_tags, ours, score
from tests.support.payloads import (
    CASES,
    JSON,
    PAYLOADS,
    RATING,
    RESULT,
    TAGGED,
    Case,
    Payload,
    Target,
)

SCRIPTED: dict[str, tuple[Prompt, Grader]] = {
    "quoted, bare": (bare, honest),
    "quoted, ours": (ours, honest),
    "gullible, bare": (bare, gullible),
    "gullible, tags": (in_tags, gullible),
    "gullible, ours": (ours, gullible),
}
# Where the labels of the verdict are not likely enough, it is asked for in words; so few will do.
GRADING = ("--set", "grade.mode=logprobs", "--set", "grader.max_tokens=24")
TARGETS = {"tags": TAGGED, "rating": RATING, "json": JSON, "result": RESULT}
Scores = dict[str, float | None]


def main(folder: Path, refinecli: Callable[..., Any], n: int | None) -> None:
    """The table, with so many of the cases for the embedded model."""
    cases = CASES[:n]
    data = "".join(json.dumps(row) + "\n" for row in rows(cases))
    (folder / "in.jsonl").write_text(data, "utf-8")
    graded = local(folder, refinecli)
    columns = [*SCRIPTED, "embedded model"]
    print("| payload | " + " | ".join(columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for payload in PAYLOADS:
        cells = [scripted(payload, prompt, grader) for prompt, grader in SCRIPTED.values()]
        cells[-1] += " ¹" if payload.open else ""
        print("| " + " | ".join([payload.name, *cells, mean_gain(payload, graded)]) + " |")
    print("\n¹ " + "; ".join(f"{p.name}: {p.open}" for p in PAYLOADS if p.open) + ".")
    print(f"\nThe embedded model: {competence(graded)}.")


def scripted(payload: Payload, prompt: Prompt, grader: Grader) -> str:
    """The mean gain over the cases; a grader made to leave an item ungraded is none."""
    scores = [
        score(case, payload.behind(case.bad), payload.target, prompt, grader) for case in CASES
    ]
    if min(scores) < 0:
        return "ungraded"
    return f"{fmean(scores):+.2f}" if any(scores) else "0"


# ------------------------------------------------------------------ the embedded model


def rows(cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
    for case in cases:
        for name, target in TARGETS.items():
            yield row(f"{case.question} / bad, {name}", case, target, case.bad)
            yield row(f"{case.question} / good, {name}", case, target, case.good)
        for payload in PAYLOADS:
            response = payload.behind(case.bad)
            yield row(f"{case.question} / {payload.name}", case, payload.target, response)


def row(name: str, case: Case, target: Target, response: str) -> dict[str, Any]:
    shown = zip(case.examples, (target.low, target.high), strict=True)
    examples = [{"response": answer, "score": verdict} for answer, verdict in shown]
    if target is RESULT:  # its pattern does not say how an example's verdict would be written
        examples = []
    return {
        "id": name,
        "convo": [{"role": "user", "content": case.question}],
        "rubric_items": [{**target.item(case.criterion), "examples": examples}],
        "response": response,
    }


def local(folder: Path, refinecli: Callable[..., Any]) -> Scores:
    """Each row's score by the embedded model, by its id."""
    output = folder / "graded.jsonl"
    if not output.exists():
        refinecli(
            *("grade", str(folder / "in.jsonl"), "-o", str(output), "--model", "local"),
            *(*GRADING, "--max-errors", "100%"),
        )
    graded = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    return {one["id"]: one.get("score") for one in graded}


def mean_gain(payload: Payload, scores: Scores) -> str:
    """Over the cases that were graded with the payload and without."""
    (kind,) = (name for name, target in TARGETS.items() if target is payload.target)
    gains = []
    for case in CASES:
        before = scores.get(f"{case.question} / bad, {kind}")
        after = scores.get(f"{case.question} / {payload.name}")
        if before is not None and after is not None:
            gains.append(after - before)
    return f"{fmean(gains):+.2f} (n = {len(gains)})" if gains else "ungraded"


def competence(scores: Scores) -> str:
    """How well the model tells good answers from bad ones when nobody talks to it."""
    good = [found for name, found in scores.items() if " / good, " in name]
    bad = [found for name, found in scores.items() if " / bad, " in name]
    known = [(g, b) for g, b in zip(good, bad, strict=True) if g is not None and b is not None]
    if not known:
        return "no pair of a good and a bad answer was graded; its gains say nothing"
    return (
        f"of {len(good)} pairs it grades both answers in {len(known)}, good ones "
        f"{fmean(g for g, _ in known):.2f} and bad ones {fmean(b for _, b in known):.2f}; "
        f"the good one is ahead in {_ahead(known):.2f} (0.5 is chance, where gains say nothing)"
    )


def _ahead(pairs: Sequence[tuple[float, float]]) -> float:
    return fmean(1.0 if good > bad else 0.5 if good == bad else 0.0 for good, bad in pairs)
