"""Intervals and tests: they agree with the textbook, and with nothing to say they say nothing."""

from __future__ import annotations

import random
from math import sqrt

import pytest

from refinecli.stats import statistics


def draws(n: int, seed: int = 0) -> list[float]:
    rng = random.Random(seed)
    return [rng.gauss(0.2, 1) for _ in range(n)]


def test_the_interval_of_a_mean_is_about_two_standard_errors_wide() -> None:
    values = draws(400)
    found = statistics.mean(values)
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.high - found.low == pytest.approx(2 * 1.96 / sqrt(400), rel=0.1)
    assert found.mean == pytest.approx(sum(values) / 400)


def test_few_different_values_give_the_interval_that_resampling_rows_gives() -> None:
    coarse = [float(i % 4 == 0) for i in range(400)]
    fine = [value + 1e-5 * i for i, value in enumerate(coarse)]  # all differ: rows are resampled
    one, other = statistics.mean(coarse), statistics.mean(fine)
    assert one is not None
    assert other is not None
    assert one.low == pytest.approx(other.low, abs=0.006)
    assert one.high == pytest.approx(other.high, abs=0.006)


def test_equal_data_give_equal_intervals() -> None:
    assert statistics.mean(draws(100)) == statistics.mean(draws(100))


def test_ten_copies_of_a_prompt_are_one_prompt() -> None:
    values = draws(50)
    copies = [value for value in values for _ in range(10)]
    groups = [number for number in range(50) for _ in range(10)]
    one, other = statistics.mean(copies, groups), statistics.mean(values)
    assert one is not None
    assert other is not None
    assert one.low == pytest.approx(other.low)
    assert one.high == pytest.approx(other.high)
    assert statistics.detectable(copies, groups) == pytest.approx(statistics.detectable(values))
    assert statistics.sign_test(copies, groups).p_value == statistics.sign_test(values).p_value


def test_clusters_of_unequal_size_keep_the_mean_of_the_rows() -> None:
    groups = [0] * 50 + list(range(1, 51))
    found = statistics.mean([1.0] * 50 + [0.0] * 50, groups)
    assert found is not None
    assert found.mean == 0.5
    assert found.high is not None
    assert found.high > 0.6  # the big group comes twice, or not at all


@pytest.mark.parametrize("values", [[0.0] * 30, [0.1 + 0.2] * 30, [1.0]])
def test_equal_values_and_a_single_one_are_no_trouble(values: list[float]) -> None:
    found = statistics.mean(values)
    assert found is not None
    assert found.mean == pytest.approx(values[0])
    assert found.low == (None if len(values) < 20 else pytest.approx(values[0]))
    assert statistics.detectable(values) is None
    assert statistics.sign_test(values).p_value <= 1


def test_of_nothing_there_is_no_mean() -> None:
    assert statistics.mean([]) is None
    assert statistics.proportion([]) is None
    assert statistics.ratio([1.0], [0.0]) is None
    assert statistics.sign_test([]).record() == {"wins": 0, "ties": 0, "losses": 0, "p_value": 1.0}


def test_below_twenty_units_there_is_a_mean_and_no_interval() -> None:
    for found in (
        statistics.mean(draws(19)),
        statistics.mean(draws(100), [i % 19 for i in range(100)]),
        statistics.proportion([True] * 19),
    ):
        assert found is not None
        assert (found.low, found.high) == (None, None)
    assert statistics.mean(draws(20)).low is not None  # type: ignore[union-attr]
    assert statistics.detectable(draws(19)) is None


def test_a_share_has_wilsons_interval() -> None:
    found = statistics.proportion([i < 10 for i in range(50)])
    assert found is not None
    # (p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)
    assert (found.low, found.high) == (pytest.approx(0.11244, 1e-4), pytest.approx(0.33037, 1e-4))


def test_the_sign_test_is_exact_and_leaves_ties_out() -> None:
    found = statistics.sign_test([1.0] * 6 + [0.0, 1e-12] * 5)
    assert (found.wins, found.ties, found.losses) == (6, 10, 0)
    assert found.p_value == pytest.approx(2 / 2**6)


def test_the_detectable_effect_is_that_of_the_normal_test() -> None:
    values = [1.0, -1.0] * 50
    expected = (1.959964 + 0.841621) * sqrt(1 / 99)
    assert statistics.detectable(values) == pytest.approx(expected, rel=1e-5)


def test_a_hundred_thousand_coarse_values_take_as_long_as_ten() -> None:
    found = statistics.mean([i % 5 / 4 for i in range(100_000)])
    assert found is not None
    assert found.low is not None
    assert found.low == pytest.approx(0.5 - 1.96 * sqrt(0.125 / 100_000), abs=1e-4)


def test_a_share_within_clusters_is_wider_than_wilsons() -> None:
    flags = [i // 10 % 2 == 0 for i in range(500)]
    plain, clustered = (
        statistics.proportion(flags),
        statistics.proportion(flags, [i // 10 for i in range(500)]),
    )
    assert plain is not None
    assert clustered is not None
    assert plain.low is not None
    assert clustered.low is not None
    assert clustered.low < plain.low - 0.05
