"""When a provider counts as gone, and how long a call is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from refinecli.connection import Connection
from refinecli.errors import CompletionError, RunError
from refinecli.pacing import Pacer
from refinecli.replies import RetryableError

DOWN = RetryableError("server", "503: gone fishing")


class Clock:
    """The event loop's clock, at a standstill until it is told otherwise."""

    now = 100.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    clock = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: clock)
    return clock


@pytest.fixture
def connection() -> Connection:
    return Connection("http://host/v1/chat/completions", "m", "place", Pacer(64))


def test_a_provider_that_answers_nothing_for_half_a_minute_ends_the_run_in_its_own_words(
    connection: Connection, clock: Clock
) -> None:
    for _ in range(100):
        connection.failed(DOWN)
    clock.now += 31
    with pytest.raises(RunError, match=r"nothing for 31 s.*gone fishing") as caught:
        connection.failed(DOWN)
    assert "the same command continues" in caught.value.hint
    assert caught.value.type == "server"


def test_a_few_calls_that_fail_for_long_are_no_outage(connection: Connection, clock: Clock) -> None:
    for _ in range(19):
        clock.now += 60
        connection.failed(DOWN)


def test_one_answer_in_between_means_that_it_is_not_gone(
    connection: Connection, clock: Clock
) -> None:
    for _ in range(1000):
        clock.now += 1
        connection.failed(DOWN)
        if clock.now % 15 == 0:
            connection.succeeded()


def test_a_provider_that_refuses_everyone_for_an_hour_is_not_waited_for(
    connection: Connection, clock: Clock
) -> None:
    later = RetryableError("rate_limit", "429: daily limit", after=3600)
    assert not connection.may_retry(later, 0, 5, 0)
    for _ in range(19):
        connection.failed(later)
    with pytest.raises(RunError, match="daily limit"):
        connection.failed(later)


def test_while_nobody_gets_through_no_call_is_given_up(
    connection: Connection, clock: Clock
) -> None:
    assert not connection.may_retry(DOWN, 5, 5, 0)
    for _ in range(20):
        connection.failed(DOWN)
    assert connection.may_retry(DOWN, 500, 5, 0)
    connection.succeeded()
    assert not connection.may_retry(DOWN, 5, 5, 0)


def test_no_retries_means_none_whatever_happens(connection: Connection, clock: Clock) -> None:
    for _ in range(20):
        connection.failed(DOWN)
    assert not connection.may_retry(DOWN, 0, 0, 0)


def test_a_refused_call_has_more_patience_while_others_get_through_but_not_for_ever(
    connection: Connection, clock: Clock
) -> None:
    busy = RetryableError("rate_limit", "429")
    assert not connection.may_retry(busy, 5, 5, before=connection.successes)
    before = connection.successes
    connection.succeeded()
    assert connection.may_retry(busy, 5, 5, before)
    assert not connection.may_retry(busy, 15, 5, before)


def test_nobody_there_from_the_start_is_the_runs_failure_and_later_the_calls(
    connection: Connection,
) -> None:
    gone = RetryableError("connect", "Connection refused")
    assert isinstance(connection.given_up(gone), RunError)
    connection.answered = True
    given_up = connection.given_up(gone)
    assert isinstance(given_up, CompletionError)
    assert given_up.type == "connection"
