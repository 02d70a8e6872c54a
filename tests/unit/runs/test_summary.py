"""A run in numbers: what each line adds to it, and what becomes of that."""

from __future__ import annotations

import pytest

from refinecli.data.output_lines import Outcome
from refinecli.errors import FailureKind
from refinecli.models.traffic import Traffic
from refinecli.runs.summary import ERROR_TYPES, Mean, Summary

TRAFFIC = Traffic(
    sent=12,
    replayed=3,
    refused=1,
    retried=2,
    in_flight=4,
    prompt_tokens=400,
    completion_tokens=50,
    cost=0.123_456_78,
)


def summary(*outcomes: Outcome) -> Summary:
    found = Summary()
    for outcome in outcomes:
        found.add(outcome)
    return found


def test_a_mean_counts_what_is_there_and_is_none_of_nothing() -> None:
    mean = Mean()
    assert mean.value is None
    for value in (1.0, None, 0.0, 0.5):
        mean.add(value)
    assert (mean.count, mean.total, mean.value) == (3, 1.5, 0.5)


def test_each_status_is_counted_as_itself() -> None:
    found = summary(
        *[Outcome({}, "done")] * 3, *[Outcome({}, "ungraded")] * 2, Outcome({}, "failed")
    )
    assert (found.done, found.ungraded, found.failed, found.datapoints) == (3, 2, 1, 6)
    assert found.counts == "6 datapoints: 3 done, 2 ungraded, 1 failed"


def test_what_did_not_happen_is_not_counted_in_words() -> None:
    assert summary(Outcome({}, "done")).counts == "1 datapoint: 1 done"
    assert summary().counts == "0 datapoints: 0 done"


def test_scores_gains_and_passes_are_means_over_those_that_have_them() -> None:
    found = summary(
        Outcome({}, "done", 1.0, 0.25, passed=True),
        Outcome({}, "done", 0.5, None),
        Outcome({}, "ungraded", None, 0.75, passed=True),
    )
    assert found.score.value == 0.75
    assert found.initial_score.value == 0.5
    assert (found.gain.count, found.gain.value) == (1, 0.75)
    assert (found.passed.count, found.passed.value) == (2, 0.5)


def test_a_score_of_nought_is_a_score() -> None:
    found = summary(Outcome({}, "done", 0.0, 0.0))
    assert (found.gain.count, found.gain.value, found.passed.value) == (1, 0.0, 0.0)


def test_the_first_failure_is_the_one_that_is_named() -> None:
    found = summary(
        Outcome({}, "done", line=1),
        Outcome({}, "failed", why="timed out", line=2),
        Outcome({"id": "x"}, "failed", why="refused", line=3),
    )
    assert found.first_failure == "line 2: timed out"
    assert summary(Outcome({"id": "x"}, "failed", why="no")).first_failure == "x: no"


def test_a_run_is_noisy_once_a_model_has_graded() -> None:
    assert not summary(Outcome({}, "done")).noisy
    assert summary(Outcome({}, "done", noisy=True), Outcome({}, "done")).noisy


def test_failures_and_winners_are_counted_the_most_frequent_first() -> None:
    found = summary(
        Outcome({}, "failed", failures=("timeout",), winners=("policy",)),
        Outcome({}, "failed", failures=("server", "server"), winners=("reviser", "reviser")),
    )
    record = found.record(Traffic())
    assert list(record["errors"].items()) == [("server", 2), ("timeout", 1)]
    assert list(record["winners"].items()) == [("reviser", 2), ("policy", 1)]


@pytest.mark.parametrize(
    ("fell_back", "missing", "begins"),
    [
        (0, 0, []),
        (1, 0, ["1 verdict was "]),
        (2000, 0, ["2,000 verdicts were "]),
        (0, 1, ["1 vote is missing"]),
        (2, 3000, ["2 verdicts were ", "3,000 votes are missing"]),
    ],
)
def test_grades_that_were_made_otherwise_are_said(
    fell_back: int, missing: int, begins: list[str]
) -> None:
    found = summary(
        Outcome({}, "done", fell_back=fell_back), Outcome({}, "done", votes_missing=missing)
    )
    assert (found.fell_back, found.votes_missing) == (fell_back, missing)
    notices = found.notices
    assert len(notices) == len(begins)
    for notice, begin in zip(notices, begins, strict=True):
        assert notice.startswith(begin)


@pytest.mark.parametrize(
    ("kind", "remedy"),
    [
        ("no_answer", "raise max_tokens of that role"),
        ("refused", "reword the prompt, or ask another model"),
        ("content_filter", "reword the prompt, or ask another provider"),
        ("tool_calls", "leave tools out of extra_body"),
        ("bad_reply", "the error of each line says why"),
    ],
)
def test_replies_without_an_answer_are_counted_with_what_helps(
    kind: FailureKind, remedy: str
) -> None:
    (one,) = summary(Outcome({}, "failed", failures=(kind,))).notices
    assert one.startswith("1 reply: ")
    assert remedy in one
    many = summary(Outcome({}, "failed", failures=(kind,) * 2000), Outcome({}, "done"))
    assert many.notices[0].startswith("2,000 replies: ")


def test_failures_without_a_remedy_are_no_notices() -> None:
    assert summary(Outcome({}, "failed", failures=("timeout", "server"))).notices == []


def test_the_record_holds_the_run_in_numbers() -> None:
    record = summary(Outcome({}, "done", 0.5, 0.25, passed=True)).record(TRAFFIC)
    assert 0 <= record.pop("seconds") < 60
    assert record == {
        "datapoints": 1,
        "done": 1,
        "ungraded": 0,
        "failed": 0,
        "errors": {},
        "score": 0.5,
        "initial_score": 0.25,
        "pass_rate": 1.0,
        "calls": 12,
        "replayed": 3,
        "refused": 1,
        "retried": 2,
        "prompt_tokens": 400,
        "completion_tokens": 50,
        "cost": 0.123457,
    }


def test_what_a_run_has_beyond_that_stands_in_its_record() -> None:
    found = summary(Outcome({}, "done", fell_back=2, votes_missing=3))
    found.agreement, found.rubrics = {"kappa": {"value": 0.5}}, {"written": 1}
    record = found.record(Traffic())
    assert (record["fell_back"], record["votes_missing"]) == (2, 3)
    assert record["agreement"] == {"kappa": {"value": 0.5}}
    assert record["rubrics"] == {"written": 1}
    assert "cost" not in record
    assert "cost" not in found.record(Traffic(cost=1.0, unpriced=1))


def test_rows_that_ended_where_no_step_promised_enough_are_said_where_they_are_many() -> None:
    found = summary(*[Outcome({}, "done", declined=True)] * 2, *[Outcome({}, "done")] * 18)
    assert found.often_declined(0.01) == (
        "2 rows ended where no step promised 0.01 (refine.min_gain)"
    )
    assert found.record(TRAFFIC)["declined"] == 2
    found.add(Outcome({}, "done"))
    assert found.often_declined(0.01) == ""
    assert summary().often_declined(0.01) == ""
    assert "declined" not in summary(Outcome({}, "done")).record(TRAFFIC)
    assert summary().figures(TRAFFIC)["declined"] == 0


def test_seconds_are_those_since_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("refinecli.runs.summary.monotonic", lambda: 12.345_678)
    found = Summary(started=10.0)
    assert found.seconds == pytest.approx(2.345_678)
    assert found.record(Traffic())["seconds"] == 2.346


def test_gates_read_nought_for_what_did_not_happen_and_null_for_what_is_unknown() -> None:
    found = summary(Outcome({}, "failed", failures=("timeout",)))
    figures = found.figures(Traffic())
    assert (figures["fell_back"], figures["votes_missing"], figures["cost"]) == (0, 0, None)
    assert figures["errors"] == dict.fromkeys(ERROR_TYPES, 0) | {"timeout": 1}
    assert figures["failed"] == 1


def test_gates_read_agreement_by_its_own_names_and_the_runs_before_them() -> None:
    found = summary(Outcome({}, "done", 1.0, fell_back=4))
    found.agreement = {"kappa": {"value": 0.5}, "score": "of the labels"}
    figures = found.figures(TRAFFIC)
    assert figures["kappa"] == {"value": 0.5}
    assert figures["score"] == 1.0
    assert (figures["fell_back"], figures["cost"]) == (4, 0.123457)


def test_gated_responses_have_no_score_and_did_not_pass() -> None:
    gated = Outcome({}, "done", passed=False, gated=True)
    found = summary(Outcome({}, "done", score=0.5, passed=True), gated, Outcome({}, "ungraded"))
    record = found.record(TRAFFIC)
    assert (record["done"], record["gated"], record["ungraded"]) == (2, 1, 1)
    assert (record["score"], record["pass_rate"]) == (0.5, 0.5)
    assert found.counts == "3 datapoints: 2 done (1 gated), 1 ungraded"
    assert "gated" not in summary(Outcome({}, "done", score=1.0)).record(TRAFFIC)
    assert summary(Outcome({}, "done", score=1.0)).figures(TRAFFIC)["gated"] == 0
