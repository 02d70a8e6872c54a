"""Settings: which source wins, what is refused and how, and what --show-config tells."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import REFINE, Result, at, datapoint, jsonl, read_jsonl, write_jsonl
from tests.support.chat_server import ChatServer, by_role

Cli = Callable[..., Result]
BASE = "http://somewhere.test/v1"


def config(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(text)
    return path


# ------------------------------------------------------------------ which source wins


@pytest.mark.parametrize(
    ("flag", "expected"),
    [
        (["--max-iterations", "1"], "max_iterations = 1  # --max-iterations"),
        (["--drafts", "2"], "drafts = 2  # --drafts"),
        (["--threshold", "0.5"], "threshold = 0.5  # --threshold"),
        (["--concurrency", "3"], "concurrency = 3  # --concurrency"),
        (["--max-calls", "9"], "max_calls = 9  # --max-calls"),
        (["--max-errors", "5%"], 'max_errors = "5%"  # --max-errors'),
        (["--seed", "0"], "seed = 0  # --seed"),
        (["--grader-model", "g"], 'model = "g"  # --grader-model'),
        (["--grader-base-url", BASE], f'base_url = "{BASE}"  # --grader-base-url'),
        (["--set", "grader.temperature=0.25"], "temperature = 0.25  # --set grader.temperature"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_every_flag_is_shown_with_its_name_over_all_else(
    cli: Cli, tmp_path: Path, flag: list[str], expected: str
) -> None:
    config(
        tmp_path,
        '[policy]\nmodel = "m"\nbase_url = "http://f.test/v1"\n[grader]\nmodel = "file"\n'
        'base_url = "http://g.test/v1"\n[refine]\nmax_iterations = 7\ndrafts = 7\nthreshold = 0.7\n'
        '[run]\nconcurrency = 7\nmax_calls = 7\nmax_errors = "7"\nseed = 7\n',
    )
    result = cli("refine", "--config", "config.toml", *flag, "--show-config")
    assert result.returncode == 0, result.stderr
    assert expected in result.stdout.splitlines()


def test_no_config_is_picked_up_from_the_working_directory(cli: Cli, tmp_path: Path) -> None:
    names = ["config.toml", "refinecli.toml", ".refinecli.toml", ".env", "pyproject.toml"]
    for name in names:
        (tmp_path / name).write_text('[policy]\nmodel = "sneaky"\n[tool.refinecli]\nx = 1\n')
    (tmp_path / ".env").write_text("REFINECLI_POLICY__MODEL=sneaky\n")
    result = cli("refine", "--model", "m", "--base-url", BASE, "--show-config")
    assert result.returncode == 0, result.stderr
    assert "sneaky" not in cli("refine", "--show-config").stdout + result.stdout


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "[policy]\ntemprature = 1\n",
            "error: config.toml: there is no setting policy.temprature\n"
            "  hint: did you mean temperature?\n",
        ),
        (
            "[policy]\ntop_p = 2\n",
            "error: config.toml: policy.top_p: must be less than or equal to 1\n",
        ),
    ],
)
def test_a_wrong_file_is_exit_2_with_the_place_and_a_suggestion(
    cli: Cli, tmp_path: Path, text: str, told: str
) -> None:
    config(tmp_path, text)
    result = cli("refine", "--config", "config.toml", "--model", "m", stdin=jsonl([datapoint()]))
    assert (result.returncode, result.stdout, result.stderr) == (2, "", told)


# ------------------------------------------------------------------ --show-config


def test_show_config_tells_variables_and_hosts_and_never_a_key(cli: Cli, tmp_path: Path) -> None:
    config(
        tmp_path,
        '[policy]\nmodel = "m"\nbase_url = "http://policy.test/v1"\napi_key_env = "MY_KEY"\n'
        '[grader]\nmodel = "g"\nbase_url = "http://grader.test/v1"\napi_key_env = "NOT_SET"\n',
    )
    env = {"MY_KEY": "sk-secret", "OPENAI_API_KEY": "sk-other"}
    result = cli("refine", "--config", "config.toml", "--show-config", env=env)
    assert result.returncode == 0, result.stderr
    assert "MY_KEY (set) to policy.test" in result.stdout
    assert "NOT_SET (NOT set) to grader.test" in result.stdout
    assert "sk-" not in result.stdout + result.stderr


def test_show_config_sends_nothing_and_needs_neither_input_nor_key(cli: Cli) -> None:
    with ChatServer(by_role("4")) as server:
        for command in ("refine", "grade", "debug-rollout"):
            result = cli(command, "--base-url", server.url, "--show-config")
            assert result.returncode == 0, result.stderr
        assert (server.requests, server.model_requests) == ([], 0)
    assert cli("refine", "--model", "gpt-x", "--show-config").returncode == 0


def test_what_show_config_prints_is_a_config(cli: Cli, tmp_path: Path) -> None:
    flags = [
        "--model",
        "m",
        "--base-url",
        BASE,
        "--set",
        'policy.system=say "hi"\nand go',
        "--seed=3",
    ]
    flags += ["--set", "policy.headers.X-A=b", "--set", "policy.extra_body={top_k = 5}"]
    first = cli("refine", *flags, "--show-config")
    parsed = tomllib.loads(first.stdout)
    assert parsed["policy"]["model"] == "m"
    (tmp_path / "again.toml").write_text(first.stdout)
    second = cli("refine", "--config", "again.toml", "--show-config")
    assert second.returncode == 0, second.stderr
    assert tomllib.loads(second.stdout) == parsed


# ------------------------------------------------------------------ prompts


def test_prompts_come_from_files_beside_the_config_and_keep_their_braces(
    cli: Cli, tmp_path: Path
) -> None:
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "rewrite.txt").write_text("MINE {x} {0} %s {{problems}} {{{keep}}}\n")
    (folder / "grader.txt").write_text(
        "JUDGE {json: {}} {{response}} <criterion>{{criterion}}</criterion> {{instruction}}"
    )
    config(folder, '[prompts]\nrewrite = "rewrite.txt"\ngrader = "grader.txt"\n')
    write_jsonl(tmp_path / "in.jsonl", [datapoint(rubric_items=[{"rubric_str": "Is {{keep}} 4?"}])])
    script = by_role("{{criterion}} {}", "Bad {{problems}} {x}.\n<score>0</score>")
    with ChatServer(script) as server:
        args = ["in.jsonl", *at(server), "--config", "conf/config.toml", "--max-iterations", "1"]
        result = cli(*REFINE, *args)
        graded, rewrite = server.requests[1], server.requests[2]
    assert result.returncode == 0, result.stderr
    assert graded.last.startswith(
        "JUDGE {json: {}} {{criterion}} {} <criterion>Is {{keep}} 4?</criterion> Please"
    )
    assert rewrite.last.startswith("MINE {x} {0} %s - Is {{keep}} 4?")
    assert "Bad {{problems}} {x}." in rewrite.last
    assert rewrite.last.endswith("{}")
    assert read_jsonl(result.stdout)[0]["response"] == "{{criterion}} {}"


def test_a_prompt_given_on_the_command_line_is_meant_from_here(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "rewrite.txt").write_text("HERE {{problems}}")
    args = ["--set", "prompts.rewrite=rewrite.txt", "--show-config"]
    result = cli("refine", *args)
    assert "rewrite: 17 characters, --set prompts.rewrite" in result.stdout, result.stderr


@pytest.mark.parametrize(
    ("text", "words"),
    [("nothing", "{{problems}} is missing"), ("{{problems}} {{secret}}", "{{secret}}")],
)
def test_a_prompt_that_cannot_work_is_refused(
    cli: Cli, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "rewrite.txt").write_text(text)
    result = cli("refine", "--set", "prompts.rewrite=rewrite.txt", stdin=jsonl([datapoint()]))
    assert result.returncode == 2
    assert words in result.stderr
    assert "rewrite" in result.stderr
