"""The pacer against simulated servers, in jobs of thousands of calls."""

from __future__ import annotations

from statistics import median

import pytest

from tests.support.pacing import SEEDS, Bucket, Job, slowdowns


@pytest.mark.parametrize("after", [None, 1.0], ids=["silent", "retry-after"])
def test_a_limit_of_a_thousand_a_second_is_used_up(after: float | None) -> None:
    job = Job(Bucket(after, ((0, 1000),)), most=128).run(20_000)
    assert job.seconds <= 1.15 * 19
    assert job.refused <= 30 + 0.2 * 20_000


def test_nine_tenths_of_a_hundred_a_second_are_used_in_steady_state() -> None:
    for seed in SEEDS:
        job = Job(Bucket(None, ((0, 100),)), spread=0.5, seed=seed).run(6000)
        assert job.steady_rate() >= 90


@pytest.mark.parametrize("at_once", [False, True], ids=["delayed", "at-once"])
@pytest.mark.parametrize("noise", [0.05, 0.1, 0.25, 0.4])
def test_random_refusals_of_a_thousand_calls_are_not_taken_for_a_limit(
    noise: float, at_once: bool
) -> None:
    found = slowdowns(noise, 500, 2, at_once=at_once)
    assert median(found) <= 1.4
    assert max(found) <= 6


def test_a_limit_that_comes_after_tens_of_thousands_of_requests_is_learned() -> None:
    job = Job(Bucket(None, ((0, 1e6), (8, 50))), most=256).run(42_000)
    assert sum(at < 8 for at in job.done) > 40_000
    after = [at for at in job.done if at >= 10]
    assert len(after) / (job.seconds - 10) >= 0.85 * 50
    assert sum(at >= 10 for at in job.sent) <= 1.3 * len(after)
