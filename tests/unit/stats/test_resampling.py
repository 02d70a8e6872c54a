"""Figures over clusters and their intervals: which kind each gets, and when there is none."""

from __future__ import annotations

import numpy as np
import pytest

from refinecli.stats.draws import Floats, numbered, percentiles, resampled_sums, rounded
from refinecli.stats.resampling import SAME, Clusters, Figure, Measure

NOTHING = "nothing there"
MEAN = Measure(lambda s: s[..., 0], lambda s: s[..., 1], NOTHING)
SHARE = Measure(lambda s: s[..., 0], lambda s: s[..., 1], NOTHING, share=True)


def of(measure: Measure, values: list[float], clusters: list[int] | None = None) -> Figure:
    found = Clusters(clusters or list(range(len(values))))
    return found.of_sums([np.asarray(values), np.ones(len(values))], {"it": measure})["it"]


def test_rows_and_clusters_are_counted() -> None:
    found = Clusters(["a", "b", "a"])
    assert (found.rows, found.units) == (3, 2)
    assert found.too_few == "too few for an interval: 2, and it takes 20"
    assert Clusters(range(20)).too_few == ""
    assert Clusters(range(19)).too_few


def test_a_figure_is_the_quotient_of_the_sums() -> None:
    assert of(MEAN, [0.5, 1.0, 1.5]) == Figure(
        1.0, reason="too few for an interval: 3, and it takes 20"
    )


def test_a_divisor_of_nought_leaves_it_undefined() -> None:
    found = Clusters([0]).of_sums([np.asarray([1.0]), np.asarray([0.0])], {"it": MEAN})["it"]
    assert found == Figure(None, reason=NOTHING)
    dust = Clusters([0]).of_sums([np.asarray([1.0]), np.asarray([1e-10])], {"it": MEAN})["it"]
    assert dust.value is None


def test_a_mean_has_the_interval_that_theory_gives() -> None:
    found = of(MEAN, [float(n % 10) for n in range(200)])
    assert found.low is not None
    assert found.high is not None
    error = np.std([*range(10)]) / 200**0.5
    assert found.value == 4.5
    assert found.low == pytest.approx(4.5 - 1.96 * error, abs=0.05)
    assert found.high == pytest.approx(4.5 + 1.96 * error, abs=0.05)


def test_a_share_of_single_rows_has_wilsons_interval() -> None:
    found = of(SHARE, [1.0] * 30 + [0.0] * 10)
    assert (found.low, found.high) == (
        pytest.approx(0.5981, abs=1e-3),
        pytest.approx(0.8581, abs=1e-3),
    )
    few = of(SHARE, [1.0, 0.0])
    assert few.low is not None  # it holds for any number


def test_a_share_over_clusters_is_resampled_unless_it_is_at_an_end() -> None:
    halves = [float(n % 2) for n in range(80)]
    clustered = of(SHARE, halves, [n // 4 for n in range(80)])
    assert (clustered.value, clustered.low, clustered.reason) == (0.5, None, SAME)
    whole = of(SHARE, [1.0] * 80, [n // 4 for n in range(80)])
    assert whole.value == 1.0
    assert whole.low == pytest.approx(0.8389, abs=1e-3)  # Wilson's of twenty, not of eighty


def test_what_is_the_same_in_every_resample_has_no_interval() -> None:
    assert of(MEAN, [0.3] * 40) == Figure(pytest.approx(0.3), reason=SAME)  # type: ignore[arg-type]


def test_what_is_undefined_in_many_resamples_has_no_interval() -> None:
    rare = Measure(lambda s: s[..., 0], lambda s: s[..., 0], NOTHING)
    found = of(rare, [1.0] + [0.0] * 39)
    assert (found.value, found.low) == (1.0, None)
    assert found.reason.startswith("undefined in 3")
    assert found.reason.endswith("% of the resamples")


def first_less_second(x: Floats, y: Floats) -> float:
    return float(np.mean(x) - np.mean(y))


def test_a_measure_of_ranks_is_repeated_on_each_resample() -> None:
    x = np.arange(100, dtype=np.float64)
    found = Clusters(range(100)).of_ranks(x, x * 0, first_less_second, NOTHING)
    error = np.std(x) / 10
    assert found.value == 49.5
    assert found.low == pytest.approx(49.5 - 1.96 * error, abs=0.8)
    assert found.high == pytest.approx(49.5 + 1.96 * error, abs=0.8)


def test_a_cluster_is_drawn_whole() -> None:
    # Two rows of each cluster cancel out: drawn whole, every resample is nought.
    x = np.asarray([1.0, -1.0] * 30)
    found = Clusters([n // 2 for n in range(60)]).of_ranks(x, x * 0, first_less_second, NOTHING)
    assert found == Figure(0.0, reason=SAME)


def test_ranks_that_are_undefined_or_too_few_say_so() -> None:
    x = np.asarray([1.0, 2.0])
    nan = Clusters(range(2)).of_ranks(x, x, lambda *_: float("nan"), NOTHING)
    assert nan == Figure(None, reason=NOTHING)
    few = Clusters(range(2)).of_ranks(x, x, first_less_second, NOTHING)
    assert few == Figure(0.0, reason="too few for an interval: 2, and it takes 20")


def test_equal_data_give_equal_intervals() -> None:
    values = [float(n % 7) for n in range(50)]
    assert of(MEAN, values) == of(MEAN, values)


def test_a_record_has_a_reason_only_where_there_is_one() -> None:
    assert Figure(0.5, 0.4, 0.6).record() == {"value": 0.5, "low": 0.4, "high": 0.6}
    assert Figure(None, reason="why").record() == {
        "value": None,
        "low": None,
        "high": None,
        "reason": "why",
    }


def test_resamples_are_drawn_in_batches_that_come_to_the_number_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kinds, counts = np.asarray([[1.0, 0.0], [0.0, 1.0]]), np.asarray([3, 1])
    monkeypatch.setattr("refinecli.stats.draws.BATCH", 20)
    parts = list(resampled_sums(kinds, counts, 25))
    assert [len(part) for part in parts] == [10, 10, 5]
    drawn = np.concatenate(parts)
    assert np.all(drawn.sum(axis=1) == 4)  # as many clusters as there are
    assert 0.6 < drawn[:, 0].mean() / 4 < 0.9


def test_clusters_are_numbered_as_they_come() -> None:
    assert list(numbered(["b", "a", "b", ("c", 1)])) == [0, 1, 0, 2]


def test_the_middle_95_percent_leaves_out_a_fortieth_at_each_end() -> None:
    assert percentiles(np.arange(1001.0)) == (pytest.approx(25.0), pytest.approx(975.0))


def test_dust_is_removed_and_nought_has_no_sign() -> None:
    assert rounded(0.1 + 0.2) == 0.3
    assert str(rounded(-1e-12)) == "0.0"
    assert rounded(1.234_567_890_4) == 1.234_567_89
