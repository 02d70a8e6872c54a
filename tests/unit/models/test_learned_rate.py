"""The learned rate, handed the time: which rate follows from which replies, to the number."""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

import pytest

from refinecli.models.pacing.learned_rate import LearnedRate, Spacing


class Endpoint:
    """Requests numbered as they are sent, and what becomes of them."""

    def __init__(self) -> None:
        self.learned = LearnedRate()
        self.sent_at: list[float] = []

    @property
    def rate(self) -> float:
        return self.learned.spacing.rate

    @property
    def wait(self) -> float:
        return self.learned.spacing.free_at

    def send(self, count: int, now: float, *, apart: float = 0.0) -> range:
        first = len(self.sent_at)
        for number in range(count):
            at = now + number * apart
            assert self.learned.sent(at) == first + number
            self.sent_at.append(at)
        return range(first, first + count)

    def succeed(self, numbers: Iterable[int], now: float) -> None:
        for number in numbers:
            self.learned.succeeded(number, now)

    def refuse(self, numbers: Iterable[int], now: float, after: float | None = None) -> None:
        for number in numbers:
            self.learned.refused(number, self.sent_at[number], now, after)


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


@pytest.fixture(autouse=True)
def draws(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the jitter draws, in turn; without any, always the middle."""
    found: list[float] = []
    monkeypatch.setattr("random.random", lambda: found.pop(0) if found else 0.5)
    return found


# ------------------------------------------------------------------ spacing


def test_starts_are_evenly_spaced_and_larger_ones_take_longer() -> None:
    spacing = Spacing(4.0)
    spacing.take(10.0)
    assert spacing.free_at == 10.25
    spacing.take(10.0, 2.0)
    assert spacing.free_at == 10.75


def test_starts_missed_within_the_slack_are_made_up_and_no_others() -> None:
    spacing = Spacing(4.0, slack=1.0)
    spacing.take(10.0)
    assert spacing.free_at == 9.25
    spacing.take(20.0)
    assert spacing.free_at == 19.25


def test_a_rate_is_unlimited_until_something_is_refused(endpoint: Endpoint) -> None:
    endpoint.succeed(endpoint.send(1000, 0.0), 5.0)
    assert endpoint.rate == inf
    assert endpoint.wait <= 5.0
    assert not endpoint.learned.unclear


# ------------------------------------------------------------------ walls


def test_eight_refusals_in_a_row_are_a_wall_and_seven_are_not(endpoint: Endpoint) -> None:
    sent = endpoint.send(40, 0.0)
    endpoint.succeed(sent[:20], 0.5)
    endpoint.refuse(sent[20:27], 0.8)
    assert endpoint.rate == inf
    assert endpoint.learned.unclear
    endpoint.refuse(sent[27:28], 0.8)
    assert endpoint.rate == 20.0
    assert endpoint.wait == pytest.approx(0.85)
    assert not endpoint.learned.unclear


def test_after_a_cut_a_late_timer_is_made_up_for_and_no_more(endpoint: Endpoint) -> None:
    sent = endpoint.send(40, 0.0)
    endpoint.succeed(sent[:20], 0.5)
    endpoint.refuse(sent[20:28], 0.8)
    endpoint.send(1, 5.0)
    assert endpoint.wait == pytest.approx(5.0 - 0.05 + 1 / 20)


def test_a_wall_in_the_first_second_of_the_clock_is_one_without_a_success(
    endpoint: Endpoint,
) -> None:
    endpoint.refuse(endpoint.send(8, 0.25), 0.25)
    assert (endpoint.rate, endpoint.wait) == (1.0, 1.25)


def test_a_row_is_one_in_the_order_of_sending_whatever_came_back_first(endpoint: Endpoint) -> None:
    sent = endpoint.send(40, 0.0)
    endpoint.succeed(sent[:20], 0.5)
    endpoint.refuse([20, 22, 24, 26, 27, 25, 23], 0.8)
    assert endpoint.rate == inf
    endpoint.refuse([21], 0.8)
    assert endpoint.rate == 20.0


def test_a_success_among_them_breaks_the_row(endpoint: Endpoint) -> None:
    sent = endpoint.send(40, 0.0)
    endpoint.succeed([*sent[:20], 24], 0.5)
    endpoint.refuse([20, 21, 22, 23, 25, 26, 27, 28], 0.8)
    assert endpoint.rate == inf


def test_the_rate_after_a_wall_is_that_of_the_last_second_or_two(endpoint: Endpoint) -> None:
    sent = endpoint.send(60, 0.0)
    endpoint.succeed(sent[:20], 0.5)
    endpoint.succeed(sent[20:30], 1.25)
    endpoint.refuse(sent[30:38], 2.0)
    assert endpoint.rate == (20 + 10) / 2


def test_what_succeeded_before_the_second_before_is_forgotten(endpoint: Endpoint) -> None:
    sent = endpoint.send(60, 0.0)
    endpoint.succeed(sent[:20], 0.5)
    endpoint.succeed(sent[20:30], 1.0)
    endpoint.succeed(sent[30:34], 2.0)
    endpoint.refuse(sent[34:42], 2.5)
    assert endpoint.rate == pytest.approx((10 + 4) / 1.5)


def test_idle_time_does_not_count_as_slow(endpoint: Endpoint) -> None:
    endpoint.succeed(endpoint.send(20, 0.0), 0.5)
    endpoint.learned.idled(100.0)
    sent = endpoint.send(20, 100.5)
    endpoint.refuse(sent[:8], 101.5)
    assert endpoint.rate == pytest.approx(20 / 1.5)


@pytest.mark.parametrize(("draw", "stop"), [(0.0, 10.5), (0.5, 11.0), (1.0, 11.5)])
def test_where_nothing_ever_succeeded_all_stops_for_about_a_second(
    endpoint: Endpoint, draws: list[float], draw: float, stop: float
) -> None:
    draws.append(draw)
    endpoint.refuse(endpoint.send(8, 10.0), 10.0)
    assert endpoint.rate == 1.0
    assert endpoint.wait == stop


@pytest.mark.parametrize(("after", "stop"), [(0.1, 10.5), (16.0, 28.0), (3600.0, 77.5)])
def test_a_stop_lasts_as_long_as_the_provider_asks_up_to_a_minute(
    endpoint: Endpoint, draws: list[float], after: float, stop: float
) -> None:
    draws.extend([0.0, 1.0])
    endpoint.refuse(endpoint.send(8, 10.0), 10.0, after)
    assert endpoint.wait == pytest.approx(stop)


def test_the_first_success_of_a_probe_leads_back_towards_the_old_rate(endpoint: Endpoint) -> None:
    sent = endpoint.send(40, 0.0)
    endpoint.succeed(sent[:20], 0.5)
    endpoint.refuse(sent[20:28], 0.8)  # a wall, at 20 a second
    endpoint.refuse(endpoint.send(8, 5.0), 5.0)  # and another: all stops
    assert endpoint.rate == 1.0
    rates = []
    for second in range(6, 12):
        endpoint.succeed(endpoint.send(1, second), second + 0.1)
        rates.append(endpoint.rate)
    assert rates == [2.0, 4.0, 8.0, 16.0, 20.0, 20.0]


def test_a_refused_probe_is_another_stop(endpoint: Endpoint) -> None:
    endpoint.refuse(endpoint.send(8, 10.0), 10.0)
    endpoint.refuse(endpoint.send(1, 11.0), 11.5)
    assert (endpoint.rate, endpoint.wait) == (1.0, 12.5)


def test_a_wall_before_a_new_rate_is_proved_halves_it(endpoint: Endpoint) -> None:
    sent = endpoint.send(60, 0.0)
    endpoint.succeed(sent[:20], 0.5)
    endpoint.refuse(sent[20:28], 0.8)
    endpoint.refuse(endpoint.send(8, 1.0), 1.2)
    assert endpoint.rate == 10.0


def test_what_was_sent_before_a_cut_says_nothing_about_the_rate_after_it(
    endpoint: Endpoint,
) -> None:
    sent = endpoint.send(60, 0.0)
    endpoint.succeed(sent[:20], 0.5)
    endpoint.refuse(sent[20:28], 0.8)
    endpoint.refuse(sent[28:60], 0.9)
    assert endpoint.rate == 20.0


def test_late_successes_end_a_stop_at_the_rate_that_they_show(endpoint: Endpoint) -> None:
    sent = endpoint.send(40, 10.0)
    endpoint.refuse(sent[:8], 10.0)
    assert endpoint.rate == 1.0
    endpoint.succeed(sent[8:38], 10.5)
    assert endpoint.rate == 30.0
    assert endpoint.wait == pytest.approx(10.5 + 1 / 30)
    endpoint.refuse(endpoint.send(1, 10.6), 10.7)
    assert endpoint.rate == 30.0  # one refusal would be another stop if this were still a probe


# ------------------------------------------------------------------ watches


def sample(endpoint: Endpoint, refused: int, now: float, *, count: int = 20) -> None:
    """Send some within the second before `now`, and have every other one of the first refused."""
    sent = endpoint.send(count, now - 1, apart=1 / count)
    bad = sent[: 2 * refused : 2]
    endpoint.refuse(bad, now)
    endpoint.succeed([number for number in sent if number not in bad], now)


@pytest.fixture
def slowed(endpoint: Endpoint) -> Endpoint:
    """Five of twenty were refused at 40 a second: a rate of 28.4 on trial."""
    sample(endpoint, 5, 1.0)
    return endpoint


def test_two_refusals_in_twenty_are_not_worth_a_cut_and_three_are(endpoint: Endpoint) -> None:
    sample(endpoint, 2, 1.0)
    assert endpoint.rate == inf
    sample(endpoint, 3, 2.0)
    # 40 a second (half was held back), less the 2 in 19 refused besides the one that began it.
    assert endpoint.rate == pytest.approx(0.9 * 40 * (1 - 2 / 19))
    assert endpoint.wait == pytest.approx(2.0 + 1 / endpoint.rate)


def test_a_rate_below_one_a_second_is_learned_too(endpoint: Endpoint) -> None:
    sent = endpoint.send(20, 0.0, apart=4.0)
    endpoint.refuse(sent[:10:2], 80.0)
    endpoint.succeed([*sent[1:10:2], *sent[10:]], 80.0)
    assert endpoint.rate == pytest.approx(0.9 * 0.5 * (1 - 4 / 19))


def test_a_watch_waits_for_nine_tenths_of_its_replies(endpoint: Endpoint) -> None:
    sent = endpoint.send(20, 0.0, apart=0.05)
    endpoint.refuse(sent[:10:2], 1.0)
    endpoint.succeed(sent[1:13:2], 1.0)
    endpoint.succeed(sent[13:19], 1.0)
    assert (endpoint.rate, endpoint.learned.unclear) == (inf, True)
    endpoint.succeed(sent[10:13:2], 1.0)
    assert endpoint.rate == pytest.approx(0.9 * 40 * (1 - 4 / 19))


def test_plain_refusals_need_not_wait_for_the_whole_sample(endpoint: Endpoint) -> None:
    sent = endpoint.send(16, 0.0)
    endpoint.succeed(sent[1:6:2], 0.5)
    endpoint.refuse(sent[:10:2], 1.0)
    assert endpoint.rate == inf
    endpoint.refuse([10], 1.0)
    assert endpoint.rate == pytest.approx(0.9 * 32 * (1 - 5 / 15))


def test_plainly_fewer_refusals_at_the_slower_rate_mean_that_it_was_a_limit(
    slowed: Endpoint,
) -> None:
    rate = slowed.rate
    assert rate == pytest.approx(0.9 * 40 * (1 - 4 / 19))
    sample(slowed, 0, 3.0)  # the trial
    assert slowed.rate == rate
    rises = []
    for second in range(4, 9):  # rounds without a refusal
        before = slowed.rate
        sample(slowed, 0, second, count=64)
        rises.append(slowed.rate / before)
    assert rises == pytest.approx([1.05, 1.1, 1.2, 1.2, 1.2])


def test_as_many_refusals_at_two_slower_rates_are_noise_and_the_old_rate_comes_back(
    slowed: Endpoint,
) -> None:
    first = slowed.rate
    sample(slowed, 5, 3.0)
    assert slowed.rate == pytest.approx(0.9 * first * (1 - 5 / 19))  # the second trial
    sample(slowed, 5, 5.0)
    assert slowed.rate == inf


def test_noise_is_expected_from_then_on_and_twice_as_much_is_not_worth_a_cut(
    slowed: Endpoint,
) -> None:
    for now in (3.0, 5.0):
        sample(slowed, 5, now)
    for now in (7.0, 9.0):
        sample(slowed, 10, now)
        assert (slowed.rate, slowed.learned.unclear) == (inf, False)


def test_far_more_refusals_at_a_slower_rate_begin_the_trial_anew(slowed: Endpoint) -> None:
    first = slowed.rate
    sent = slowed.send(20, 2.0, apart=0.05)
    good = sent[::5]
    slowed.succeed(good, 3.0)
    slowed.refuse([number for number in sent if number not in good], 3.0)
    assert slowed.rate == pytest.approx(0.9 * first * (1 - 0.6))


# ------------------------------------------------------------------ rounds


def test_a_rate_that_is_not_used_does_not_rise(slowed: Endpoint) -> None:
    sample(slowed, 0, 3.0)
    rate = slowed.rate
    sample(slowed, 0, 4.0, count=int(rate / 2))
    assert slowed.rate == rate
    sample(slowed, 0, 5.0, count=int(rate / 2) + 2)
    assert slowed.rate == pytest.approx(1.05 * rate)


def test_a_rough_rate_doubles_until_something_is_refused(endpoint: Endpoint) -> None:
    sent = endpoint.send(40, 0.0)
    endpoint.succeed(sent[:20], 0.5)
    endpoint.refuse(sent[20:28], 0.8)
    sample(endpoint, 0, 2.0)
    assert endpoint.rate == 40.0
    sample(endpoint, 0, 3.0, count=40)
    assert endpoint.rate == 80.0
    sample(endpoint, 1, 4.0, count=80)
    assert endpoint.rate == 80.0
    sample(endpoint, 0, 5.0, count=80)
    assert endpoint.rate == pytest.approx(96.0)


# ------------------------------------------------------------------ hints


def test_a_hint_is_taken_once_until_something_is_refused(endpoint: Endpoint) -> None:
    endpoint.learned.heed(10.0, 1.0)
    assert (endpoint.rate, endpoint.wait) == (10.0, pytest.approx(1.1))
    endpoint.learned.heed(5.0, 2.0)
    assert endpoint.rate == 10.0
    endpoint.refuse(endpoint.send(1, 3.0), 3.5)
    endpoint.learned.heed(20.0, 4.0)
    assert endpoint.rate == 10.0
    endpoint.refuse(endpoint.send(1, 5.0), 5.5)
    endpoint.learned.heed(5.0, 6.0)
    assert endpoint.rate == 5.0


def test_a_hint_never_slows_to_less_than_a_probe_a_second(endpoint: Endpoint) -> None:
    endpoint.learned.heed(0.01, 1.0)
    assert endpoint.rate == 1.0


# ------------------------------------------------------------------ long runs


def test_of_a_long_run_only_the_last_ends_are_kept(endpoint: Endpoint) -> None:
    sent = endpoint.send(40_000, 0.0)
    endpoint.succeed(sent, 1.0)
    endpoint.refuse(sent[:8], 1.0)  # long forgotten
    assert endpoint.rate == inf
    endpoint.refuse(sent[30_000:30_008], 1.0)
    assert endpoint.rate == 40_000.0
