"""Checks in commands: what is loaded for them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.conftest import CLEAN


def datapoint_line(item: dict[str, Any]) -> bytes:
    convo = [{"role": "user", "content": "Hi"}]
    return json.dumps({"convo": convo, "rubric_items": [item]}).encode()


def test_the_libraries_of_checks_are_loaded_only_for_items_that_need_them() -> None:
    code = (
        "import sys; from refinecli.data.rows import read_row; "
        "row = read_row(sys.argv[1].encode(), 1, ''); assert row.error is None; "
        "print(*sorted({'jsonschema_rs', 'icu4py', 'snowballstemmer'} & sys.modules.keys()))"
    )
    plain = datapoint_line({"check": {"kind": "contains_all", "words": ["dog"]}})
    schema = datapoint_line({"check": {"kind": "json", "schema": {}}})
    for line, loaded in [(plain, ""), (schema, "jsonschema_rs")]:
        run = [sys.executable, "-c", code, line.decode()]
        found = subprocess.run(run, capture_output=True, text=True, check=True).stdout
        assert found.strip() == loaded


def test_a_run_that_asks_nobody_loads_no_http_client(tmp_path: Path) -> None:
    item = {"check": {"kind": "contains_all", "words": ["dog"]}}
    row = {"convo": "Hi", "rubric_items": [item], "response": "A dog."}
    (tmp_path / "in.jsonl").write_text(json.dumps(row) + "\n")
    code = (
        "import sys, refinecli.cli.leaving as end; "
        "end.leave = lambda code: print(code, *sorted({'aiohttp', 'regex'} & sys.modules.keys())); "
        "from refinecli.__main__ import main; main()"
    )
    run = [sys.executable, "-c", code, "grade", "in.jsonl", "-o", "out.jsonl"]
    ended = subprocess.run(run, capture_output=True, text=True, cwd=tmp_path, env=CLEAN)
    assert ended.stdout == "0\n", ended.stderr
    assert '"score":1.0' in (tmp_path / "out.jsonl").read_text()
