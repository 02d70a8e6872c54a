"""A setting is one line, and so is a role: added to a copy of the package, the commands know it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import CLEAN, Result, datapoint, read_jsonl, write_jsonl
from tests.support.chat_server import ChatServer
from tests.support.role_script import scripted

PACKAGE = Path(__file__).parents[2] / "refinecli"
Run = Callable[..., Result]

# In which file, after which line, and the line that is added.
SETTING = (
    "refining/strategies.py",
    "    show_rubric: bool = False\n",
    "    most_words: Annotated[int, Field(ge=1)] | None = None\n",
)
ROLE = (
    "types/roles.py",
    '    reviser: Annotated[Completer, RoleTraits("policy")]\n',
    '    editor: Annotated[Completer, RoleTraits("policy")]\n',
)
# Its use: a loop that asks the role.
ASKS_IT = (
    "refining/strategies.py",
    '                "draft again or rewrite, whichever promises more",\n                (',
    '"editor", ',
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package with the two lines, and where the role is asked."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(PACKAGE, root / "refinecli", ignore=shutil.ignore_patterns("__pycache__"))
    for name, before, line in (SETTING, ROLE, ASKS_IT):
        file = root / "refinecli" / name
        text = file.read_text("utf-8")
        assert text.count(before) == 1, f"{name} has changed: {before!r}"
        file.write_text(text.replace(before, before + line), "utf-8")
    return root


@pytest.fixture
def run(package: Path, tmp_path: Path) -> Run:
    def run(*args: str | Path, env: dict[str, str] | None = None) -> Result:
        return subprocess.run(
            [sys.executable, "-m", "refinecli", *map(str, args)],
            capture_output=True,
            text=True,
            encoding="utf-8",
            cwd=tmp_path,
            env=CLEAN | {"PYTHONPATH": str(package)} | (env or {}),
            stdin=subprocess.DEVNULL,
            timeout=60,
        )

    return run


def test_a_setting_of_one_line_comes_from_every_source(run: Run, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[refine]\nmost_words = 7\n")
    for args, env, shown in (
        ([], {}, "# most_words is not set"),
        (["--config", "c.toml"], {}, "most_words = 7  # c.toml"),
        (["--set", "refine.most_words=8"], {}, "most_words = 8  # --set refine.most_words"),
        (
            [],
            {"REFINECLI_REFINE__MOST_WORDS": "9"},
            "most_words = 9  # environment REFINECLI_REFINE__MOST_WORDS",
        ),
    ):
        result = run("refine", *args, "--show-config", env=env)
        assert result.returncode == 0, result.stderr
        assert shown in result.stdout.splitlines()


def test_a_setting_of_one_line_is_validated_and_suggested(run: Run) -> None:
    wrong = run("refine", "--set", "refine.most_words=0", "--show-config")
    assert wrong.returncode == 2
    assert wrong.stderr == ("error: --set refine.most_words: must be greater than or equal to 1\n")
    slip = run("refine", "--set", "refine.most_word=8", "--show-config")
    assert "hint: did you mean most_words?" in slip.stderr


def test_a_role_of_one_line_is_configured_shown_opened_and_recorded(
    run: Run, tmp_path: Path
) -> None:
    data = write_jsonl(tmp_path / "in.jsonl", [datapoint()])
    with ChatServer(scripted()) as server:
        models = ["--model", "m", "--base-url", server.url, "--set", "editor.model=e"]
        shown = run("refine", *models, "--show-config").stdout
        assert "[editor]\n" in shown
        assert 'model = "e"  # --set editor.model\n' in shown
        assert f'base_url = "{server.url}"  # --base-url, through policy\n' in shown
        result = run("refine", data, *models)
        transcript = run("debug-rollout", data, *models)
    assert result.returncode == 0, result.stderr
    assert "editor: e (" in result.stderr
    (record,) = read_jsonl(result.stdout)
    assert record["refinement"]["models"]["editor"] == "e"
    assert transcript.returncode == 0, transcript.stderr
