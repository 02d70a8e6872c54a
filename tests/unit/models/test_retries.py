"""When a provider counts as gone, and how long a call is tried again."""

from __future__ import annotations

import asyncio

import pytest

from refinecli.errors import CompletionError, RunError
from refinecli.models.retries import (
    Ending,
    Health,
    RetryableError,
    backoff,
    may_pass,
    pause,
    retried,
)

DOWN = RetryableError("server", "503: gone fishing")


class Clock:
    """The event loop's clock, at a standstill until it is told otherwise."""

    now = 100.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    return clock


@pytest.fixture
def health() -> Health:
    return Health("http://host/v1/chat/completions", answered=True)


def down(health: Health, calls: int, error: RetryableError = DOWN) -> None:
    """So many calls fail for the first time."""
    for _ in range(calls):
        health.failed(error, 0)


def may_retry(
    health: Health,
    error: RetryableError,
    tries: int,
    retries: int = 5,
    before: int = 0,
    seconds: float = 0.0,
) -> bool:
    return health.may_retry(error, tries, retries, before=before, seconds=seconds)


def test_a_provider_that_answers_nothing_for_half_a_minute_ends_the_run_in_its_own_words(
    health: Health, clock: Clock
) -> None:
    down(health, 100)
    clock.now += 31
    with pytest.raises(RunError, match=r"nothing for 31 s.*gone fishing") as caught:
        health.failed(DOWN, 3)
    assert "run the same command again" in caught.value.hint
    assert caught.value.type == "server"


def test_a_few_calls_that_always_fail_are_no_outage(health: Health, clock: Clock) -> None:
    down(health, 9)
    for tries in range(100):
        clock.now += 60
        health.failed(DOWN, tries + 1)
    assert not may_retry(health, DOWN, 5)


def test_one_answer_in_between_means_that_it_is_not_gone(health: Health, clock: Clock) -> None:
    for _ in range(1000):
        clock.now += 1
        down(health, 1)
        if clock.now % 15 == 0:
            health.succeeded()


def test_time_in_which_nothing_was_asked_is_no_silence(health: Health, clock: Clock) -> None:
    health.succeeded()
    clock.now += 3600
    down(health, 100)


def test_who_refuses_may_do_so_for_a_minute(health: Health, clock: Clock) -> None:
    busy = RetryableError("rate_limit", "429: 20 requests per minute")
    down(health, 15, busy)
    clock.now += 61
    health.failed(busy, 4)
    clock.now += 60
    with pytest.raises(RunError, match="20 requests per minute"):
        health.failed(busy, 5)


def test_a_provider_that_refuses_everyone_for_an_hour_is_not_waited_for(
    health: Health, clock: Clock
) -> None:
    later = RetryableError("rate_limit", "429: daily limit", after=3600)
    assert not may_retry(health, later, 0)
    down(health, 9, later)
    with pytest.raises(RunError, match="daily limit"):
        health.failed(later, 0)


def test_while_nobody_gets_through_no_call_is_given_up(health: Health, clock: Clock) -> None:
    assert not may_retry(health, DOWN, 5)
    down(health, 10)
    assert may_retry(health, DOWN, 500)
    health.succeeded()
    assert not may_retry(health, DOWN, 5)


def test_no_retries_means_none_whatever_happens(health: Health, clock: Clock) -> None:
    down(health, 20)
    assert not may_retry(health, DOWN, 0, retries=0)


def test_a_refused_call_has_more_patience_while_others_get_through_but_not_for_ever(
    health: Health, clock: Clock
) -> None:
    busy = RetryableError("rate_limit", "429", after=1)
    assert not may_retry(health, busy, 5)
    health.succeeded()
    assert may_retry(health, busy, 5)
    assert not may_retry(health, busy, 15)


def test_a_lone_call_that_is_refused_is_tried_until_a_limit_by_the_minute_opens(
    health: Health, clock: Clock
) -> None:
    busy = RetryableError("rate_limit", "429")
    assert may_retry(health, busy, 50, seconds=74)
    assert not may_retry(health, busy, 50, seconds=75)
    assert not may_retry(health, busy, 50, retries=1, seconds=16)


def test_a_wrong_url_is_told_soon_however_many_calls_it_meets(health: Health, clock: Clock) -> None:
    health.answered = False
    gone = RetryableError("connect", "no such host")
    down(health, 100, gone)
    assert may_retry(health, gone, 2)
    assert not may_retry(health, gone, 3)


def test_nobody_there_from_the_start_is_the_runs_failure_and_later_the_calls(
    health: Health,
) -> None:
    gone = RetryableError("connect", "Connection refused")
    health.answered = False
    assert isinstance(health.given_up(gone), RunError)
    health.answered = True
    given_up = health.given_up(gone)
    assert isinstance(given_up, CompletionError)
    assert given_up.type == "connection"


def test_a_provider_that_never_answered_is_not_waited_for_without_end(clock: Clock) -> None:
    health = Health("http://host/v1/chat/completions")
    slow = RetryableError("timeout", "no answer within 600 s")
    down(health, 20, slow)
    clock.now += 31
    with pytest.raises(RunError, match="nothing for 31 s"):
        health.failed(slow, 1)


def test_a_server_that_is_gone_is_waited_for_however_few_are_in_flight(
    health: Health, clock: Clock
) -> None:
    health.succeeded()
    gone = RetryableError("connect", "Connection refused")
    for tries in range(20):
        health.failed(gone, tries)
        assert may_retry(health, gone, tries, seconds=clock.now - 100)
        clock.now += 1


# ------------------------------------------------------------------ how long to wait


def test_backoff_grows_is_jittered_and_keeps_to_retry_after() -> None:
    assert len({backoff(3) for _ in range(10)}) == 10
    assert all(0.005 <= backoff(0) <= 0.015 for _ in range(100))
    assert max(backoff(1000) for _ in range(100)) <= 6
    assert all(2 <= backoff(5, 2.0) <= 2.5 for _ in range(100))


@pytest.mark.parametrize(
    ("error", "tries", "alone", "low", "high"),
    [
        # Half a second at first, doubled from try to try, ten seconds at most.
        (DOWN, 0, True, 0.25, 0.5),
        (DOWN, 1, True, 0.5, 1.0),
        (DOWN, 3, False, 2.0, 4.0),
        (DOWN, 1000, True, 5.0, 10.0),
        # While others get through, a refused call leaves the waiting to the pace.
        (RetryableError("rate_limit", "429"), 0, False, 0.005, 0.015),
        (RetryableError("rate_limit", "429"), 0, True, 0.25, 0.5),
        # A provider is taken at its word, but "at once" only the first time.
        (RetryableError("rate_limit", "429", 2.0), 4, True, 2.0, 2.5),
        (RetryableError("rate_limit", "429", 0.0), 0, True, 0.0, 0.0),
        (RetryableError("rate_limit", "429", 0.0), 1, True, 0.5, 1.0),
        (RetryableError("server", "503", 8.0), 0, True, 8.0, 10.0),
        (RetryableError("server", "503", 0.2), 3, True, 2.0, 4.0),
    ],
)
def test_the_pause_before_another_try(
    error: RetryableError, tries: int, alone: bool, low: float, high: float
) -> None:
    pauses = [pause(error, tries, alone=alone) for _ in range(200)]
    assert low <= min(pauses) <= max(pauses) <= high


@pytest.mark.parametrize(
    ("tries", "low", "high"), [(0, 0.25, 0.5), (1, 0.5, 1.0), (4, 4.0, 8.0), (5, 5.0, 10.0)]
)
def test_a_pause_is_drawn_from_half_of_it_up_to_all_of_it(
    monkeypatch: pytest.MonkeyPatch, tries: int, low: float, high: float
) -> None:
    for draw, seconds in ((0.0, low), (1.0, high)):
        monkeypatch.setattr("random.random", lambda draw=draw: draw)
        assert pause(DOWN, tries, alone=True) == seconds


@pytest.mark.parametrize(
    ("tries", "after", "low", "high"),
    [
        (0, None, 0.005, 0.015),
        (1, None, 0.01, 0.03),
        (8, None, 1.28, 3.84),
        (9, None, 2.0, 6.0),
        (3, 8.0, 8.0, 10.0),
    ],
)
def test_a_backoff_doubles_up_to_four_seconds_or_heeds_the_provider(
    monkeypatch: pytest.MonkeyPatch, tries: int, after: float | None, low: float, high: float
) -> None:
    for draw, seconds in ((0.0, low), (1.0, high)):
        monkeypatch.setattr("random.random", lambda draw=draw: draw)
        assert backoff(tries, after) == pytest.approx(seconds)


def test_at_once_means_less_than_a_tenth_of_a_second() -> None:
    assert RetryableError("server", "", 0.1).later == 0.1
    assert RetryableError("server", "", 0.09).later is None
    assert RetryableError("server", "").later is None


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (DOWN, 30),
        (RetryableError("timeout", "no answer"), 30),
        (RetryableError("rate_limit", "429"), 120),
        (RetryableError("loading", "503"), 120),
    ],
)
def test_a_run_ends_with_the_second_that_is_too_much(
    health: Health, clock: Clock, error: RetryableError, seconds: int
) -> None:
    down(health, 10, error)
    clock.now += seconds - 0.1
    health.failed(error, 1)
    clock.now += 0.1
    with pytest.raises(RunError, match=f"nothing for {seconds} s, to 10 calls in a row"):
        health.failed(error, 1)


def test_a_wait_of_five_minutes_is_worth_it_and_more_is_not(health: Health, clock: Clock) -> None:
    assert may_retry(health, RetryableError("rate_limit", "429", after=300), 0)
    assert not may_retry(health, RetryableError("rate_limit", "429", after=300.5), 0)
    down(health, 10, RetryableError("rate_limit", "429", after=300))
    with pytest.raises(RunError):
        health.failed(RetryableError("rate_limit", "429", after=300.5), 1)


def test_a_server_that_is_gone_is_tried_three_times_unless_it_may_be_back_soon(
    health: Health, clock: Clock
) -> None:
    gone = RetryableError("connect", "Connection refused")
    assert [may_retry(health, gone, tries) for tries in (2, 3)] == [True, False]
    assert [may_retry(health, gone, tries, retries=1) for tries in (0, 1)] == [True, False]
    health.succeeded()
    assert may_retry(health, gone, 3, seconds=29.9)
    assert not may_retry(health, gone, 3, seconds=30)


def test_every_failed_connection_counts_and_of_other_calls_their_first_try(
    health: Health, clock: Clock
) -> None:
    gone = RetryableError("connect", "Connection refused")
    for tries in range(9):
        health.failed(gone, tries)
        health.failed(DOWN, 1)
    assert not health.is_down
    health.failed(gone, 9)
    assert health.is_down
    health.heard()
    assert not health.is_down


def test_an_outage_is_timed_from_its_first_failure(health: Health, clock: Clock) -> None:
    down(health, 9)
    clock.now += 29
    down(health, 1)
    clock.now += 1
    with pytest.raises(RunError, match="nothing for 30 s, to 11 calls"):
        down(health, 1)


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 529])
def test_these_statuses_may_pass(status: int) -> None:
    assert may_pass(status)


@pytest.mark.parametrize("status", [301, 400, 401, 402, 403, 404, 413, 422])
def test_these_statuses_will_not(status: int) -> None:
    assert not may_pass(status)


# ------------------------------------------------------------------ tried again


class Attempts:
    """An attempt that fails in turn with each error, and then gives "4"."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.again: list[bool] = []
        self.waited: list[float] = []
        self.reported: list[tuple[int, str]] = []

    async def __call__(self, again: bool) -> str:
        self.again.append(again)
        if self.errors:
            raise self.errors.pop(0)
        return "4"

    async def wait(self, seconds: float) -> None:
        self.waited.append(seconds)

    def report(self, number: int, seconds: float, error: RetryableError) -> None:
        self.reported.append((number, str(error)))

    def run(self, health: Health, retries: int = 5) -> str:
        return asyncio.run(retried(self, health, retries, self.wait, self.report))


def test_an_attempt_that_works_is_not_made_again(health: Health) -> None:
    attempts = Attempts()
    assert attempts.run(health) == "4"
    assert (attempts.again, attempts.waited) == ([False], [])


def test_each_further_attempt_is_marked_reported_and_waited_for(health: Health) -> None:
    attempts = Attempts(DOWN, RetryableError("timeout", "no reply within 600 s"))
    assert attempts.run(health) == "4"
    assert attempts.again == [False, True, True]
    assert attempts.reported == [(1, "503: gone fishing"), (2, "no reply within 600 s")]
    assert len(attempts.waited) == 2


def test_a_call_is_given_up_after_its_retries(health: Health) -> None:
    attempts = Attempts(*[DOWN] * 9)
    with pytest.raises(CompletionError, match="host: 503: gone fishing") as caught:
        attempts.run(health, retries=3)
    assert caught.value.type == "server"
    assert attempts.again == [False, True, True, True]


def test_what_does_not_pass_is_raised_at_once(health: Health) -> None:
    attempts = Attempts(CompletionError("refused", "no"))
    with pytest.raises(CompletionError, match="no"):
        attempts.run(health)
    assert attempts.again == [False]


# ------------------------------------------------------------------ the end of all sending


def test_whoever_waits_to_try_again_hears_of_the_end_at_once() -> None:
    async def main() -> None:
        ending = Ending()
        waiting = asyncio.ensure_future(ending.pause(3600))
        await asyncio.sleep(0)
        ending.end(RunError("the key is refused"))
        await asyncio.wait_for(waiting, 5)

    with pytest.raises(RunError, match="the key is refused"):
        asyncio.run(main())


def test_a_pause_ends_by_itself() -> None:
    async def main() -> None:
        await Ending().pause(0.001)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] unable to get local issuer", "SSL_CERT_FILE"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "http://"),
        ("[SSL: RECORD_LAYER_FAILURE] record layer failure", "http://"),
        ("Connection refused", "server runs"),
    ],
)
def test_who_cannot_be_reached_is_named_with_the_remedy(words: str, remedy: str) -> None:
    error = Health("https://host/v1").given_up(RetryableError("connect", words))
    assert isinstance(error, RunError)
    assert remedy in error.hint


def test_a_server_that_hangs_up_on_plain_http_may_want_tls() -> None:
    reset = RetryableError("connection", "Connection reset by peer")
    assert "https://" in Health("http://host/v1").given_up(reset).hint
    assert not Health("https://host/v1").given_up(reset).hint
    assert not Health("http://host/v1", answered=True).given_up(reset).hint
