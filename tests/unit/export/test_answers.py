"""Single answers: which responses of a run go in, and which never do."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinecli.errors import UsageError
from tests.support.exports import exported
from tests.support.report_files import failed_row, graded_row, row


def test_every_iteration_that_passed_goes_in_not_only_the_one_kept(tmp_path: Path) -> None:
    run = [row(1, [0.0, 1.0, 1.0], texts=("bad", "good", "good too"), drafts=True)]
    made = exported(tmp_path, "sft", run)
    assert made.texts == ["good", "good too"]
    assert made.rows[0] == {
        "prompt": [{"role": "user", "content": "Question 1?"}],
        "completion": [{"role": "assistant", "content": "good"}],
    }
    assert made.dropped == {"not_passed": 1}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"finish_reason": "length"}, "cut_off"),
        ({"finish_reason": "content_filter"}, "cut_off"),
        ({"finish_reason": "some_new_ending"}, "cut_off"),
        ({"response": " \n"}, "empty"),
        ({"score": None}, "not_graded"),
    ],
)
def test_what_cannot_be_used_never_goes_in(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    run = [row(1, [1.0, 1.0], texts=("odd", "good"), drafts=True)]
    run[0]["refinement"]["iterations"][0] |= changes
    made = exported(tmp_path, "sft", run, min_score=-1)
    assert made.texts == ["good"]
    assert made.dropped == {reason: 1}


@pytest.mark.parametrize("ending", [None, "stop", "end_turn", "eos"])
def test_a_response_with_a_good_ending_goes_in(tmp_path: Path, ending: str | None) -> None:
    run = [row(1, [1.0])]
    run[0]["refinement"]["iterations"][0]["finish_reason"] = ending
    assert len(exported(tmp_path, "sft", run).rows) == 1


def test_a_failed_datapoint_gives_nothing_even_where_it_has_graded_responses(
    tmp_path: Path,
) -> None:
    halfway = row(2, [1.0, 1.0])
    halfway["refinement"]["status"] = "failed"
    unreadable = {"error": {"type": "input", "line": 3, "message": "not JSON"}, "raw": "{"}
    made = exported(tmp_path, "sft", [failed_row(1), halfway, unreadable, row(3, [1.0])])
    assert made.texts == ["answer 0 to question 3"]
    assert made.dropped == {"failed": 4}


def test_equal_answers_to_one_prompt_go_in_once(tmp_path: Path) -> None:
    run = [row(1, [1.0, 1.0, 1.0], texts=("same", "same\n", "other"), drafts=True)]
    made = exported(tmp_path, "sft", run, run)
    assert made.texts == ["same", "other"]
    assert made.dropped == {"duplicate": 4}


def test_a_least_score_counts_in_place_of_having_passed(tmp_path: Path) -> None:
    scores = [0.1 + 0.2, 0.29, 1.0]  # the first is 0.30000000000000004
    made = exported(tmp_path, "sft", [row(1, scores, drafts=True)], min_score=0.3)
    assert made.texts == ["answer 0 to question 1", "answer 2 to question 1"]
    assert made.dropped == {"low": 1}


def test_of_too_many_answers_the_best_go_in_in_their_order(tmp_path: Path) -> None:
    run = [row(1, [0.5, 0.9, 0.7, 0.9], drafts=True), row(2, [0.5], drafts=True)]
    made = exported(tmp_path, "sft", run, min_score=0, max_per_prompt=2)
    answers = ["answer 1 to question 1", "answer 3 to question 1", "answer 0 to question 2"]
    assert made.texts == answers
    assert made.dropped == {"over_cap": 2}


def test_files_of_several_models_are_put_together_by_prompt(tmp_path: Path) -> None:
    one = [graded_row(n, 1.0, response=f"one {n}") for n in (1, 2, 3)]
    other = [graded_row(n, 1.0, response=f"other {n}") for n in (3, 2, 1)]
    made = exported(tmp_path, "sft", one, other)
    assert made.texts == ["one 1", "other 1", "one 2", "other 2", "one 3", "other 3"]


def test_labels_say_which_answers_passed(tmp_path: Path) -> None:
    made = exported(tmp_path, "kto", [row(1, [0.4, 1.0], drafts=True)])
    assert [(text, made.rows[at]["label"]) for at, text in enumerate(made.texts)] == [
        ("answer 1 to question 1", True),
        ("answer 0 to question 1", False),
    ]


def test_of_too_many_labelled_answers_both_sides_go_in(tmp_path: Path) -> None:
    run = [row(1, [1.0, 0.1, 0.2, 0.3, 0.4, 0.5], drafts=True)]
    made = exported(tmp_path, "kto", run, max_per_prompt=3)
    assert [row["label"] for row in made.rows] == [True, False, False]
    assert made.texts[1:] == ["answer 1 to question 1", "answer 2 to question 1"]


def test_only_what_a_later_grade_passed_is_confirmed(tmp_path: Path) -> None:
    grading = graded_row(0, 1.0)["grading"]
    rows = [row(n, [1.0, 1.0], best=1, drafts=True) for n in (1, 2, 3)]
    rows[0] |= {"grading": grading | {"passed": True}}
    rows[1] |= {"grading": grading | {"passed": False}}
    made = exported(tmp_path, "sft", rows, confirmed=True)
    assert made.texts == ["answer 1 to question 1"]
    assert made.dropped == {"unconfirmed": 5}


def test_rows_that_are_not_confirmed_give_no_bad_answers_either(tmp_path: Path) -> None:
    grading = graded_row(0, 1.0)["grading"] | {"passed": True}
    rows = [row(n, [0.0, 1.0], best=1, drafts=True) for n in (1, 2)]
    rows[0] |= {"grading": grading}
    made = exported(tmp_path, "kto", rows, confirmed=True)
    assert sorted(made.texts) == ["answer 0 to question 1", "answer 1 to question 1"]
    assert made.dropped == {"unconfirmed": 2}


def test_a_run_without_a_graded_response_is_refused_with_the_way_out(tmp_path: Path) -> None:
    plain = {k: v for k, v in row(1, [1.0]).items() if k not in ("refinement", "score")}
    with pytest.raises(UsageError, match="it has no graded response") as caught:
        exported(tmp_path, "sft", [row(1, [1.0])], [plain])
    assert "refinecli refine" in caught.value.hint
    assert "run-1.jsonl" in str(caught.value)


def test_an_export_with_nothing_in_it_is_refused_with_the_reasons(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no answer is left of 2 responses: not passed: 2"):
        exported(tmp_path, "sft", [row(1, [0.0, 0.5], drafts=True)])


def test_an_export_of_what_no_grade_confirmed_says_how_to_confirm_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not confirmed by a later grade") as caught:
        exported(tmp_path, "sft", [row(1, [1.0])], confirmed=True)
    assert "`refinecli grade`" in caught.value.hint


def test_the_conversation_stays_as_it_is_under_any_of_its_names(tmp_path: Path) -> None:
    convo = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Bye?"},
    ]
    one = row(1, [1.0]) | {"convo": None, "messages": convo}
    other = row(2, [1.0]) | {"convo": None, "prompt": "Say fine.", "system": "Be kind."}
    made = exported(tmp_path, "sft", [one, other])
    assert made.rows[0]["prompt"] == convo
    assert made.rows[1]["prompt"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Say fine."},
    ]


def test_the_control_has_as_many_answers_whatever_they_scored(tmp_path: Path) -> None:
    run = [row(n, [0.0, 0.0, 0.0, 1.0], drafts=True) for n in range(60)]
    made = exported(tmp_path, "sft", run, random=True)
    assert len(made.rows) == 60
    assert 5 <= sum(text.startswith("answer 3 ") for text in made.texts) <= 27  # one in four
    assert len(set(made.texts)) == 60


def test_the_control_of_labels_has_as_many_of_both(tmp_path: Path) -> None:
    run = [row(n, [0.0, 0.0, 1.0], drafts=True) for n in range(40)]
    made = exported(tmp_path, "kto", run, random=True)
    labels = [row["label"] for row in made.rows]
    assert (labels.count(True), labels.count(False)) == (40, 80)
    good = [text.startswith("answer 2 ") for text in made.texts]
    assert sum(g and label for g, label in zip(good, labels, strict=True)) < 30


def test_what_was_not_graded_of_a_response_is_not_in_it(tmp_path: Path) -> None:
    thought = graded_row(1, 1.0, response="<think>They ask for 4.</think>It is 4.")
    endless = graded_row(2, 1.0, response="<think>They ask for 4.")
    made = exported(tmp_path, "sft", [thought, endless], min_score=0.5)
    assert (made.texts, made.dropped) == (["It is 4."], {"empty": 1})


def test_half_a_character_over_which_readers_stumble_is_left_out(tmp_path: Path) -> None:
    run = [graded_row(n, 1.0, response=text) for n, text in enumerate(("\ud800!", "\u2028\x00"))]
    made = exported(tmp_path, "sft", run, min_score=0.5)
    assert (made.texts, made.dropped) == (["\u2028\x00"], {"unicode": 1})
