"""The pacer against simulated servers: the event loop's clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import random
from math import inf
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.models.pacing.pacer import Pacer, Turn
from refinecli.models.pacing.rate_headers import NO_HINTS, Allowance, Hints
from refinecli.models.retries import backoff
from tests.support.pacing import (
    SEEDS,
    Bucket,
    FirstRefused,
    Free,
    InFlight,
    Job,
    Noise,
    Outage,
    VirtualLoop,
    Window,
    clock,
    run,
    slowdowns,
)

# ------------------------------------------------------------------ undisturbed


def test_a_short_job_loses_little_to_the_start() -> None:
    at_best = 1000 / 64 * 0.05
    assert Job(Free()).run(500, 2).seconds <= 1.1 * at_best


@pytest.mark.slow
def test_a_thousand_in_flight_are_reached_within_three_round_trips() -> None:
    job = Job(Free(), most=1024, latency=0.2).run(5000)
    assert job.peak == 1024
    assert sum(at < 0.7 for at in job.sent) >= 1500  # 1,696 if each round quadrupled at once


def test_never_more_than_most_are_in_flight() -> None:
    assert Job(Free(), most=3).run(20).peak == 3
    assert Job(Free(), most=1).run(20).peak == 1


async def admitted(pacer: Pacer, count: int) -> list[Turn]:
    """Return the turns, of so many asked for, that come by now; the others keep waiting."""
    calls = [asyncio.ensure_future(pacer.admit()) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return [call.result() for call in calls if call.done()]


def test_thirty_two_go_at_once_and_four_times_as_many_once_those_have_succeeded() -> None:
    async def main() -> list[int]:
        pacer = Pacer(1024)
        turns = await admitted(pacer, 1024)
        found = [len(turns)]
        for turn in turns[:31]:
            turn.succeeded()
        await asyncio.sleep(0)
        found.append(pacer.in_flight)
        turns[31].succeeded()
        await asyncio.sleep(0)
        return [*found, pacer.in_flight]

    assert run(main()) == [32, 32, 128]


@pytest.mark.parametrize(
    ("most", "steps"), [(1024, [32, 48, 64, 80]), (64, [32, 33, 34, 35]), (33, [32, 33, 33, 33])]
)
def test_while_nothing_comes_back_more_go_bit_by_bit(most: int, steps: list[int]) -> None:
    async def main() -> list[int]:
        pacer = Pacer(most)
        await admitted(pacer, 2 * most)
        found = list[int]()
        for _ in steps:
            await asyncio.sleep(0.059 if not found else 0.002)
            found.append(pacer.in_flight)
        return found

    assert run(main()) == steps


def test_once_a_reply_has_come_no_more_go_for_the_silence_alone() -> None:
    async def main() -> int:
        pacer = Pacer(1024)
        turns = await admitted(pacer, 1024)
        turns[0].succeeded()
        await asyncio.sleep(1)
        return pacer.in_flight

    assert run(main()) == 32


def test_undisturbed_there_is_no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    timers: list[float] = []
    call_at = VirtualLoop.call_at

    def counted(loop: VirtualLoop, when: float, *args: Any, **options: Any) -> Any:
        timers.append(when)
        return call_at(loop, when, *args, **options)

    async def main() -> None:
        pacer = Pacer(64)
        for _ in range(100):
            (await pacer.admit()).succeeded()

    monkeypatch.setattr(VirtualLoop, "call_at", counted)
    run(main())
    assert not timers


def test_while_a_refusal_may_mean_anything_half_as_many_go() -> None:
    async def main() -> list[int]:
        pacer = Pacer(32)
        turns = await admitted(pacer, 64)
        for turn in turns[:16]:
            turn.succeeded()
        await asyncio.sleep(0)
        before = pacer.in_flight
        for turn in turns[16:18]:
            turn.refused()
        await asyncio.sleep(0)
        return [before, pacer.in_flight]

    assert run(main()) == [32, 30]


# ------------------------------------------------------------------ limits


@pytest.mark.parametrize("after", [None, 1.0], ids=["silent", "retry-after"])
@pytest.mark.parametrize("at_once", [False, True], ids=["delayed", "at-once"])
@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_a_limit_of_20_a_second_is_used_up_and_seldom_run_into(
    after: float | None, at_once: bool, spread: float
) -> None:
    for seed in SEEDS:
        job = Job(Bucket(after), at_once=at_once, spread=spread, seed=seed).run(150, 2)
        assert job.seconds <= 1.15 * 14
        assert job.refused <= 40


@pytest.mark.slow
@pytest.mark.parametrize("after", [None, 1.0], ids=["silent", "retry-after"])
@pytest.mark.parametrize(("rate", "calls"), [(5, 300), (100, 2000)])
def test_limits_of_other_sizes_are_used_up(rate: int, calls: int, after: float | None) -> None:
    job = Job(Bucket(after, ((0, rate),)), most=128).run(calls)
    assert job.seconds <= 1.15 * (calls - rate) / rate
    assert job.refused <= 30 + 0.2 * calls


@pytest.mark.parametrize("rate", [5, 20])
def test_nine_tenths_of_a_limit_are_used_in_steady_state(rate: int) -> None:
    for seed in SEEDS:
        job = Job(Bucket(None, ((0, rate),)), spread=0.5, seed=seed).run(rate * 60)
        assert job.steady_rate() >= 0.9 * rate


def test_a_limit_holds_for_requests_that_take_seconds() -> None:
    for seed in SEEDS:
        job = Job(Bucket(None, ((0, 2),), 10), latency=5, spread=0.5, at_once=True, seed=seed)
        assert job.run(200).seconds <= 1.15 * (95 + 5)


def test_a_strict_limit_without_bursts_is_used_for_the_most_part() -> None:
    assert Job(Bucket(None, ((0, 20),), 1)).run(1000).steady_rate() >= 0.75 * 20


def test_a_limit_that_changes_is_followed() -> None:
    server = Bucket(None, ((0, 20), (10, 5), (25, 40)))
    job = Job(server).run(800)
    assert job.seconds <= 1.35 * (25 + (800 - 20 - 200 - 75) / 40)
    slow = sum(15 <= at < 25 for at in job.done)
    assert slow >= 0.8 * 50
    assert sum(15 <= at < 25 for at in job.sent) <= 2 * slow


@pytest.mark.parametrize("most", [20, 100, 300])
def test_windows_of_a_minute_are_used_up_as_each_opens(most: int) -> None:
    job = Job(Window(most=most)).run(most * 4 + most // 2)
    assert job.seconds <= 1.15 * 240
    assert job.refused <= 5 * 150  # at each of the five walls, what is in flight


def test_a_limit_in_flight_is_respected() -> None:
    job = Job(InFlight()).run(2000)
    assert job.steady_rate() >= 0.85 * 16 / 0.05
    assert job.refused <= 0.05 * len(job.sent)


def test_what_limits_in_flight_with_latencies_that_vary_does_not_bring_it_down() -> None:
    job = Job(InFlight(), spread=0.5).run(2000)
    assert job.steady_rate() >= 0.7 * 16 / 0.05


# ------------------------------------------------------------------ noise


@pytest.mark.slow
@pytest.mark.parametrize("at_once", [False, True], ids=["delayed", "at-once"])
@pytest.mark.parametrize("noise", [0.05, 0.1, 0.25, 0.4])
def test_random_refusals_are_not_taken_for_a_limit(noise: float, at_once: bool) -> None:
    found = slowdowns(noise, 60, 2, at_once=at_once)
    assert median(found) <= 1.4
    assert max(found) <= 6


def test_one_refusal_in_four_slows_a_short_job_by_little_more_than_its_retries() -> None:
    # Where sixty calls of 50 ms each fit in flight, a chain of refusals is all that takes time.
    without = Job(Free()).run(60, 2).seconds
    times = [
        Job(Noise(None, 0.25, random.Random(seed)), seed=seed).run(60, 2).seconds
        for seed in range(15)
    ]
    assert median(times) <= 4 * without


@pytest.mark.parametrize("noise", [0.1, 0.25])
def test_random_refusals_do_not_bring_a_long_job_down(noise: float) -> None:
    without = Job(Free(), latency=1, spread=0.5).run(1000).seconds
    for seed in SEEDS:
        job = Job(Noise(None, noise, random.Random(seed)), latency=1, spread=0.5, seed=seed)
        assert job.run(1000).seconds <= 3 * without


@pytest.mark.slow
def test_noise_does_not_hide_a_limit_that_comes_later() -> None:
    class Both(Bucket):
        def takes(self, now: float) -> bool:
            return noise.takes(now) and (now < 5 or super().takes(now))

    noise = Noise(None, 0.25, random.Random(1))
    job = Job(Both(None, ((0, 50),))).run(6000)
    late = [at for at in job.sent if at > 20]
    assert len(late) / (job.seconds - 20) <= 4 * 50
    assert job.steady_rate() >= 0.5 * 50


# ------------------------------------------------------------------ outages


@pytest.mark.parametrize("after", [None, 1.0, 5.0])
def test_an_outage_is_probed_now_and_then_and_work_goes_on_after_it(after: float | None) -> None:
    job = Job(Outage(after, 0, 120)).run(500)
    assert sum(5 <= at < 120 for at in job.sent) <= 115 * 2 + 1
    assert job.seconds <= 120 + 15


@pytest.mark.slow
@pytest.mark.parametrize("after", [None, 1.0])
def test_an_outage_in_mid_run_ends_within_seconds_of_its_end(after: float | None) -> None:
    job = Job(Outage(after, 2, 62)).run(10_000)
    assert sum(6 <= at < 62 for at in job.sent) <= 56 * 2 + 1
    assert job.seconds <= 62 + 20


@pytest.mark.parametrize("after", [None, 1.0])
@pytest.mark.parametrize("at_once", [False, True])
def test_a_hundred_refusals_before_the_first_success_do_not_freeze_it(
    after: float | None, at_once: bool
) -> None:
    assert Job(FirstRefused(after), at_once=at_once).run(300).seconds <= 150


def test_a_huge_retry_after_delays_only_the_request_that_got_it() -> None:
    async def main() -> None:
        pacer = Pacer(8)
        (await pacer.admit()).refused(after=10_000)
        for _ in range(100):
            turn = await pacer.admit()
            await asyncio.sleep(0.1)
            turn.succeeded()
        assert clock() < 11

    run(main())


def test_after_a_full_stop_nothing_is_released_at_once() -> None:
    job = Job(Outage(10.0, 0, 30), most=256).run(1000)
    restart = [at for at in job.sent if at > 30]
    for at in restart[:20]:
        assert sum(at <= other < at + 0.01 for other in restart) <= 32


def test_a_stop_that_the_provider_asked_for_is_not_cut_short_by_late_replies() -> None:
    async def main() -> None:
        pacer = Pacer(32)
        early = [await pacer.admit() for _ in range(16)]
        for turn in [await pacer.admit() for _ in range(16)]:
            turn.refused(after=20.0)
        await asyncio.sleep(1)
        for turn in early:
            turn.succeeded()
        await pacer.admit()
        assert clock() >= 20

    run(main())


# ------------------------------------------------------------------ turns


def test_first_come_first_served_and_retries_before_them() -> None:
    async def main() -> list[str]:
        pacer = Pacer(1)
        turn = await pacer.admit()
        order: list[str] = []

        async def call(name: str, *, again: bool = False) -> None:
            (await pacer.admit(again=again)).failed()
            order.append(name)

        calls = [asyncio.ensure_future(call(name)) for name in "abc"]
        await asyncio.sleep(0)
        calls.append(asyncio.ensure_future(call("retry", again=True)))
        await asyncio.sleep(0)
        turn.failed()
        await asyncio.gather(*calls)
        return order

    assert run(main()) == ["retry", "a", "b", "c"]


def test_a_waiter_cancelled_as_its_turn_came_gives_it_back() -> None:
    async def main() -> None:
        pacer = Pacer(1)
        turn = await pacer.admit()
        first, second = (asyncio.ensure_future(pacer.admit()) for _ in range(2))
        await asyncio.sleep(0)
        turn.succeeded()
        first.cancel()
        (await second).succeeded()
        with pytest.raises(asyncio.CancelledError):
            await first
        assert pacer.in_flight == 0

    run(main())


@given(
    most=st.integers(1, 40),
    refusals=st.floats(0, 1),
    failures=st.floats(0, 0.5),
    cancels=st.floats(0, 0.5),
    rpm=st.none() | st.integers(1, 6000),
    seed=st.integers(0, 2**32),
)
def test_whatever_happens_all_are_served_and_nothing_leaks(
    most: int, refusals: float, failures: float, cancels: float, rpm: int | None, seed: int
) -> None:
    rng = random.Random(seed)

    async def main() -> None:
        pacer = Pacer(most, rpm=rpm)
        healthy_at = rng.uniform(0, 60)

        async def attempt(again: bool) -> bool:
            turn = await pacer.admit(again=again)
            assert pacer.in_flight <= most
            try:
                await asyncio.sleep(rng.expovariate(2))
            except asyncio.CancelledError:
                turn.failed()
                raise
            ill = clock() < healthy_at
            if ill and rng.random() < failures:
                turn.failed()
            elif ill and rng.random() < refusals:
                turn.refused(rng.choice([None, 0.5, 2.0]))
            else:
                turn.succeeded()
                return True
            return False

        async def call() -> None:
            tries = 0
            while not await attempt(tries > 0):
                await asyncio.sleep(backoff(tries))
                tries += 1

        calls = [asyncio.ensure_future(call()) for _ in range(60)]
        for each in calls:
            if rng.random() < cancels:
                asyncio.get_running_loop().call_later(rng.uniform(0, 5), each.cancel)
        await asyncio.gather(*calls, return_exceptions=True)
        assert all(each.cancelled() or each.exception() is None for each in calls)
        assert pacer.in_flight == 0
        (await pacer.admit()).succeeded()

    run(main())


# ------------------------------------------------------------------ rpm, tpm, hints


@pytest.mark.slow
@given(
    rpm=st.integers(1, 600), most=st.integers(1, 64), pauses=st.lists(st.floats(0, 90), max_size=3)
)
def test_no_minute_sees_more_requests_than_rpm(rpm: int, most: int, pauses: list[float]) -> None:
    async def main() -> list[float]:
        pacer, sent = Pacer(most, rpm=rpm), list[float]()
        for pause in [*pauses, 0.0]:
            for _ in range(rpm + 5):
                (await pacer.admit()).succeeded()
                sent.append(clock())
            await asyncio.sleep(pause)
        return sent

    sent = run(main())
    for i, at in enumerate(sent):
        assert sum(other < at + 60 - 1e-6 for other in sent[i:]) <= rpm


def test_rpm_is_used_up() -> None:
    assert Job(Free(), rpm=600).run(600).seconds <= 60
    assert Job(Free(), rpm=6).run(7).seconds == pytest.approx(60.05, abs=0.1)


@pytest.mark.parametrize(("guess", "real"), [(1000, 1000), (3000, 1000), (200, 1000)])
def test_tpm_counts_what_requests_really_took(guess: int, real: int) -> None:
    async def main() -> None:
        pacer = Pacer(4, tpm=60_000)
        for _ in range(120):
            (await pacer.admit(guess)).succeeded(tokens=real)
        assert 115 <= clock() <= 121

    run(main())


def test_a_request_larger_than_a_minute_of_tokens_still_goes() -> None:
    async def main() -> None:
        pacer = Pacer(4, tpm=600)
        (await pacer.admit(6000)).succeeded()
        assert clock() == 0
        await pacer.admit(1)
        assert clock() == pytest.approx(600, abs=2)

    run(main())


def test_refused_tokens_are_not_counted() -> None:
    async def main() -> None:
        pacer = Pacer(4, tpm=600)
        (await pacer.admit(6000)).refused()
        await pacer.admit(6000)
        assert clock() < 1

    run(main())


def rate_after(hints: Hints, tokens: int, others: int) -> float:
    """Return the rate once a reply had these hints, with so many others in flight."""

    async def main() -> float:
        pacer = Pacer(8)
        turns = [await pacer.admit(tokens) for _ in range(others + 1)]
        turns[0].succeeded(hints, tokens)
        return pacer._rate.spacing.rate

    return run(main())


@pytest.mark.parametrize(
    ("requests", "others", "rate"),
    [
        (Allowance(0, 60, limit=600), 0, 10.0),
        (Allowance(3, 60, limit=603), 3, 10.0),
        (Allowance(4, 60, limit=604), 3, inf),  # enough for what is in flight
        (Allowance(0, 120, limit=600), 0, 5.0),
        (Allowance(0, 121, limit=600), 0, inf),
        (Allowance(0, 0, limit=600), 0, inf),
        (Allowance(5, 60, limit=5), 5, inf),
        (Allowance(0, 60), 0, inf),
    ],
)
def test_a_hint_at_requests_is_the_rate_at_which_its_limit_refills(
    requests: Allowance, others: int, rate: float
) -> None:
    assert rate_after(Hints(requests=requests), 0, others) == rate


@pytest.mark.parametrize(
    ("tokens", "others", "rate"), [(1000, 0, 10.0), (500, 2, 20.0), (0, 0, inf)]
)
def test_a_hint_at_tokens_is_one_at_requests_of_that_size(
    tokens: int, others: int, rate: float
) -> None:
    hints = Hints(tokens=Allowance(0, 60, limit=600_000))
    assert rate_after(hints, tokens, others) == rate


def paced(hints: Hints, tokens: int = 0, seconds: float = 10.0) -> int:
    """Return how many go in that time where every reply has these hints."""

    async def main() -> int:
        pacer, count = Pacer(64), 0

        async def worker() -> None:
            nonlocal count
            while True:
                turn: Turn = await pacer.admit(tokens)
                count += 1
                await asyncio.sleep(0.05)
                turn.succeeded(hints, tokens)

        workers = [asyncio.ensure_future(worker()) for _ in range(64)]
        await asyncio.sleep(seconds)
        for each in workers:
            each.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
        return count

    return run(main())


def test_a_hint_that_nothing_is_left_slows_down_before_anything_is_refused() -> None:
    assert paced(NO_HINTS, seconds=3) > 3_000
    assert 100 <= paced(Hints(requests=Allowance(0, 60, limit=600))) <= 400
    assert 100 <= paced(Hints(tokens=Allowance(0, 60, limit=600_000)), 1000) <= 400


def test_a_hint_is_no_limit_where_much_is_left_or_it_is_one_by_the_day() -> None:
    assert paced(Hints(requests=Allowance(500, 60, limit=600)), seconds=3) > 3_000
    assert paced(Hints(requests=Allowance(0, 86_400, limit=1000)), seconds=3) > 3_000


@pytest.mark.slow
def test_a_hint_that_is_wrong_does_not_keep_it_slow() -> None:
    assert paced(Hints(requests=Allowance(0, 60, limit=1)), seconds=120) > 5000
