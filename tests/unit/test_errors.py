"""Errors name options as their reader knows them: a flag, or an argument."""

from __future__ import annotations

import pytest

from refinecli.cli.complaints import as_flags, complain
from refinecli.errors import BudgetError, CompletionError, UsageError, option, spelled


def test_python_sees_an_argument() -> None:
    error = BudgetError(f"{option('max_calls', 5)} is used up", f"raise {option('max_calls')}")
    assert error.message == "max_calls=5 is used up"
    assert str(error) == error.message
    assert error.hint == "raise max_calls"


@pytest.mark.parametrize(
    ("mention", "flag"),
    [
        (option("max_calls", 5), "--max-calls 5"),
        (option("cache", "PATH"), "--cache PATH"),
        (option("force"), "--force"),
        (option("policy.retries", 0), "--set policy.retries=0"),
    ],
)
def test_the_command_line_sees_a_flag(mention: str, flag: str) -> None:
    assert as_flags(f"{mention} helps") == f"{flag} helps"


def test_a_complaint_spells_the_options_in_message_and_hint(
    capsys: pytest.CaptureFixture[str],
) -> None:
    complain(UsageError(f"x.db: {option('cache')} is taken", f"name another: {option('cache')}"))
    told = "error: x.db: --cache is taken\n  hint: name another: --cache\n"
    assert capsys.readouterr().err == told


def test_an_error_raised_as_another_still_mentions_its_options() -> None:
    error = UsageError(f"{option('rubric', 'r.toml')}: is empty")
    assert as_flags(UsageError(*error.args).args[0]) == "--rubric r.toml: is empty"
    assert CompletionError("server", *error.args).message == "rubric=r.toml: is empty"


def test_text_without_a_mention_stays_as_it_is() -> None:
    text = "`cache=x` max_calls=5 --set a.b=c {cache}"
    assert spelled(text) == as_flags(text) == text
