"""Examples from rewrites: a reviser's requests are those that were sent, and a critic's row gives
away nothing."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from refinecli.data.output_lines import Provenance, refined
from refinecli.data.rows import read_row
from refinecli.prompts import Prompts
from refinecli.refining.rollout import refine
from refinecli.refining.strategies import STRATEGIES, RefineOptions
from refinecli.text.json_text import dumps
from refinecli.types import Roles
from tests.support.exports import exported
from tests.support.fakes import Scripted, nobody, roles
from tests.support.report_files import row
from tests.unit.refining.test_adaptive import REWRITES_WORK, after

WORDS = ("red", "blue", "green", "gold")
ITEMS = [
    {"rubric_str": f"Has {w}", "check": {"kind": "contains_all", "words": [w]}} for w in WORDS
] + [
    {
        "rubric_str": "Is the answer 7?",
        "reveal": "verdict",
        "check": {"kind": "regex", "pattern": "7"},
    }
]
POINT = {
    "id": "p",
    "convo": [{"role": "system", "content": "Rhyme."}, {"role": "user", "content": "Colours?"}],
    "rubric_items": ITEMS,
}


def record(models: Roles, strategy: str, point: dict[str, Any], **options: Any) -> dict[str, Any]:
    """A line as `refine` writes it, by models that answer from a script."""
    found = read_row(dumps(point), 1, "here")
    assert found.datapoint is not None
    chosen = RefineOptions(strategy, **{**STRATEGIES[strategy].defaults, **options})
    estimates = after(*REWRITES_WORK) if strategy == "adaptive" else None
    done = asyncio.run(refine(found.datapoint, models, chosen, Prompts(), estimates=estimates))
    return refined(found.raw, done, Provenance({"policy": "small"}, "s")).record


def sent(reviser: Any) -> list[Any]:
    return [call.messages for call in reviser.calls]


@pytest.mark.parametrize(
    ("strategy", "rewrites", "accepted"),
    [
        ("refine", ["red", "red blue", "blue", "red blue green"], [1, 3]),
        ("adaptive", ["red blue", "red", "red blue green"], [0, 2]),
        ("refine", ["blue green", "red blue green", "gold"], [0, 1]),
    ],
)
def test_a_revisers_rows_are_the_requests_that_were_sent(
    tmp_path: Path, strategy: str, rewrites: list[str], accepted: list[int]
) -> None:
    models = roles(["red"], rewrites, nobody())
    line = record(
        models,
        strategy,
        POINT,
        max_iterations=len(rewrites),
        **({"stop_on_repeat": False} if strategy == "refine" else {}),
    )
    made = exported(tmp_path, "reviser", [line])
    assert made.texts == [rewrites[at] for at in accepted]
    assert [r["prompt"] for r in made.rows] == [sent(models.reviser)[at] for at in accepted]
    assert "Is the answer 7?" not in str(made.rows)


def test_a_request_that_the_record_has_replaced_is_made_again_as_it_was_sent(
    tmp_path: Path,
) -> None:
    """Of several rewrites of one response an adaptive loop keeps the request of the best alone."""
    models = roles(["red"], ["red blue"], nobody())
    line = record(models, "adaptive", POINT, max_iterations=1)
    (request,) = sent(models.reviser)
    iterations = line["refinement"]["iterations"]
    better = {**iterations[1], "iteration": 2, "response": "red blue green", "score": 0.6}
    iterations.append(better)
    iterations[0]["feedback"] = "the request of the third, which it need not have in common"
    made = exported(tmp_path, "reviser", [line])
    assert made.texts == ["red blue", "red blue green"]
    assert made.rows[0]["prompt"] == request
    assert made.rows[1]["prompt"] != request


@pytest.mark.parametrize("setting", ["refine.memory", "prompts.rewrite"])
def test_a_request_that_cannot_be_known_is_left_out(tmp_path: Path, setting: str) -> None:
    line = record(roles(["red"], ["red blue"], nobody()), "adaptive", POINT, max_iterations=1)
    iterations = line["refinement"]["iterations"]
    iterations.append({**iterations[1], "iteration": 2, "response": "red blue green", "score": 0.6})
    line["refinement"]["shaped_by"] = {setting: True}
    made = exported(tmp_path, "reviser", [line])
    assert made.texts == ["red blue green"]
    assert made.dropped == {"no_request": 1}


def test_self_refines_request_has_the_history_as_it_was_sent(tmp_path: Path) -> None:
    models = roles(["red"], ["red blue"], nobody(), critic=["Say blue.\n\nAnd more."])
    line = record(models, "self-refine", POINT, max_iterations=1)
    made = exported(tmp_path, "reviser", [line])
    assert [r["prompt"] for r in made.rows] == sent(models.reviser)


def test_rm_gallerys_request_has_the_last_response_as_it_was_sent(tmp_path: Path) -> None:
    models = roles(["red"], ["red blue"], nobody(), selector=["It lacks blue.\n<best>1</best>"])
    line = record(models, "rm-gallery", POINT, max_iterations=1)
    made = exported(tmp_path, "reviser", [line])
    assert [r["prompt"] for r in made.rows] == sent(models.reviser)


def test_a_rewrite_that_is_not_better_by_the_margin_is_left_out(tmp_path: Path) -> None:
    lines = [row(1, [0.5, 0.5]), row(2, [0.5, 0.4]), row(3, [0.5, 0.6]), row(4, [0.5, 0.9])]
    for line in lines:
        line["refinement"]["iterations"][0]["feedback"] = "Do better."
    made = exported(tmp_path, "reviser", lines, min_margin=0.2)
    assert made.texts == ["answer 1 to question 4"]
    assert made.dropped == {"not_better": 2, "margin": 1}


# ------------------------------------------------------------------ critics


def test_a_critic_learns_what_led_to_a_better_response(tmp_path: Path) -> None:
    models = roles(["red"], ["red blue", "red blue green"], nobody())
    made = exported(tmp_path, "critic", [record(models, "refine", POINT, max_iterations=2)])
    first = made.rows[0]
    assert first["completion"][0]["content"] == (
        "- Has blue\n  Problem: missing: blue\n"
        "- Has green\n  Problem: missing: green\n"
        "- Has gold\n  Problem: missing: gold"
    )
    asked = first["prompt"][-1]["content"]
    assert "Colours?" in asked
    assert "<response>\nred\n</response>" in asked
    assert len(made.rows) == 2


def test_a_critics_row_has_no_hidden_item_and_no_row_has_a_reference(tmp_path: Path) -> None:
    models = roles(["red"], ["red blue"], nobody())
    line = record(models, "refine", POINT, max_iterations=1)
    models = roles(["red"], ["red blue"], nobody())
    other = record(models, "refine", POINT | {"reference": "red gold"}, max_iterations=1)
    made = exported(tmp_path, "critic", [line, other])
    assert len(made.rows) == 1
    assert made.dropped == {"reference": 1}
    assert "Is the answer 7?" not in str(made.rows)
    assert "not shown" not in str(made.rows)


def test_a_critics_own_words_are_taken_out_of_the_request(tmp_path: Path) -> None:
    critic = ["Say blue.\n\nAnd more."]
    models = roles(["red"], ["red blue"], nobody(), critic=critic)
    options = {"max_iterations": 1, "principles": ("Be plain.",)}
    made = exported(tmp_path, "critic", [record(models, "self-refine", POINT, **options)])
    assert made.texts == critic
    assert isinstance(models.critic, Scripted)
    assert made.rows[0]["prompt"] == models.critic.calls[0].messages


def test_where_only_a_hidden_item_failed_there_is_no_critique(tmp_path: Path) -> None:
    all_shown = " ".join(WORDS)
    models = roles([all_shown], [f"{all_shown} 7"], nobody())
    lines = [
        record(models, "refine", POINT, max_iterations=1),
        record(roles(["red"], ["red blue"], nobody()), "refine", POINT, max_iterations=1),
    ]
    made = exported(tmp_path, "critic", lines)
    assert len(made.rows) == 1
    assert made.dropped == {"no_critique": 1}


def test_one_critique_of_a_response_goes_in_once(tmp_path: Path) -> None:
    models = roles(["red"], ["red blue", "red gold"], nobody())
    line = record(models, "adaptive", POINT, max_iterations=2)
    line["refinement"]["iterations"][2]["parent"] = 0
    made = exported(tmp_path, "critic", [line])
    assert len(made.rows) == 1
    assert made.dropped == {"duplicate": 1}
