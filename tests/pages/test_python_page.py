"""The guide's page on Python: every example runs, and it documents every public name."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest

import refinecli
from tests.conftest import datapoint, write_jsonl
from tests.support.chat_server import ChatServer, Reply, Request
from tests.support.guide_pages import GUIDE, blocks, model

PAGE = GUIDE / "python.md"
EXAMPLES = [block for block in blocks(PAGE) if block.language == "python"]


def test_every_example_runs_as_in_a_notebook_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    (tmp_path / "rubric.toml").write_text('[[rubric_items]]\nrubric_str = "Is it polite?"\n')
    write_jsonl(tmp_path / "in.jsonl", [datapoint(id=f"row-{n}") for n in range(3)])
    cells: dict[str, Any] = {}

    async def notebook(url: str) -> None:
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        for block in EXAMPLES:
            text = block.text.replace("http://localhost:8000/v1", url)
            flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
            code = compile(text, block.place, "exec", flags=flags)
            result = eval(code, cells)
            if inspect.isawaitable(result):
                await result

    answer = model()

    def script(request: Request) -> str | Reply:
        form = request.body.get("response_format")
        if form is None:
            return answer(request)
        names = form["json_schema"]["schema"]["properties"]["score"].get("enum", [1])
        return json.dumps({"reasons": "Because.", "score": names[-1]})

    with ChatServer(script) as server:
        asyncio.run(notebook(server.url))
    captured = capsys.readouterr()
    assert len(EXAMPLES) >= 8
    assert server.requests
    assert not captured.err
    for block in blocks(PAGE):  # what the page says is printed
        if block.language == "text":
            assert block.text in captured.out


def test_the_page_documents_the_public_names_and_no_others() -> None:
    table = PAGE.read_text("utf-8").partition("## Names")[2]
    named = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)))
    assert sorted(named) == sorted(refinecli.__all__)
    assert len(set(named)) == len(named)
