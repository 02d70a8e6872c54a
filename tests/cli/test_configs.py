"""What stands in configs/ works as it stands there, and so does every option in it once its # is
taken off: against the real loader, the real command and a real HTTP server."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

from refinecli.prompts import GRADER_SYSTEM, PLACEHOLDERS
from refinecli.refining.strategies import STRATEGIES
from refinecli.settings.load import RoleSettings, load
from tests.conftest import REFINE, Result, datapoint, read_jsonl, write_jsonl
from tests.support.chat_server import ChatServer, Request, by_role
from tests.support.config_files import (
    CONFIGS,
    HELPFULNESS,
    KEY,
    MINIMAL_EDITS,
    ROOT,
    SENDS,
    VARIANTS,
    every_file,
    every_variant,
    helpfulness_items,
    sections,
    switched_on,
    written,
)
from tests.support.role_script import role_of, scripted

BODY = ("model", "temperature", "top_p", "max_tokens")

# Which role is which other where it says nothing, as SPEC has it.
ARROWS = {"reviser": "policy", "grader": "policy", "critic": "grader", "selector": "grader"}

Cli = Callable[..., Result]


def roles_in(tables: dict[str, Any]) -> tuple[str, ...]:
    """The roles that a config's strategy asks, whoever grades."""
    return STRATEGIES[tables.get("refine", {}).get("strategy", "refine")].roles


def below(role: str) -> str:
    return "grader" if role.startswith("jury.") else ARROWS[role]


# ------------------------------------------------------------------ options: lines like `#key = …`


# ------------------------------------------------------------------ loading


@every_variant
def test_it_loads_and_every_value_in_it_comes_from_it(
    text: str, path: Path, tmp_path: Path
) -> None:
    config = written(text, tmp_path)
    settings = load({}, environ={}, paths=[config])
    tables = sections(text)
    named = {f"{section}.{key}" for section, table in tables.items() for key in table}
    assert named
    told = {place: str(source) for place, source in settings.sources.items()}
    assert told == dict.fromkeys(named, str(config))
    roles: dict[str, RoleSettings] = dict(settings.roles)
    jurors = [name for name in tables if name.startswith("jury.")]
    assert [juror.name for juror in settings.jury] == jurors
    for section in ("policy", *ARROWS, *jurors):
        role = roles[section]
        for key, value in tables.get(section, {}).items():
            shown = role.weights if key == "model" and role.weights else getattr(role, key)
            assert shown == (None if value == "default" else value)
    for key, value in tables["run"].items():
        assert getattr(settings.run, key) == value
    for key, value in tables.get("refine", {}).items():
        found = getattr(settings.refine, key)
        assert (list(found) if isinstance(found, tuple) else found) == value


# ------------------------------------------------------------------ --show-config and the head


def shown(cli: Cli, tmp_path: Path, path: Path, env: dict[str, str]) -> Result:
    """The command in a file's head, the last of a pipe, with --show-config appended."""
    heads = re.findall(r"^#   (refinecli .*)$", path.read_text("utf-8"), re.MULTILINE)
    assert len(heads) == 1
    _, *args = shlex.split(heads[0].rpartition("| ")[2])
    assert str(path.relative_to(ROOT)) in args
    if not (tmp_path / "configs").exists():
        (tmp_path / "configs").symlink_to(CONFIGS)
    return cli(*args, "--show-config", env=env)


@every_file
def test_the_command_in_its_head_parses_and_shows_host_and_variable_but_no_key(
    path: Path, cli: Cli, tmp_path: Path
) -> None:
    host, variable = SENDS[path.stem]
    result = shown(cli, tmp_path, path, {variable: KEY} if variable else {})
    assert result.returncode == 0, result.stderr
    assert KEY not in result.stdout + result.stderr
    told = f"# sends the key in {variable} (set) to {host}" if variable else f"goes to {host}"
    lines = [line for line in result.stdout.splitlines() if line.endswith(told)]
    tables = sections(path.read_text("utf-8"))
    jurors = [table for name, table in tables.items() if name.startswith("jury.")]
    here = sum("base_url" not in table for table in jurors)
    assert len(lines) == (here if jurors else len(roles_in(tables)))
    if (model := tables["policy"].get("model")) and not jurors:
        assert f'model = "{model}"  # configs/{path.name}\n' in result.stdout


def test_a_variable_that_is_not_set_is_said_to_be_so(cli: Cli, tmp_path: Path) -> None:
    result = shown(cli, tmp_path, CONFIGS / "openai.toml", {})
    assert "# sends the key in OPENAI_API_KEY (NOT set) to api.openai.com" in result.stdout


def test_the_command_in_the_rubrics_head_parses(cli: Cli, tmp_path: Path) -> None:
    result = shown(cli, tmp_path, HELPFULNESS, {"OPENAI_API_KEY": KEY})
    assert result.returncode == 0, result.stderr
    assert 'model = "gpt-5.4-mini"  # configs/openai.toml, through policy\n' in result.stdout


# ------------------------------------------------------------------ on the wire


def moved(url: str, server: ChatServer) -> str:
    """The same URL, path and query included, on the scripted server."""
    parts = urlsplit(url)
    return urlunsplit(("http", urlsplit(server.url).netloc, parts.path, parts.query, ""))


def effective(tables: dict[str, Any], role: str) -> dict[str, Any]:
    """A role's table as SPEC has it inherit, worked out without the program."""
    own = tables.get(role, {})
    if role == "policy":
        return dict(own)
    other = effective(tables, below(role))
    kept = {"model"}
    if "base_url" not in own:
        kept |= {"base_url", "api_key_env", "api_key_header", "headers", "extra_body"}
    if role != "grader":
        kept |= {"system", "top_p", "max_tokens", "temperature"}
    if role == "critic" and "model" in own and "temperature" not in tables.get("grader", {}):
        kept -= {"temperature"}  # the 0 of graders is none of another model's
    merged = {key: value for key, value in other.items() if key in kept} | own
    if role in ("grader", "selector") or role.startswith("jury."):
        merged.setdefault("temperature", 0)
    if "extra_body" in kept:
        merged["extra_body"] = other.get("extra_body", {}) | own.get("extra_body", {})
    return merged


def assert_sent_as_told(request: Request, role: dict[str, Any]) -> None:
    base = urlsplit(role["base_url"])
    query = f"?{base.query}" if base.query else ""
    assert request.path == f"{base.path}/chat/completions{query}"
    body = {key: role[key] for key in BODY if role.get(key) not in (None, "default")}
    body = {"model": "scripted"} | body | role.get("extra_body", {})
    assert request.body["messages"][0]["content"].startswith(role.get("system", ""))
    assert {k: v for k, v in request.body.items() if k != "messages"} == body
    for name, value in role.get("headers", {}).items():
        assert request.headers[name.lower()] == value
    header = role.get("api_key_header", "Authorization").lower()
    keys = {name: value for name, value in request.headers.items() if KEY in value}
    if "api_key_env" not in role:
        assert keys == {}
        assert "authorization" not in request.headers
    else:
        assert keys == {header: f"Bearer {KEY}" if header == "authorization" else KEY}


WIRED = [v for v in VARIANTS if "base_url" in v[1] and v[2].stem != "local"]


@pytest.mark.parametrize("text", [v[1] for v in WIRED], ids=[v[0] for v in WIRED])
def test_only_its_hosts_changed_it_sends_just_what_it_says(
    text: str, cli: Cli, tmp_path: Path
) -> None:
    tables = sections(text)
    data = write_jsonl(tmp_path / "in.jsonl", [datapoint()])
    with ChatServer(scripted()) as server:
        urls = {
            f"REFINECLI_{section.upper().replace('.', '__')}__BASE_URL": moved(
                table["base_url"], server
            )
            for section, table in tables.items()
            if "base_url" in table
        }
        keys = {table["api_key_env"]: KEY for table in tables.values() if "api_key_env" in table}
        config = written(text, tmp_path)
        loop = () if "strategy" in tables.get("refine", {}) else ("--strategy", "refine")
        result = cli("refine", data, "--config", config, *loop, env=urls | keys)
    assert result.returncode == 0, result.stderr
    assert KEY not in result.stdout + result.stderr
    graders = [name for name in tables if name.startswith("jury.")] or ["grader"]
    by_model = {effective(tables, name).get("model"): name for name in graders}
    for request in server.requests:
        role = role_of(request)
        if role == "grader":
            role = by_model[request.body["model"]] if len(graders) > 1 else "grader"
        assert_sent_as_told(request, effective(tables, role))
    asked = {role_of(request) for request in server.requests}
    rewrites = tables.get("refine", {}).get("max_iterations", 3) > 0
    assert asked == set(roles_in(tables)) - (set() if rewrites else {"reviser"})
    assert (server.model_requests > 0) == ("model" not in tables["policy"])


def test_the_trio_answers_the_emails_that_we_make_each_role_in_its_own_person(
    cli: Cli, tmp_path: Path
) -> None:
    tables = tomllib.loads((CONFIGS / "email-trio.toml").read_text("utf-8"))
    emails = cli("generate-data", "email", "-n", "3")
    assert emails.returncode == 0, emails.stderr
    with ChatServer(scripted()) as server:
        env = {"REFINECLI_POLICY__BASE_URL": server.url, "OPENAI_API_KEY": KEY}
        config = CONFIGS / "email-trio.toml"
        result = cli("refine", "--config", config, env=env, stdin=emails.stdout)
    assert result.returncode == 0, result.stderr
    assert "preferred by the selector: critic 3" in result.stderr
    for record, email in zip(read_jsonl(result.stdout), read_jsonl(emails.stdout), strict=True):
        assert record["refinement"]["iterations"][1]["selection"]["winner"] == "new"
        shop = email["convo"][0]["content"]
        (writing,) = [
            request
            for request in server.requests
            if request.body["messages"][1:] == email["convo"][1:]
        ]
        said = writing.body["messages"][0]["content"]
        assert said == f"{tables['policy']['system']}\n\n{shop}"


def test_a_set_on_the_command_line_moves_the_host_as_an_environment_variable_does(
    cli: Cli, tmp_path: Path
) -> None:
    data = write_jsonl(tmp_path / "in.jsonl", [datapoint(response="4")])
    config = CONFIGS / "azure-openai.toml"
    tables = tomllib.loads(config.read_text("utf-8"))
    with ChatServer(by_role("4")) as server:
        url = moved(tables["policy"]["base_url"], server)
        setting = f"policy.base_url={url}"
        env = {"AZURE_OPENAI_API_KEY": KEY}
        result = cli("grade", data, "--config", config, "--set", setting, env=env)
    assert result.returncode == 0, result.stderr
    assert_sent_as_told(server.requests[0], effective(tables, "grader"))
    assert server.requests[0].headers["api-key"] == KEY


def test_local_with_a_grader_elsewhere_sends_the_graders_key_there_and_starts_nothing_to_grade(
    cli: Cli, tmp_path: Path
) -> None:
    (text,) = (text for name, text, _ in VARIANTS if "local" in name and "\n[grader]" in text)
    grader = effective(tomllib.loads(text), "grader")
    data = write_jsonl(tmp_path / "in.jsonl", [datapoint(response="4")])
    with ChatServer(by_role("4")) as server:
        env = {
            "REFINECLI_GRADER__BASE_URL": moved(grader["base_url"], server),
            "OPENAI_API_KEY": KEY,
        }
        result = cli("grade", data, "--config", written(text, tmp_path), env=env)
    assert result.returncode == 0, result.stderr
    assert_sent_as_told(server.requests[0], grader)
    assert "embedded" not in result.stderr


def test_a_grader_on_another_host_gets_neither_key_nor_header_nor_body_of_the_policy(
    cli: Cli, tmp_path: Path
) -> None:
    (text,) = (text for _, text, path in VARIANTS if "\nheaders = " in text)
    policy = effective(tomllib.loads(text), "policy")
    data = write_jsonl(tmp_path / "in.jsonl", [datapoint()])
    with ChatServer(by_role("4")) as server, ChatServer(by_role("")) as other:
        env = {
            "REFINECLI_POLICY__BASE_URL": moved(policy["base_url"], server),
            "OPENROUTER_API_KEY": KEY,
        }
        flags = ("--config", written(text, tmp_path), "--grader-base-url", other.url)
        result = cli("refine", data, *flags, env=env)
    assert result.returncode == 0, result.stderr
    (answering,), (grading,) = server.requests, other.requests
    assert_sent_as_told(answering, policy)
    elsewhere = {"model": policy["model"], "base_url": other.url, "temperature": 0}
    assert_sent_as_told(grading, elsewhere)
    assert not {name.lower() for name in policy["headers"]} & set(grading.headers)


@pytest.mark.parametrize(
    ("name", "variable"), [(name, key) for name, (_, key) in SENDS.items() if key]
)
def test_without_its_key_it_ends_before_anything_is_sent_and_names_the_variable(
    name: str, variable: str, cli: Cli, tmp_path: Path
) -> None:
    data = write_jsonl(tmp_path / "in.jsonl", [datapoint()])
    with ChatServer(by_role("4")) as server:
        env = {"REFINECLI_POLICY__BASE_URL": server.url}
        result = cli("refine", data, "--config", CONFIGS / f"{name}.toml", env=env)
    assert result.returncode == 2
    assert variable in result.stderr
    assert server.requests == []


# ------------------------------------------------------------------ the rubric


def test_grade_adds_the_rubric_to_every_datapoint_and_weighs_its_items(
    cli: Cli, tmp_path: Path
) -> None:
    scores = {"does-the-task": 4, "correct": 3, "concrete": 0.5, "clear": 1, "padding": 1}
    items = helpfulness_items()

    def grade(request: Request) -> str:
        (name,) = [n for n in items if items[n]["rubric_str"].strip() in request.last]
        assert request.last.endswith(items[name]["grader_output_format_instruction"])
        return f"Because.\n<score>{scores[name]}</score>"

    # A row with no rubric of its own, too.
    bare = {"convo": [{"role": "user", "content": "Why is the sky blue?"}], "response": "Air."}
    rows = [bare, datapoint(rubric_items=[], response="4")]
    data = write_jsonl(tmp_path / "in.jsonl", rows)
    with ChatServer(by_role("", grade)) as server:
        flags = ("--rubric", HELPFULNESS, "--model", "m", "--base-url", server.url)
        result = cli("grade", data, *flags)
    assert result.returncode == 0, result.stderr
    records = read_jsonl(result.stdout)
    assert len(server.requests) == 2 * len(items)
    for record in records:
        grades = {grade["name"]: grade for grade in record["grading"]["grades"]}
        assert {name: grade["raw_score"] for name, grade in grades.items()} == scores
        assert {name for name, grade in grades.items() if grade["passed"]} == {
            "does-the-task",
            "clear",
        }
        # (3·0.75 + 3·0.5 + 1·0.5 + 1·1 − 1·1) / (3 + 3 + 1 + 1)
        assert record["score"] == pytest.approx(4.25 / 8)
    assert "100.0% passed" in result.stderr  # by the required item


def test_refine_with_the_rubric_stops_at_the_required_item_unless_there_is_a_threshold(
    cli: Cli, tmp_path: Path
) -> None:
    """As the head of the file says."""
    good = {"does-the-task": 5}
    items = helpfulness_items()

    def grade(request: Request) -> str:
        (name,) = [n for n in items if items[n]["rubric_str"].strip() in request.last]
        low = 1 if "between 1 and 5" in request.last else 0
        return f"<score>{good.get(name, low)}</score>"

    data = write_jsonl(tmp_path / "in.jsonl", [datapoint(rubric_items=[])])
    reasons = []
    for more in ((), ("--threshold", "0.8", "--max-iterations", "1")):
        script = by_role(lambda r: f"draft {len(r.body['messages'])}", grade)
        with ChatServer(script) as server:
            flags = ("--rubric", HELPFULNESS, "--model", "m", "--base-url", server.url, *more)
            result = cli(*REFINE, data, *flags)
        assert result.returncode == 0, result.stderr
        reasons.append(read_jsonl(result.stdout)[0]["refinement"]["stop_reason"])
    assert reasons == ["passed", "max_iterations"]


# ------------------------------------------------------------------ the replaced prompt


def test_the_replaced_rewrite_request_is_what_the_reviser_gets(cli: Cli, tmp_path: Path) -> None:
    template = MINIMAL_EDITS.read_text("utf-8")
    allowed = PLACEHOLDERS["rewrite"].allowed
    assert set(re.findall(r"\{\{(\w+)\}\}", template)) == allowed
    text = (CONFIGS / "openai.toml").read_text("utf-8")
    (begin,) = [n for n, line in enumerate(text.splitlines()) if line == "#[prompts]"]
    config = written(switched_on(text.splitlines(), begin, begin + 2), tmp_path)
    row = datapoint(
        rubric_items=[
            {"rubric_str": "Names the dog.", "check": {"kind": "contains_all", "words": ["dog"]}},
            {"rubric_str": "Names the cat.", "check": {"kind": "contains_all", "words": ["cat"]}},
        ]
    )
    data = write_jsonl(tmp_path / "in.jsonl", [row])
    with ChatServer(lambda r: "A dog." if r.number == 0 else "A dog and a cat.") as server:
        env = {"REFINECLI_POLICY__BASE_URL": server.url, "OPENAI_API_KEY": KEY}
        result = cli(*REFINE, data, "--config", config, env=env)
    assert result.returncode == 0, result.stderr
    _, rewriting = server.requests
    first, *_, last = [line for line in template.split("\n") if line]
    assert rewriting.last.startswith(f"{first}\n- Names the cat.")
    assert "must not touch them:\n- Names the dog.\n" in rewriting.last
    assert rewriting.last.endswith(last)
    assert GRADER_SYSTEM not in rewriting.text
    assert read_jsonl(result.stdout)[0]["response"] == "A dog and a cat."
