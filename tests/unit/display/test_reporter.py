"""Progress: what a person sees meanwhile, how it is paced, and where it is not drawn."""

from __future__ import annotations

import os
import re
import sys
import termios
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from refinecli.data.output_lines import Outcome
from refinecli.display import reporter as progress_module
from refinecli.display.bar import ProgressView
from refinecli.display.progress import Progress
from refinecli.display.reporter import Reporter
from refinecli.display.shared_terminal import free_to_draw
from refinecli.display.throughput import Pace, duration_words, rate_words
from refinecli.models.traffic import Traffic, compact, money, traffic_words
from refinecli.runs.summary import Summary
from tests.support.terminal import Terminal


@dataclass
class Run:
    """A run that is made up: its clock, its counters, and the progress that is made of them."""

    total: int | None = 10_000
    now: float = 100.0
    traffic: Traffic = field(default_factory=Traffic)
    summary: Summary = field(default_factory=Summary)

    def __post_init__(self) -> None:
        self.progress = Progress("refine", self.total, self.summary, self.traffic, lambda: self.now)

    def go_on(
        self, seconds: float = 1, *, finished: int = 0, calls: int = 0, replayed: int = 0
    ) -> None:
        """Time goes by, and this much is done in it, step by step."""
        steps = 10
        for step in range(1, steps + 1):
            self.now += seconds / steps
            self.traffic.sent += calls * step // steps - calls * (step - 1) // steps
            self.traffic.replayed += replayed * step // steps - replayed * (step - 1) // steps
            self.summary.finished += finished * step // steps - finished * (step - 1) // steps
            self.progress.update()

    def score(self, *scores: float | None) -> None:
        for score in scores:
            status = "ungraded" if score is None else "done"
            self.summary.add(Outcome({}, status, score))  # type: ignore[arg-type]

    @property
    def line(self) -> str:
        return self.progress.line()

    def view(self, width: int, **options: Any) -> list[str]:
        """What a terminal of this width shows."""
        file = StringIO()
        console = Console(file=file, width=width, **options)
        console.print(ProgressView(self.progress))
        return file.getvalue().removesuffix("\n").split("\n")


def busy() -> Run:
    """A run in which everything that can be shown has something to show."""
    run = Run()
    run.traffic.in_flight = 64
    run.go_on(seconds=200, finished=4_120, calls=8_240 + 64)
    run.traffic.refused = 12
    run.traffic.replayed = 30
    run.traffic.prompt_tokens, run.traffic.completion_tokens = 1_234_567, 345_678
    run.traffic.cost = 1.234
    run.score(*[0.75] * 300, None, None)
    run.summary.failed = 3
    return run


def test_a_wide_terminal_shows_all_in_two_lines() -> None:
    first, second = busy().view(140)
    bar = f"{'━' * 24}╸{'─' * 35}"
    assert first == f"refine {bar}  4,120/10,000 · 41% · 20.6/s · 3:20 so far · 4:46 left"
    assert second.strip() == (
        "64 in flight · score 0.750 · 3 failed · 2 ungraded · 12 refused · "
        "1.2M tokens in, 346K out · $1.23 · 30 replayed"
    )


def test_at_80_columns_the_least_important_is_left_out() -> None:
    first, second = busy().view(80)
    bar = f"{'━' * 7}{'─' * 10}"
    assert first == f"refine {bar}  4,120/10,000 · 41% · 20.6/s · 3:20 so far · 4:46 left"
    assert second == (
        "       64 in flight · score 0.750 · 3 failed · 2 ungraded · 12 refused · $1.23"
    )


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 120, 140, 300])
def test_it_is_always_two_lines_that_fit(width: int) -> None:
    for total in (None, 0, 3, 10_000, 123_456_789):
        run = busy()
        run.progress.total = total
        lines = run.view(width)
        assert len(lines) == 2
        assert all(len(line) < width for line in lines)


def test_what_went_wrong_is_left_out_last() -> None:
    first, second = busy().view(40)
    assert "4,120/10,000" in first
    assert second.strip() == "3 failed · 2 ungraded"


def test_without_a_total_there_is_neither_a_bar_nor_a_time_left() -> None:
    run = Run(total=None)
    run.go_on(seconds=10, finished=1_200, calls=2_400)
    first, second = run.view(100)
    assert first == "refine 1,200 done · 120/s · 0:10 so far"
    assert second.strip() == "0 in flight"


def test_without_colour_the_bar_can_still_be_read() -> None:
    shown = busy().view(80, force_terminal=True, no_color=True, color_system="truecolor")[0]
    assert re.search("━━━.*───", shown)
    assert not re.search(r"\x1b\[[\d;]*3\d", shown)


def test_the_line_for_a_log_says_the_same() -> None:
    assert busy().line == (
        "refine: 4,120/10,000, 41%, 20.6/s, 3:20 so far, 4:46 left, 64 in flight, score 0.750, "
        "3 failed, 2 ungraded, 12 refused, 1.2M tokens in, 346K out, $1.23, 30 replayed"
    )


# ------------------------------------------------------------------ pace


def test_before_anything_is_finished_nothing_is_said_of_speed() -> None:
    run = Run()
    run.go_on(seconds=20)
    assert run.line == "refine: 0/10,000, 0%, 0:20 so far, 0 in flight"


def test_replayed_datapoints_are_no_speed() -> None:
    run = Run()
    run.go_on(seconds=1, finished=9_000, replayed=18_000)
    assert "replaying" in run.line
    assert "left" not in run.line
    run.traffic.in_flight = 64
    run.go_on(seconds=1, finished=50, replayed=100, calls=64)  # the last of them, the first calls
    assert "left" not in run.line
    for _ in range(9):
        run.go_on(seconds=1, finished=10, calls=20)
    # 90 in the 9 to 10 seconds since calls were sent, of which the last came in just now.
    rate = re.search(r"([\d.]+)/s", run.line)
    assert rate
    assert 8 < float(rate[1]) <= 10
    assert "replaying" not in run.line


def test_where_some_calls_are_replayed_their_share_is_no_speed() -> None:
    run = Run()
    for _ in range(60):
        run.go_on(seconds=1, finished=10, calls=10, replayed=10)
    assert "5.0/s" in run.line


def test_work_without_calls_has_a_speed_too() -> None:
    run = Run(total=100_000)
    for _ in range(60):
        run.go_on(seconds=1, finished=1_000)
    assert "1,000/s" in run.line
    assert "0:40 left" in run.line


def test_the_rate_follows_a_provider_that_slows_down() -> None:
    run = Run()
    for _ in range(300):
        run.go_on(seconds=1, finished=20, calls=40)
    assert "20.0/s" in run.line
    for _ in range(40):
        run.go_on(seconds=1, finished=2, calls=4)
    assert "2.0/s" in run.line


def test_while_nothing_finishes_the_rate_falls_and_the_time_left_grows() -> None:
    run = Run()
    run.traffic.sent = run.traffic.in_flight = 64
    for _ in range(60):
        run.go_on(seconds=1, finished=10, calls=20)
    before = run.line
    run.go_on(seconds=60)
    assert ("10.0/s" in before, "15:40 left" in before) == (True, True)
    assert ("1.9/s" in run.line, "1:23:47 left" in run.line) == (True, True)


def test_datapoints_that_come_in_together_make_a_calm_rate() -> None:
    """100 in flight that each take 40 s, and all come in at once: more than a window apart."""
    run = Run()
    run.traffic.in_flight = run.traffic.sent = 100
    rates = []
    for second in range(1, 1001):
        together = 100 if second % 40 == 0 else 0
        run.go_on(seconds=1, finished=together, calls=together)
        if second > 300 and (found := re.search(r"([\d.]+)/s", run.line)):
            rates.append(float(found[1]))
    assert len(rates) == 700
    assert max(rates) < 1.6 * min(rates)


class _Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@given(
    st.lists(
        st.tuples(
            st.floats(0, 100), *[st.integers(0, 1_000)] * 4, st.sampled_from([0, 1, 64, 10_000])
        ),
        max_size=60,
    )
)
def test_whatever_the_counters_do_a_rate_is_none_or_above_0(steps: list[Any]) -> None:
    clock, traffic, finished = _Clock(), Traffic(), 0
    pace = Pace(traffic, clock)
    for seconds, done, sent, replayed, refused, in_flight in steps:
        clock.now += seconds
        finished += done
        traffic.sent += sent
        traffic.replayed += replayed
        traffic.refused += refused
        traffic.in_flight = in_flight
        pace.update(finished)
        assert pace.rate is None or 0 < pace.rate <= finished
        assert not (pace.replaying and pace.rate)


# ------------------------------------------------------------------ words


def test_numbers_are_said_in_few_characters() -> None:
    counts = [0, 999, 1_000, 1_234, 9_949, 9_950, 34_567, 999_499, 999_500, 5_600_000, 10**13]
    words = ["0", "999", "1.0K", "1.2K", "9.9K", "10K", "35K", "999K", "1.0M", "5.6M", "10T"]
    assert [compact(count) for count in counts] == words
    seconds = [0, 7.9, 59.99, 60, 754, 3_600, 18_367, 86_399, 86_400, 273_600]
    times = ["0:00", "0:07", "0:59", "1:00", "12:34", "1:00:00", "5:06:07", "23:59:59"]
    assert [duration_words(s) for s in seconds] == [*times, "1d 0h", "3d 4h"]
    rates = [0.0005, 1 / 60, 0.5, 1, 12.34, 99.9, 99.96, 1_204]
    said = ["1.8/h", "1.0/min", "30.0/min", "1.0/s", "12.3/s", "99.9/s", "100/s", "1,204/s"]
    assert [rate_words(rate) for rate in rates] == said
    assert [money(c) for c in (0, 0.00123, 0.5, 1, 1_234.567)] == (
        ["$0.00", "$0.0012", "$0.5000", "$1.00", "$1,234.57"]
    )


def test_the_closing_words_are_exact_and_leave_out_what_is_nothing() -> None:
    assert traffic_words(Traffic()) == "0 calls"
    assert traffic_words(Traffic(sent=1), 0.04) == "1 call, 0.0 s"
    everything = Traffic(
        sent=9_120,
        replayed=18_000,
        refused=12,
        prompt_tokens=1_234_567,
        completion_tokens=345_678,
        cost=1.5,
    )
    assert traffic_words(everything, 191.26) == (
        "9,120 calls, 18,000 replayed, 12 refused, 1,234,567 tokens in, 345,678 out, $1.50, 191.3 s"
    )


# ------------------------------------------------------------------ a plain standard error


class Log(StringIO):
    """A standard error that is no terminal, and says when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        count = super().write(text)
        self.written.set()
        return count


def standard_error(monkeypatch: pytest.MonkeyPatch) -> Log:
    """Standard error for one test, with a clock that ticks fast."""
    log = Log()
    monkeypatch.setattr(sys, "stderr", log)
    monkeypatch.setattr(progress_module, "SECONDS_BETWEEN_LOOKS", 0.001)
    return log


def test_a_log_gets_a_line_now_and_then_though_nothing_finishes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = standard_error(monkeypatch)
    reporter = Reporter("refine", quiet=False, verbose=False)
    reporter.start(50, Summary(), Traffic(sent=4, in_flight=4))
    assert log.written.wait(60)
    reporter.stop()
    lines = log.getvalue().splitlines()
    assert set(lines) == {"refine: 0/50, 0%, 0:00 so far, 4 in flight"}


def test_a_quiet_log_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    log = standard_error(monkeypatch)
    threads = threading.active_count()
    reporter = Reporter("refine", quiet=True, verbose=False)
    reporter.start(50, Summary(), Traffic())
    assert threading.active_count() == threads  # nobody who could write
    reporter.notice("not worth knowing")
    reporter.stop()
    assert log.getvalue() == ""


def test_only_verbose_says_something_of_each_datapoint(monkeypatch: pytest.MonkeyPatch) -> None:
    log = standard_error(monkeypatch)
    outcomes = [
        Outcome({"id": "a\x1b[31m"}, "done", 0.5),
        Outcome({"id": 7}, "failed", failures=("timeout", "server")),
        Outcome({}, "ungraded", failures=("no_score",), line=3),
    ]
    for verbose in (False, True):
        reporter = Reporter("refine", quiet=False, verbose=verbose)
        for outcome in outcomes:
            reporter.advance(outcome)
    assert log.getvalue().splitlines() == [
        "a␛[31m: done, score 0.5",
        "7: failed (timeout, server)",
        "line 3: ungraded (no_score)",
    ]


# ------------------------------------------------------------------ a terminal


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    os.close(terminal.ours)


def test_under_a_pager_nothing_is_drawn(terminal: Terminal) -> None:
    usual = termios.tcgetattr(terminal.theirs)
    raw = [*usual]
    raw[3] = usual[3] & ~termios.ICANON  # as one that reads single keys sets it
    termios.tcsetattr(terminal.theirs, termios.TCSANOW, raw)
    assert not free_to_draw(terminal.theirs)
    termios.tcsetattr(terminal.theirs, termios.TCSANOW, usual)
    assert free_to_draw(terminal.theirs)
    terminal.read_all()
