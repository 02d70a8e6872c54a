"""Every setting that a section declares, and every role, is known wherever settings are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from refinecli.cli.completion import complete_settings
from refinecli.cli.show_config import show_config
from refinecli.errors import UsageError
from refinecli.settings.load import load
from refinecli.settings.sections import SECTIONS, places
from refinecli.settings.sources import NAMED
from refinecli.types import ROLES

ALL = [place.replace(".NAME.", ".a.") for place in places()]


def wrong(place: str) -> str:
    """A value that the setting cannot have, in TOML: a table, or a number where it is one."""
    return "5" if place.endswith((".headers", ".extra_body")) else "{no = 1}"


def variable(place: str) -> str:
    return "REFINECLI_" + place.upper().replace(".", "__")


def refusal(**sources: Any) -> UsageError:
    """Return the error in which loading the settings ends."""
    try:
        load({}, **({"sets": (), "environ": {}} | sources))
    except UsageError as error:
        return error
    raise AssertionError(f"not refused: {sources}")


def test_a_wrong_value_is_refused_by_name_from_every_source(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    for place in ALL:
        section, key = place.rsplit(".", 1)
        file.write_text(f"[{section}]\n{key} = {wrong(place)}\n")
        message = refusal(paths=[file]).message
        assert message.startswith(f"{file}: ")
        assert key in message
        message = refusal(sets=[f"{place}={wrong(place)}"]).message
        assert message.startswith(f"--set {place}")
        if section not in ("jury.a", "classifier.a"):
            message = refusal(environ={variable(place): wrong(place)}).message
            assert message.startswith(f"environment {variable(place)}")


def test_a_slip_in_its_name_is_found_and_the_name_suggested() -> None:
    for place in ALL:
        error = refusal(sets=[f"{place}x=1"])
        assert error.message == f"--set {place}x: there is no setting {place}x"
        assert error.hint == f"did you mean {place.rsplit('.', 1)[1]}?"


def test_show_config_has_every_setting_in_its_section(capsys: pytest.CaptureFixture[str]) -> None:
    sets = ["judge.model=j", "jury.a.model=a", "jury.b.model=b", "classifier.a.url=http://c.test"]
    assert show_config(load({}, sets, {}), [*ROLES]) == 0
    shown: dict[str, set[str]] = {}
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("["):
            section = shown.setdefault(line.strip("[]"), set())
        elif line.strip() and not line.startswith(("# sends", "# goes")):
            section.add(line.removeprefix("# ").replace(":", " ").split(" ")[0])
    # A jury grades in the grader's place.
    expected = {place for place in ALL if not place.startswith("grader.")}
    assert {f"{s}.{key}" for s, keys in shown.items() for key in keys} >= expected


def test_every_setting_is_completed() -> None:
    assert complete_settings("") == [f"{place}=" for place in places()]
    assert {place.split(".")[0] for place in places()} == {*ROLES, *NAMED, *SECTIONS}


# ------------------------------------------------------------------ roles


@pytest.mark.parametrize("name", ROLES)
def test_a_role_has_settings_of_its_own_and_what_its_fallback_has(name: str) -> None:
    traits = ROLES[name]
    own = load({}, [f"{name}.model=mine", f"{name}.base_url=http://mine.test/v1"], {}).roles[name]
    assert (own.name, own.model, own.base_url) == (name, "mine", "http://mine.test/v1")
    assert own.temperature == (0.0 if traits.gives_verdicts else None)
    if traits.fallback:
        given = [f"{traits.fallback}.model=theirs", f"{traits.fallback}.timeout=7"]
        taken = load({}, given, {}).roles[name]
        assert (taken.model, taken.timeout) == ("theirs", 7)
    assert (name in load({}, environ={}).roles) is not traits.optional


def test_fallbacks_come_before_the_roles_that_need_them() -> None:
    names = list(ROLES)
    for name, traits in ROLES.items():
        assert traits.fallback is None or names.index(traits.fallback) < names.index(name)
