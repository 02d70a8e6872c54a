"""The figures of a report: what is counted, paired, claimed and called into question."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from refinecli.errors import RefineError, UsageError
from refinecli.report.figures import build
from refinecli.report.gains import Regrade, Regrades
from refinecli.report.html.tables import tables
from refinecli.report.runs import Run, read_run
from refinecli.report.table import renderables
from tests.conftest import write_jsonl
from tests.support.report_files import Row, failed_row, graded_row, row

Read = Callable[..., Run]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """A run, from its lines."""

    def read(rows: Sequence[Row], name: str = "out.jsonl", label: str | None = None) -> Run:
        return read_run(str(write_jsonl(tmp_path / name, rows)), label)

    return read


def gained(n: int = 30, every: int = 2, **fields: Any) -> list[Row]:
    """Datapoints of which each `every`th rises from 0 to 1, the others staying at 0."""
    return [row(i, [0.0, float(i % every == 0)], **fields) for i in range(n)]


def said(figures: Row) -> str:
    return "\n".join(figures["conclusions"])


def alarms(figures: Row) -> dict[str, str]:
    return {alarm["type"]: alarm["message"] for alarm in figures["alarms"]}


# ------------------------------------------------------------------ files


def test_failed_ungraded_and_other_lines_are_counted_and_left_out_of_gains(read: Read) -> None:
    rows = [*gained(30), row(30, [None]), failed_row(31), {"id": 1, "convo": []}]
    figures = build([read(rows)])
    run = figures["runs"][0]
    assert [run[name] for name in ("datapoints", "done", "ungraded", "failed", "skipped")] == [
        *(32, 30, 1, 1),
        1,
    ]
    assert figures["n"] == figures["scored"] == 30


def test_a_datapoint_that_failed_in_a_later_round_counts_with_its_best_response(
    read: Read,
) -> None:
    rows = gained(30)
    rows[0]["refinement"]["status"] = "failed"
    rows[0]["error"] = {"type": "timeout", "message": "no answer", "stage": "reviser"}
    figures = build([read(rows)])
    assert (figures["n"], figures["runs"][0]["failed"]) == (30, 1)


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_outputs_are_read(tmp_path: Path, read: Read, suffix: str) -> None:
    from refinecli.data.sources import zstd

    data = "".join(json.dumps(line) + "\n" for line in gained(3)).encode()
    path = tmp_path / f"out.jsonl{suffix}"
    path.write_bytes(gzip.compress(data) if suffix == ".gz" else zstd().compress(data))
    assert read_run(str(path)).done == 3


def test_a_file_without_results_names_the_way_out(read: Read) -> None:
    with pytest.raises(UsageError) as caught:
        read([{"id": 1, "convo": [{"role": "user", "content": "hi"}], "rubric_items": []}])
    assert "refinecli refine" in caught.value.hint


@pytest.mark.parametrize(
    "spoil",
    [
        lambda line: line["refinement"].pop("iterations"),
        lambda line: line["refinement"].update(best_iteration=7),
        lambda line: line["refinement"]["iterations"][1].update(parent=1),
        lambda line: line["refinement"]["iterations"][0].pop("response"),
        lambda line: line["refinement"]["iterations"][0]["grades"][0].update(item=9),
        lambda line: line.update(rubric_items=[3]),
    ],
)
def test_a_line_that_is_not_ours_is_named(read: Read, spoil: Callable[[Row], object]) -> None:
    rows = gained(2)
    spoil(rows[1])
    with pytest.raises(RefineError) as caught:
        read(rows)
    assert caught.value.exit_code == 2
    assert getattr(caught.value, "where", "").endswith("out.jsonl:2")


def test_lines_of_earlier_versions_without_a_strategy_are_refine(read: Read) -> None:
    rows = gained(2)
    for line in rows:
        del line["refinement"]["strategy"]
    assert read(rows).strategy == "refine"


def test_a_label_that_is_a_date_is_the_date(read: Read) -> None:
    assert read(gained(1), label="2026-11-01 nightly").date == "2026-11-01"
    assert read(gained(1), label="nightly").date != "nightly"


def test_rows_with_one_id_are_told_apart_and_vary_together(read: Read) -> None:
    rows = [line for line in gained(30) for _ in range(2)]
    figures = build([read(rows), read(rows, "new.jsonl")])
    assert figures["n"] == figures["compared"]["n"] == 60
    assert figures["loop_gain"] == build([read(gained(30))])["loop_gain"]


# ------------------------------------------------------------------ gains and claims


def test_a_row_that_failed_leaves_the_others_with_its_id_where_they_are(read: Read) -> None:
    both = [row(0, [0.25], id="same"), row(1, [0.75], id="same")]
    one = [failed_row(0) | {"id": "same"}, row(1, [0.75], id="same")]
    pair = build([read(one), read(both, "new.jsonl")])["compared"]
    assert (pair["n"], pair["gain"]["mean"]) == (1, 0.0)


def test_a_loop_gain_by_a_model_is_never_claimed(read: Read) -> None:
    figures = build([read(gained(100))])
    assert figures["loop_gain"]["low"] > 0
    assert figures["claim"] == {"basis": None, "gain": False}
    assert "optimistic" in said(figures)
    assert "grade the responses again (regrade)" in said(figures)
    assert "baseline=FILE" in said(figures)


def test_what_is_no_gain_in_the_loop_needs_no_regrading(read: Read) -> None:
    rows = [row(i, [0.5, 0.5 + 0.5 * (-1) ** i], best=1) for i in range(40)]
    for line in rows:
        line["refinement"]["strategy"] = "rm-gallery"
    told = said(build([read(rows)]))
    assert "No gain is shown" in told
    assert "(regrade)" not in told


def test_a_gain_graded_by_code_is_claimed(read: Read) -> None:
    items = [{"check": {"kind": "contains_all", "words": ["dog"]}}]
    figures = build([read(gained(60, items=items))])
    assert figures["claim"] == {"basis": "code", "gain": True}
    assert "no grader noise" in said(figures)
    assert "(regrade)" not in said(figures)


def test_five_datapoints_that_differ_claim_nothing_and_it_says_so(read: Read) -> None:
    items = [{"check": {"kind": "contains_all", "words": ["dog"]}}]
    none_gained = [row(i, [0.0, 0.0], items=items) for i in range(30)]
    figures = build(
        [read(gained(30, every=6, items=items))], [read(none_gained, name="other.jsonl")]
    )
    assert figures["loop_gain"]["low"] > 0
    assert figures["claim"]["gain"] is False
    assert "It rests on 5 datapoints; a claim takes 6" in said(figures)
    assert "5 datapoints that differ: too few to claim anything" in said(figures)


def test_one_item_by_a_model_makes_the_whole_score_noisy(read: Read) -> None:
    items = [{"check": {"kind": "contains_all", "words": ["dog"]}}, {}]
    assert build([read(gained(60, items=items))])["claim"]["basis"] is None


def regrades(n: int, gain: Callable[[int], float]) -> Regrades:
    return {(f"dp-{i}", 0): Regrade(0.4, 0.4 + gain(i)) for i in range(n)}


def test_optimism_is_loop_less_regraded_and_judge_gap_regraded_less_judge(read: Read) -> None:
    figures = build([read(gained(60))], (), regrades(60, lambda i: 0.2), regrades(60, lambda i: 0))
    means = {key: figures[key]["mean"] for key in ("loop_gain", "regraded_gain", "heldout_gain")}
    assert means == {"loop_gain": 0.5, "regraded_gain": 0.2, "heldout_gain": 0.0}
    assert figures["optimism"]["mean"] == pytest.approx(0.3)
    assert figures["judge_gap"]["mean"] == pytest.approx(0.2)
    assert figures["claim"] == {"basis": "regraded", "gain": True}
    assert "The held-out judge does not find it" in said(figures)


def test_without_a_judge_a_regraded_gain_may_be_an_error_that_is_repeated(read: Read) -> None:
    run, fresh = read(gained(60)), regrades(60, lambda i: 0.2)
    repeated = "An error that the grader repeats in other words counts as a gain here"
    assert repeated in said(build([run], (), fresh))
    assert repeated not in said(build([run], (), fresh, fresh))
    assert repeated not in said(build([run], (), regrades(60, lambda i: 0.0)))


def test_a_regraded_gain_around_zero_is_no_gain_and_says_what_would_be_found(read: Read) -> None:
    figures = build([read(gained(60))], (), regrades(60, lambda i: 0.1 * (-1) ** i))
    assert figures["claim"]["gain"] is False
    assert "No gain is shown" in said(figures)
    assert f"a gain of {figures['detectable']:.3f} as this grader sees it" in said(figures)


@pytest.mark.parametrize(
    ("loop", "told"),
    [(0.0, "regraded, as in the loop."), (1.0, "though the loop found +0.100 (")],
)
def test_fresh_grades_that_say_what_the_loop_said_are_not_set_against_it(
    read: Read, loop: float, told: str
) -> None:
    rows = [row(i, [0.0, loop * (i % 10 == 0)]) for i in range(60)]
    assert told in said(build([read(rows)], (), regrades(60, lambda i: 0.0)))


def test_a_gain_of_a_handful_is_not_claimed_whatever_the_bootstrap_says(read: Read) -> None:
    figures = build([read(gained(60))], (), regrades(60, lambda i: float(i < 5)))
    assert figures["regraded_gain"]["low"] > 0
    assert figures["claim"]["gain"] is False  # five of five: p = 0.06
    figures = build([read(gained(60))], (), regrades(60, lambda i: float(i < 6)))
    assert figures["claim"]["gain"] is True


def test_the_heldout_judge_alone_can_carry_a_claim(read: Read) -> None:
    figures = build([read(gained(60))], (), None, regrades(60, lambda i: 0.2))
    assert figures["claim"] == {"basis": "heldout", "gain": True}
    assert figures["regraded_gain"] is None


def test_below_twenty_datapoints_nothing_is_claimed(read: Read) -> None:
    figures = build([read(gained(19))], (), regrades(19, lambda i: 0.2))
    assert figures["too_few"] is True
    assert figures["loop_gain"]["low"] is None
    assert figures["claim"]["gain"] is False
    assert "too few" in said(figures)


def test_nineteen_groups_are_too_few_however_many_rows_they_have(read: Read) -> None:
    rows = [{**line, "group": i % 19} for i, line in enumerate(gained(190))]
    assert build([read(rows)])["too_few"] is True


def test_gains_on_hidden_items_stand_apart(read: Read) -> None:
    items: list[Row] = [{}, {"check": {"kind": "number", "value": 4}}, {"reveal": "verdict"}]
    rows = [row(i, [[0.0, 0.0, 0.0], [1.0, 0.0, 1.0]], items=items) for i in range(30)]
    figures = build([read(rows)])
    assert figures["revealed_gain"]["mean"] == 1.0
    assert figures["verdict_gain"]["mean"] == 0.5
    assert [item["reveal"] for item in figures["items"]] == ["full", "verdict", "verdict"]


def test_one_response_each_is_no_refinement(read: Read) -> None:
    figures = build([read([row(i, [1.0]) for i in range(30)])])
    assert "nothing was refined" in said(figures)
    assert "(regrade)" not in said(figures)


# ------------------------------------------------------------------ tables


def test_finished_datapoints_are_carried_forward(read: Read) -> None:
    rows = [row(0, [1.0]), row(1, [0.0, 1.0]), row(2, [0.0, 0.5, 0.25])]
    curve = build([read(rows)])["iterations"]
    assert [point["score"]["mean"] for point in curve] == pytest.approx([1 / 3, 2.5 / 3, 2.5 / 3])
    assert [point["active"] for point in curve] == [3, 2, 1]
    assert [point["n"] for point in curve] == [3, 3, 3]
    assert [point["accepted"] and point["accepted"]["mean"] for point in curve] == [None, 1.0, 0.0]
    assert [point["calls"] for point in curve] == [6, 4, 2]


def test_fixed_and_broken_are_told_against_the_parent(read: Read) -> None:
    items: list[Row] = [{}, {}, {}]
    rows = [row(0, [[0, 0, 1], [1, 1, 0], [1, 0, 1]], items=items)]
    curve = build([read(rows)])["iterations"]
    told = [(point["fixed"], point["broken"]) for point in curve]
    assert told == [(None, None), (2, 1), (1, 1)]


def test_drafts_fix_and_break_nothing_for_they_come_of_none(read: Read) -> None:
    figures = build([read([row(n, [0.0, 1.0], drafts=True) for n in range(20)])])
    told = [(point["fixed"], point["broken"]) for point in figures["iterations"]]
    assert told == [(None, None), (None, None)]
    assert figures["items"][0]["fixed"] == 20  # by choosing among them
    text = [line.plain.split() for line in renderables(figures)]
    assert ["1.000", "100%", "-", "-"] in [words[5:9] for words in text]
    cells = "".join(f'<td class="number">{cell}</td>' for cell in ("–", "–", "22"))
    assert tables(figures, {})["Drafts"].count(cells) == 2


def test_rounds_that_nobody_graded_have_no_score(read: Read) -> None:
    rows = [row(i, [0.0, None, 1.0]) for i in range(30)]
    for line in rows:
        line["refinement"]["strategy"] = "self-refine"
        line["refinement"]["iterations"][1] |= {"grades": [], "accepted": True}
    figures = build([read(rows)])
    assert [point["score"] is None for point in figures["iterations"]] == [False, True, False]
    assert [point["accepted"] is None for point in figures["iterations"]] == [True, True, True]
    assert figures["baselines"][0]["tokens"] is None  # the first feedback's are among them
    assert "best of several" not in said(figures)


def test_a_threshold_that_was_missed_is_not_passed(read: Read) -> None:
    rows = [row(i, [1.0]) for i in range(30)]
    for line in rows[:10]:
        line["refinement"]["stop_reason"] = "max_iterations"  # every item passed all the same
    assert build([read(rows)])["pass_rate"]["mean"] == pytest.approx(2 / 3)


def test_who_won_is_counted(read: Read) -> None:
    rows = [row(i, [0.0, 1.0]) for i in range(4)]
    for line, winner in zip(rows, ("new", "new", "old", "tie"), strict=True):
        step = line["refinement"]["iterations"][1]
        step |= {"role": "critic", "selection": {"winner": winner, "votes": [], "reasons": []}}
    assert build([read(rows)])["selections"] == {"critic": 2, "policy": 1, "tie": 1}


def test_a_penalty_gains_where_it_falls(read: Read) -> None:
    items: list[Row] = [{"name": "good"}, {"name": "rude", "weight": -1}]
    rows = [row(i, [[0.0, 1.0], [1.0, 0.0]], items=items, best=1) for i in range(3)]
    good, rude = build([read(rows)])["items"]
    assert (good["gain"]["mean"], rude["gain"]["mean"]) == (1.0, 1.0)
    assert (good["penalty"], rude["penalty"]) == (False, True)
    assert (rude["first"]["mean"], rude["final"]["mean"]) == (1.0, 0.0)


def test_ungraded_items_are_counted_and_no_zeros(read: Read) -> None:
    items: list[Row] = [{}, {}]
    rows = [row(i, [[1.0, None if i < 3 else 1.0]], items=items) for i in range(10)]
    first, second = build([read(rows)])["items"]
    assert (first["ungraded"], second["ungraded"], second["n"]) == (0, 3, 7)
    assert second["final"]["mean"] == 1.0


def test_items_are_regraded_too(read: Read) -> None:
    fresh: Regrades = {(f"dp-{i}", 0): Regrade(0.0, 0.5, ((0.0, 0.5),)) for i in range(30)}
    assert build([read(gained(30))], (), fresh)["items"][0]["regraded_gain"]["mean"] == 0.5


def test_grade_outputs_have_a_final_score_only(read: Read) -> None:
    figures = build([read([graded_row(i, float(i % 4 > 0)) for i in range(40)])])
    assert (figures["n"], figures["scored"]) == (0, 40)
    assert figures["score"]["mean"] == 0.75
    assert figures["loop_gain"] is None
    assert figures["items"][0]["final"]["mean"] == 0.75
    assert figures["items"][0]["gain"] is None


# ------------------------------------------------------------------ baselines


def drafted(n: int, drafts: Sequence[float], tokens: int = 100) -> list[Row]:
    return [row(i, drafts, drafts=True, tokens=tokens) for i in range(n)]


def made_by(strategy: str, rows: list[Row], **shaped_by: Any) -> list[Row]:
    for line in rows:
        line["refinement"] |= {"strategy": strategy, "shaped_by": shaped_by}
    return rows


def test_a_loop_that_happened_only_to_draft_is_not_resampling(read: Read) -> None:
    """Its strategy and settings decide: it could have rewritten, and stops where it likes."""
    run = read(gained())
    for number, strategy in enumerate(("adaptive", "refine")):
        other = read(made_by(strategy, drafted(30, [0.0, 0.5])), f"{number}.jsonl")
        compared = build([run], baselines=[other])["baselines"][-1]
        assert compared["name"] == f"{number}.jsonl"
        assert not compared["drafts"]
        assert "compare with a run of the strategy best-of-n" in said(build([other]))


def test_a_loop_that_may_not_rewrite_is_resampling(read: Read) -> None:
    no_rewrites = {"refine.max_iterations": 0}
    other = read(made_by("refine", drafted(30, [0.0, 0.5]), **no_rewrites), "drafts.jsonl")
    assert build([read(gained())], baselines=[other])["baselines"][-1]["drafts"] == 2
    assert "compare with a run" not in said(build([other]))


def test_the_first_answer_is_always_a_baseline(read: Read) -> None:
    figures = build([read(gained(30))])
    first = figures["baselines"][0]
    assert first["name"] == "first answer"
    assert first["gain_over_it"] == figures["loop_gain"]
    assert (first["tokens"], first["tokens_ratio"]) == (3000, 0.5)
    # 100 tokens and 2 calls more a datapoint, for 50 points
    assert figures["run_cost"]["cost_per_point"] == pytest.approx(2)
    assert figures["run_cost"]["calls_per_point"] == pytest.approx(0.04)


def test_the_run_costs_less_beside_its_baselines_by_what_has_no_two_scores(read: Read) -> None:
    rows = [*gained(20), row(20, [0.0, 1.0]), row(21, [None, None])]
    figures = build([read(rows)])
    assert (figures["runs"][0]["calls"], figures["run_cost"]["calls"]) == (88, 84)
    told = "1 without a first and a final score"
    assert f"this run: {told}" in "\n".join(line.plain for line in renderables(figures))
    assert f"This run: {told}" in tables(figures, {})["Baselines"]
    figures = build([read(rows[:-1])])
    assert told not in "\n".join(line.plain for line in renderables(figures))
    assert told not in tables(figures, {})["Baselines"]


def test_so_many_drafts_count_as_cost_what_the_run_cost(read: Read) -> None:
    run = read([row(i, [0.0, 0.0, 0.5]) for i in range(30)])
    baseline = build([run], [read(drafted(30, [0, 0, 0.25, 1.0]), "bon.jsonl")])["baselines"][1]
    assert (baseline["drafts"], baseline["drafts_drawn"]) == (3, 4)
    assert baseline["score"]["mean"] == 0.25  # of the first three, though the fourth is better
    assert baseline["gain_over_it"]["mean"] == 0.25
    assert baseline["tokens_ratio"] == 1.0


def test_the_number_of_drafts_does_not_depend_on_scores(read: Read) -> None:
    run = read([row(i, [0.0, 0.0, 0.5]) for i in range(30)])
    found = {
        build([run], [read(drafted(30, scores), "bon.jsonl")])["baselines"][1]["drafts"]
        for scores in ([1, 0, 0, 0], [0, 0, 0, 1], [0, 0.2, 0.4, 0.6])
    }
    assert found == {3}


def test_drafts_that_cost_too_little_are_no_equal_cost_control(read: Read) -> None:
    run = read([row(i, [0.0, 0.0, 0.0, 0.0, 0.5]) for i in range(30)])
    figures = build([run], [read(drafted(30, [0, 0, 0.25]), "bon.jsonl")])
    assert figures["baselines"][1]["drafts"] == 3
    assert "60% of the run's tokens: not an equal-cost control" in alarms(figures)["unequal_cost"]


def test_only_common_datapoints_are_compared(read: Read) -> None:
    other = [*drafted(20, [0, 0.5]), failed_row(20), *drafted(40, [1, 1])[35:]]
    baseline = build([read(gained(30))], [read(other, "bon.jsonl")])["baselines"][1]
    assert (baseline["n"], baseline["left_out"]) == (20, 10)


def test_nothing_in_common_is_an_error(read: Read) -> None:
    with pytest.raises(UsageError, match="in common"):
        build([read(gained(3))], [read(drafted(6, [0, 0])[3:], "bon.jsonl")])


def test_a_single_answer_baseline_has_no_drafts_to_choose(read: Read) -> None:
    figures = build([read(gained(30))], [read([row(i, [0.25]) for i in range(30)], "rubric.jsonl")])
    assert figures["baselines"][1]["name"] == "rubric.jsonl"
    assert figures["baselines"][1]["drafts"] is None
    assert "best-of-n (baseline=FILE)" in said(figures)  # the control is still missing


def test_scores_of_a_later_grade_are_compared_where_both_have_them(read: Read) -> None:
    fresh = {"score": 0.75, "grading": {"status": "done", "grades": []}}
    run = read([line | fresh for line in gained(30)])
    worse = [row(i, [0.5]) | fresh | {"score": 0.25} for i in range(30)]
    figures = build([run])
    assert "A later `grade` of the same responses: 0.750, " in said(figures)
    later = [case.fresh_passed for case in run.cases]
    assert figures["fresh_pass_rate"]["mean"] == sum(map(bool, later)) / len(later)
    assert build([read(gained(30))])["fresh_pass_rate"] is None
    both, one = read(worse, "a.jsonl"), read([row(i, [0.5]) for i in range(30)], "b.jsonl")
    found = build([run], [both, one])["baselines"][1:]
    assert [baseline["fresh"] for baseline in found] == [True, False]
    assert [baseline["gain_over_it"]["mean"] for baseline in found] == [0.5, 0.0]


def test_what_a_later_grade_left_ungraded_is_left_out_of_comparisons(read: Read) -> None:
    fresh = {"grading": {"status": "done", "grades": []}}
    run = read([line | fresh | {"score": 0.75} for line in gained(30)])
    ungraded = {"grading": {"status": "ungraded", "grades": []}, "score": None}
    other = [row(i, [0.5]) | (ungraded if i < 2 else fresh | {"score": 0.25}) for i in range(30)]
    old = read(other, "other.jsonl")
    found = build([run], [old])["baselines"][1]
    pair = build([old, run])["compared"]
    for one, gain in ((found, found["gain_over_it"]), (pair, pair["gain"])):
        assert (one["fresh"], one["n"], gain["mean"]) == (True, 28, 0.5)
    assert (found["left_out"], pair["left_out"]) == (2, 4)


def test_by_the_loops_own_grades_nothing_is_claimed_against_a_baseline(read: Read) -> None:
    """A loop that stops where it has passed looks more often at what fails, at the same cost."""
    told = said(build([read(gained(30))], [read(drafted(30, [0, 0]), "bon.jsonl")]))
    assert "+0.333 to +0.667) by the loops' own grades." in told
    assert "Nothing is claimed from that: these favour the run that chose among more" in told
    assert "To be sure, grade the responses again (regrade)." in told
    assert "beats" not in told


@pytest.mark.parametrize(
    ("drafts", "words"),
    [
        ([0, 0], "refining beats resampling"),
        ([0, 0.5], "is not shown to beat"),
        ([1, 1], "resampling beats refining"),
    ],
)
def test_graded_by_code_refining_is_compared_with_resampling(
    read: Read, drafts: list[float], words: str
) -> None:
    code = [{"check": {"kind": "words", "min": 1}}]
    run = read([row(i, [0.0, float(i % 2)], items=code) for i in range(30)])
    told = said(build([run], [read(drafted(30, drafts), "bon.jsonl")]))
    assert words in told
    assert "these favour" not in told


def test_graded_afresh_refining_is_compared_with_resampling(read: Read) -> None:
    fresh = {"grading": {"status": "done", "grades": []}}
    run = read([line | fresh | {"score": 0.75} for line in gained(30)])
    other = [line | fresh | {"score": 0.25} for line in drafted(30, [0, 0])]
    told = said(build([run], [read(other, "bon.jsonl")]))
    assert "refining beats resampling" in told
    assert "these favour" not in told


def afresh(rows: list[Row], score: float, grader: str = "large") -> list[Row]:
    """The same after a later `grade`."""
    marks = [{"item": 0, "score": score, "passed": score >= 1}]
    graded = {"status": "done", "grades": marks, "models": {"grader": grader}}
    return [line | {"score": score, "grading": graded} for line in rows]


def test_graded_afresh_all_drafts_count_and_their_cost_is_told(read: Read) -> None:
    other = read(afresh(drafted(30, [0, 0, 0, 0]), 1.0), "bon.jsonl")
    figures = build([read(afresh(gained(30), 0.5))], [other])
    row = figures["baselines"][1]
    assert (row["fresh"], row["drafts"], row["drafts_at_equal_cost"]) == (True, 4, 2)
    assert (row["gain_over_it"]["mean"], row["tokens_ratio"]) == (-0.5, 2)
    assert (row["run_score"]["mean"], row["score"]["mean"]) == (0.5, 1.0)
    assert "regraded, resampling beats refining, at more cost" in said(figures)
    assert "200% of the run's tokens: with `drafts=2`" in alarms(figures)["unequal_cost"]


@pytest.mark.parametrize("other", [30, 20])
def test_ids_that_mean_another_conversation_are_no_pairs(read: Read, other: int) -> None:
    strange = [
        line | {"convo": [{"role": "user", "content": "?"}]} if i < other else line
        for i, line in enumerate(drafted(30, [0, 0]))
    ]
    ours, theirs = read(gained(30)), read(strange, "bon.jsonl")
    for runs, baselines in (([ours], [theirs]), ([theirs, ours], [])):
        with pytest.raises(UsageError, match=f"{other} of 30 ids that it shares with .* have"):
            build(runs, baselines)


def test_a_few_other_conversations_are_left_out_and_told(read: Read) -> None:
    strange = drafted(30, [0, 0])
    strange[3]["convo"] = [{"role": "user", "content": "?"}]
    figures = build([read(gained(30))], [read(strange, "bon.jsonl")])
    assert (figures["baselines"][1]["n"], figures["baselines"][1]["left_out"]) == (29, 1)
    assert "1 datapoint with the same id" in alarms(figures)["other_conversation"]
    assert "over 29 of 30 datapoints" in said(figures)


def test_another_rubric_for_the_same_conversation_is_an_alarm(read: Read) -> None:
    edited = [row(i, [0.0], items=[{"rubric_str": "Is it better?"}]) for i in range(30)]
    figures = build([read(edited, "old.jsonl"), read(gained(30))])
    assert "different rubrics for 30 of the same" in alarms(figures)["other_rubric"]
    assert figures["compared"]["n"] == 30


@pytest.mark.parametrize(
    ("other", "words"), [(0.1, "refining beats"), (0.5, "not shown to"), (0.9, "resampling beats")]
)
def test_a_baseline_that_was_regraded_is_compared_by_that(
    read: Read, other: float, words: str
) -> None:
    run, drafts = read(gained(30)), read(drafted(30, [0, 1]), "bon.jsonl")
    others = (Regrade(other, 0.5),)
    fresh: Regrades = {(f"dp-{i}", 0): Regrade(0.25, 0.5, others=others) for i in range(30)}
    figures = build([run], [drafts], fresh)
    first, bon = figures["baselines"]
    assert bon["gain_over_it"]["mean"] == -0.5
    assert bon["regraded_gain_over_it"]["mean"] == pytest.approx(0.5 - other)
    assert first["regraded_gain_over_it"] == figures["regraded_gain"]
    assert words in said(figures)
    assert "Nothing is claimed" not in said(figures)


@pytest.mark.parametrize(
    ("differ", "groups", "words"),
    [
        (6, 30, "refining beats resampling"),
        (5, 30, "by 5 datapoints that differ: too few to claim anything"),
        (12, 24, "by 4 datapoints that differ: too few to claim anything"),
    ],
)
def test_fresh_grades_of_a_handful_claim_nothing_over_a_baseline(
    read: Read, differ: int, groups: int, words: str
) -> None:
    """As of a gain: variants of one prompt count once, whatever the bootstrap says."""
    n, of_one = (30, 1) if groups == 30 else (72, 3)
    fields = [{"group": str(i // of_one)} for i in range(n)]
    run = read([one | more for one, more in zip(gained(n), fields, strict=True)])
    drafts = read([d | m for d, m in zip(drafted(n, [0, 0]), fields, strict=True)], "bon.jsonl")
    fresh: Regrades = {
        (f"dp-{i}", 0): Regrade(0.5, 0.9, others=(Regrade(0.5 - (i < differ) * 0.3, 0.5),))
        for i in range(n)
    }
    figures = build([run], [drafts], fresh)
    assert figures["baselines"][1]["regraded_gain_over_it"]["low"] > 0
    assert words in said(figures)
    assert figures["baselines"][1]["regraded_differing"] == min(differ, differ // of_one)


def test_runs_graded_by_different_models_are_an_alarm_and_no_claim(read: Read) -> None:
    other = read(afresh(drafted(30, [0, 0]), 0.25, "tiny"), "bon.jsonl")
    figures = build([read(afresh(gained(30), 0.75))], [other])
    told = "out.jsonl was graded by large, bon.jsonl by tiny"
    assert told in alarms(figures)["other_grader"]
    assert "by different graders, so nothing is claimed" in said(figures)
    assert "beats" not in said(figures)
    loops = build([read(gained(30))], [read(drafted(30, [0, 0]), "bon.jsonl")])
    assert "other_grader" not in alarms(loops)
    code = [{"check": {"kind": "words", "min": 1}}]
    rows = [row(i, [0.0], items=code) for i in range(30)]
    for line in rows:
        line["refinement"]["models"] = {"grader": "tiny"}
    old = read(rows, "old.jsonl")
    assert "other_grader" not in alarms(build([old, read(gained(30, items=code))]))


# ------------------------------------------------------------------ alarms


def test_answers_that_grow_are_an_alarm(read: Read) -> None:
    rows = [row(i, [0.0, 1.0], texts=["x" * (90 + i), "x" * 150]) for i in range(30)]
    assert "times as long" in alarms(build([read(rows)]))["length"]
    same = [row(i, [0.0, 1.0], texts=["x" * (90 + i), "y" * 100]) for i in range(30)]
    assert "length" not in alarms(build([read(same)]))


CRITERION = "Does the answer name the capital of France with confidence?"


@pytest.mark.parametrize(
    ("first", "prompt", "item", "found"),
    [
        ("Paris", "Where?", {}, True),
        ("I name the capital of France with confidence: Paris", "Where?", {}, False),
        ("Paris", "Please name the capital of France with confidence.", {}, False),
        ("Paris", "Where?", {"check": {"kind": "words", "min": 1}}, False),
    ],
)
def test_phrases_of_the_rubric_in_answers_are_an_alarm(
    read: Read, first: str, prompt: str, item: Row, found: bool
) -> None:
    final = "With this I name the capital of France with confidence."
    rows = [
        row(0, [0.0, 1.0], texts=[first, final], items=[{"rubric_str": CRITERION, **item}])
        | {"convo": [{"role": "user", "content": [{"type": "text", "text": prompt}]}]}
    ]
    assert ("rubric_copied" in alarms(build([read(rows)]))) is found


def test_a_gain_only_where_the_grader_is_noisy_is_an_alarm(read: Read) -> None:
    def fresh(gains_when_noisy: bool) -> Regrades:
        return {
            (f"dp-{i}", 0): Regrade(
                0.5, 0.6 if (i % 2 == 0) == gains_when_noisy else 0.5, (), float(i % 2 == 0)
            )
            for i in range(100)
        }

    run = read(gained(100))
    assert "noisy_gain" in alarms(build([run], (), fresh(True)))
    assert "noisy_gain" not in alarms(build([run], (), fresh(False)))


def test_many_ungraded_are_an_alarm(read: Read) -> None:
    rows = [*gained(30), *(row(30 + i, [None]) for i in range(3))]
    assert "3 of 33 datapoints have no score" in alarms(build([read(rows)]))["ungraded"]
    assert "ungraded" not in alarms(build([read(gained(30))]))


def test_many_failures_are_an_alarm_whatever_their_scores(read: Read) -> None:
    rows = [row(i, [1.0]) | {"error": {"type": "unreadable"}} for i in range(2)]
    for line in rows:
        line["refinement"]["status"] = "failed"
    figures = build([read(rows)])
    assert (figures["failed"], figures["ungraded"]) == (2, 0)
    assert alarms(figures)["failed"] == (
        "2 of 2 datapoints failed before they were done (unreadable 2); scores are for the "
        "responses they had by then."
    )
    assert "2 of 2 datapoints failed" in said(figures)
    assert "nothing was refined" not in said(figures)


def test_first_responses_that_nobody_could_grade_are_an_alarm(read: Read) -> None:
    rows = [*gained(30), *(row(30 + i, [None, 1.0]) for i in range(3))]
    told = alarms(build([read(rows)]))["ungraded_first"]
    assert told.startswith("3 of 33 datapoints with a score have none for their first response")
    assert "over the other 30" in told
    graded = read([graded_row(i, 0.5) for i in range(30)])
    assert "ungraded_first" not in alarms(build([graded]))


def test_results_of_different_settings_are_an_alarm(read: Read) -> None:
    rows = gained(30)
    rows[3]["refinement"]["settings"] = "another"
    assert "different settings" in alarms(build([read(rows)]))["mixed"]


# ------------------------------------------------------------------ several runs


def test_two_runs_tell_who_flipped(read: Read) -> None:
    old = [row(i, [float(i < 10)]) for i in range(40)]
    new = [row(i, [float(2 <= i < 20)]) for i in range(40)]
    pair = build([read(old), read(new, "new.jsonl")])["compared"]
    assert pair["now_fail"] == ["dp-0", "dp-1"]
    assert pair["now_pass"] == [f"dp-{i}" for i in range(10, 20)]
    flips = {key: pair["flip_test"][key] for key in ("wins", "ties", "losses")}
    assert flips == {"wins": 10, "ties": 28, "losses": 2}
    assert pair["flip_test"]["p_value"] == pytest.approx(0.0385742)
    assert pair["gain"]["mean"] == pytest.approx(0.2)


def shaped(n: int, **settings: Any) -> list[Row]:
    rows = gained(n)
    for one in rows:
        one["refinement"]["shaped_by"] = {k.replace("__", "."): v for k, v in settings.items()}
    return rows


def long_text(ending: str) -> Row:
    return {"digest": f"d-{ending}", "begins": "Be kind. " * 20}


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ({}, {"policy__system": "Be brief."}, "policy.system (default → Be brief.)"),
        ({"refine__drafts": 4}, {"refine__drafts": 8}, "refine.drafts (4 → 8)"),
        (
            {"run__seed": 1, "grade__mode": "verdict", "policy__top_p": 0.5},
            {"policy__top_p": 0.5},
            "grade.mode (verdict → default); run.seed (1 → default)",
        ),
        (
            {"policy__system": long_text("a")},
            {"policy__system": long_text("b")},
            f"policy.system ({('Be kind. ' * 20)[:59].rstrip()}…, digest d-a → "
            f"{('Be kind. ' * 20)[:59].rstrip()}…, digest d-b)",
        ),
        ({"refine__principles": ["a\nb"]}, {}, 'refine.principles (["a\\nb"] → default)'),
        ({"policy__system": "a\n::error::b"}, {}, "policy.system (a ::error::b → default)"),
    ],
)
def test_two_runs_name_the_settings_that_differ(
    read: Read, old: Row, new: Row, sentence: str
) -> None:
    figures = build([read(shaped(30, **old)), read(shaped(30, **new), "new.jsonl")])
    assert f"Their settings differ in {sentence}." in figures["conclusions"]


def test_runs_of_the_same_settings_are_not_said_to_differ(read: Read) -> None:
    runs = [read(shaped(30, policy__system="x"), name) for name in ("a.jsonl", "b.jsonl")]
    assert "settings differ" not in said(build(runs))


def test_two_runs_compared_by_the_loops_own_grades_are_told_as_such(read: Read) -> None:
    old, new = read(gained(30)), read(gained(30, every=1), "new.jsonl")
    assert "That is by the loops' own grades: these favour" in said(build([old, new]))
    graded = read([graded_row(i, 0.0) for i in range(30)])
    assert "these favour" not in said(build([graded, graded]))
    code = [{"check": {"kind": "words", "min": 1}}]
    assert "these favour" not in said(build([read(gained(30, items=code))] * 2))


def test_runs_without_a_datapoint_in_common_cannot_be_compared(read: Read) -> None:
    with pytest.raises(UsageError, match="in common"):
        build([read(gained(3)), read(gained(6)[3:], "new.jsonl")])


def test_several_runs_are_a_trend_by_model_strategy_and_item(read: Read) -> None:
    rng = random.Random(0)
    runs = []
    for day in range(1, 5):
        rows = [row(i, [float(rng.random() < day / 5)]) for i in range(50)]
        for line in rows:
            line["refinement"]["models"]["policy"] = "one" if day % 2 else "two"
        runs.append(read(rows, f"{day}.jsonl", f"2026-11-0{day}"))
    figures = build(runs)
    trend = figures["trend"]
    assert figures["compared"] is None
    assert [point["date"] for point in trend] == [f"2026-11-0{day}" for day in range(1, 5)]
    assert [point["change"] is None for point in trend] == [True, True, False, False]
    change = trend[2]["score"]["mean"] - trend[0]["score"]["mean"]
    assert trend[2]["change"]["mean"] == pytest.approx(change)
    assert trend[3]["items"] == [{"name": "way-0", "n": 50, "score": trend[3]["score"]["mean"]}]


def test_the_trend_is_of_the_scores_that_its_changes_are_of(read: Read) -> None:
    old, new = read(afresh(gained(30), 0.25), "old.jsonl"), read(afresh(gained(30), 1.0))
    figures = build([old, new])
    trend = figures["trend"]
    assert [point["score"]["mean"] for point in trend] == [0.25, 1.0]
    assert [point["pass_rate"]["mean"] for point in trend] == [0, 1]
    assert [point["items"][0]["score"] for point in trend] == [0.25, 1.0]
    assert trend[1]["change"]["mean"] == figures["compared"]["gain"]["mean"] == 0.75
    assert "regraded over 30 datapoints; 30 pass that failed before" in said(figures)
    loop = build([old, read(gained(30), "b.jsonl")])["trend"]
    assert [point["score"]["mean"] for point in loop] == [0.5, 0.5]


def test_the_last_run_is_the_one_reported_on(read: Read) -> None:
    figures = build([read(gained(30)), read(gained(40), "new.jsonl")])
    assert [run["file"][-9:] for run in figures["runs"]] == ["out.jsonl", "new.jsonl"]
    assert figures["n"] == 40
