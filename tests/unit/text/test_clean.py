"""Untrusted text cannot act on a terminal, nor begin a line that a CI system obeys."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.cli.complaints import complain
from refinecli.cli.ending import continuing
from refinecli.display.reporter import Reporter
from refinecli.errors import InputError, UsageError
from refinecli.text.clean import as_line, as_lines

_COMMANDS = ("::error::x", "::add-mask::a", "##[error]x", "  ::stop-commands::t")
texts = st.lists(st.sampled_from([*_COMMANDS, "\n", "\r", "\u2028", "\x85", "a"]) | st.text()).map(
    "".join
)


def obeyed(line: str) -> bool:
    """As GitHub's runner decides it."""
    return line.lstrip().startswith("::") or "##[" in line


@given(text=texts)
def test_a_text_is_one_line_that_is_not_a_workflow_command(text: str) -> None:
    line = as_line(text)
    assert len(line.splitlines()) <= 1
    assert not obeyed(line)


@given(text=texts)
def test_no_line_of_several_is_a_workflow_command(text: str) -> None:
    assert not any(map(obeyed, as_lines(text).splitlines()))


def test_blanks_and_plain_text_stay() -> None:
    assert as_line("a  b: c::d") == "a  b: c::d"


@pytest.mark.parametrize("text", [f"x\n{command}" for command in _COMMANDS])
def test_errors_and_notices_take_one_line_each(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    complain(UsageError(text, f"first{text}"))
    complain(InputError(text, where=f"{text}.jsonl:1"))
    reporter = Reporter("grade", quiet=False, verbose=True)
    reporter.notice(text)
    reporter.detail(text)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6  # a hint may have several, each marked as one
    assert not any(map(obeyed, lines))


def test_a_command_to_paste_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["refinecli", "grade", "it's\n::error::.jsonl", "a b"])
    said = r"refinecli grade $'it\'s\n::error::.jsonl' 'a b'"
    assert continuing(piped=False) == said
