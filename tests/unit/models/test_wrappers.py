"""Jurors that are lost, and the embedded model as a grader."""

from __future__ import annotations

import asyncio

import pytest

from refinecli.errors import CompletionError, FailureKind, RunError
from refinecli.models.retries import Ending
from refinecli.models.wrappers import Juror, Jury, TryOnly
from refinecli.types import Completion, Draw, Message
from tests.support.fakes import Scripted

ASK: list[Message] = [{"role": "user", "content": "What is 2 + 2?"}]
DRAW = Draw("id", 0, "grader", 0)


class Log:
    def __init__(self) -> None:
        self.notices: list[str] = []

    def notice(self, text: str) -> None:
        self.notices.append(text)

    def detail(self, text: str) -> None:
        raise AssertionError(text)


class Panel:
    """A jury of `size`, each of whom answers with a score or an error."""

    def __init__(self, size: int) -> None:
        self.ending, self.log = Ending(), Log()
        self.jury = Jury(size, self.ending, self.log)

    def ask(self, name: str, answer: str | Exception) -> Completion:
        juror = Juror(f"jury.{name}", Scripted([answer]), self.jury)
        return asyncio.run(juror(ASK, DRAW))


def gone(type: FailureKind = "server") -> RunError:
    return RunError("it has answered nothing for 30 s", "wait", type=type)


def test_a_juror_that_answers_is_passed_on() -> None:
    assert Panel(3).ask("a", "4").text == "4"


def test_one_lost_of_three_is_a_vote_less_and_is_said_once() -> None:
    panel = Panel(3)
    for _ in range(2):
        with pytest.raises(CompletionError, match="answered nothing") as caught:
            panel.ask("a", gone())
        assert (caught.value.type, caught.value.hint) == ("server", "wait")
    assert len(panel.log.notices) == 1
    assert panel.log.notices[0].startswith("jury.a is lost, the others grade without it")
    assert panel.ending.error is None


@pytest.mark.parametrize(("size", "most_lost"), [(2, 0), (3, 1), (4, 1), (5, 2)])
def test_grades_need_more_than_half_of_the_jurors(size: int, most_lost: int) -> None:
    panel = Panel(size)
    for n in range(most_lost):
        with pytest.raises(CompletionError):
            panel.ask(str(n), gone())
    with pytest.raises(RunError):
        panel.ask("last", gone())
    assert panel.ending.error is not None


@pytest.mark.parametrize(
    "type",
    ["auth", "bad_request", "local", "model_not_found", "not_found", "quota", "redirect"],
)
def test_what_is_for_the_user_to_mend_ends_the_run_at_once(type: FailureKind) -> None:
    panel = Panel(9)
    with pytest.raises(RunError):
        panel.ask("a", gone(type))
    assert panel.ending.error is not None


@pytest.mark.parametrize("type", ["connect", "unreachable"])
def test_nobody_there_is_counted_as_a_connection(type: FailureKind) -> None:
    with pytest.raises(CompletionError) as caught:
        Panel(3).ask("a", gone(type))
    assert caught.value.type == "connection"


def test_one_calls_failure_loses_nobody() -> None:
    panel = Panel(3)
    with pytest.raises(CompletionError):
        panel.ask("a", CompletionError("refused", "no"))
    assert not panel.log.notices


def test_the_embedded_model_warns_at_its_first_verdict_and_never_again() -> None:
    log = Log()
    grader = TryOnly(Scripted(["4", "5"]), log)
    assert asyncio.run(grader(ASK, DRAW)).text == "4"
    assert asyncio.run(grader(ASK, DRAW)).text == "5"
    assert len(log.notices) == 1
    assert "it is for trying things out" in log.notices[0]
