"""The user guide and the README as tests read them: their code, their links, and a place where
their commands run.

    for block in blocks(page): ...
    run(block, folder, server_url)
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refinecli.prompts.templates import RUBRIC_SYSTEM
from tests.conftest import CLEAN, datapoint
from tests.support.chat_server import Reply, Request, likely
from tests.support.fakes import between
from tests.support.report_files import row as refined_row
from tests.support.role_script import scripted

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "refinecli" / "guide"
PAGES = sorted(GUIDE.glob("*.md"))
DOCUMENTS = [ROOT / "README.md", *PAGES]
# Why a block is not run as it stands: it asks a real model or takes minutes; it installs
# something; a scheduler runs it once for each part.
MARKS = ("provider", "install", "array")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, and what else its first line says."""

    place: str
    language: str
    mark: str
    text: str


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text("utf-8")
    for found in re.finditer(r"^```(\w+) ?(.*)\n((?:.*\n)*?)```$", text, re.MULTILINE):
        line = text[: found.start()].count("\n") + 1
        yield Block(f"{page.name}:{line}", *found.groups())


# ------------------------------------------------------------------ links


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    words = re.sub(r"[`*]", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def prose(page: Path) -> str:
    """A page without its code, in blocks and within lines."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+)(?:(?!\1).)+\1", "code", text)


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return {anchor(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}


def links(page: Path) -> Iterator[tuple[Path, str]]:
    """Each link to a file of the project: the file, and the place in it."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not target.startswith("https://"):
            file, _, place = target.partition("#")
            yield (page.parent / file).resolve() if file else page, place


# ------------------------------------------------------------------ running commands


def _lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def _answers() -> list[dict[str, Any]]:
    """Answers, half of them right, with the labels that they and their items deserve."""

    def row(n: int) -> dict[str, Any]:
        right = bool(n % 2)
        items = [{"rubric_str": "Is the answer 4?", "gold": right}]
        response = "RIGHT" if right else "WRONG"
        return datapoint(id=f"row-{n}", response=response, gold=right, rubric_items=items)

    return [row(n) for n in range(24)]


def _refined(**fields: Any) -> list[dict[str, Any]]:
    texts = ("WRONG", "RIGHT")
    rows = [refined_row(n, [0.0, 1.0], texts=texts, **fields) for n in range(24)]
    for row in rows:
        row["refinement"]["iterations"][0]["feedback"] = "Answer again, and be right."
    return rows


def _judge_prompt() -> str:
    levels = "\n".join(f"Score {n}: level {n}" for n in range(1, 6))
    return (
        "###Task Description:\nAn instruction and a response.\n"
        "###The instruction to evaluate:\nSay hi.\n\n"
        "###Response to evaluate:\nRIGHT\n\n"
        "###Reference Answer (Score 5):\nHi.\n\n"
        f"###Score Rubrics:\n[Is it kind?]\n{levels}\n\n###Feedback: "
    )


def _files() -> dict[str, str]:
    """What the commands of the guide read."""
    prompts = [{"prompt": f"Question {n}?"} for n in range(4)]
    chats = [{"messages": [{"role": "user", "content": "Hi!"}]}]
    rated = [{"instruction": _judge_prompt(), "gpt4_score": [4, 5, 5]}] * 3
    short = [{"check": {"kind": "words", "max": 120}}]
    checked = [{"prompt": "Say hi.", "rubric_items": short, "response": "Hi!"}]
    return {
        "in.jsonl": _lines([datapoint(id=f"row-{n}") for n in range(6)]),
        "prompts.jsonl": _lines(prompts),
        "answers.jsonl": _lines(checked),
        "chats.jsonl": _lines(chats),
        "mt_bench_eval.jsonl": _lines(rated),
        **dict.fromkeys(("labelled.jsonl", "doctors.jsonl", "lawyers.jsonl"), _lines(_answers())),
        **dict.fromkeys(("out.jsonl", "main.jsonl", "branch.jsonl"), _lines(_refined())),
        "out-00.jsonl": _lines(_refined()),
        "resampled.jsonl": _lines(_refined(drafts=True)),
        "my.toml": '[[rubric_items]]\nrubric_str = "Is it short?"\n',
        "rubric.toml": '[[rubric_items]]\nrubric_str = "Is it polite?"\n',
        "grader.toml": '[grader]\nmodel = "scripted"\n',
        "judge.toml": '[judge]\nmodel = "another"\n',
    }


_WRITES = r"(?:-o|>|--(?:summary|json|html|junit|calibrate|cache|log-requests))\s+$"


def _make_inputs(folder: Path, commands: str) -> None:
    """Write each file that the commands read before they write it."""
    for folder_name in ("configs", "example_data"):
        (folder / folder_name).symlink_to(ROOT / folder_name)
    written: set[str] = set()
    files = _files()
    for found in re.finditer(r"[\w*./-]+\.(?:jsonl|toml)\b", commands):
        name = found[0].replace("*", "0")
        if re.search(_WRITES, commands[: found.start()]):
            written.add(name)
        elif name not in written and name in files:
            (folder / name).write_text(files[name], "utf-8")


def run(block: Block, folder: Path, url: str) -> subprocess.CompletedProcess[str]:
    """Run a block as a reader would, with a server that answers whatever model is named.

    Where a comment says that a command is killed, a budget ends it instead, at the third call.
    """
    commands = block.text.replace("http://localhost:8000/v1", url)
    commands = re.sub(
        r"^(refinecli .*?) +# killed.*$",
        r"REFINECLI_RUN__MAX_CALLS=3 \1 || [ $? = 4 ]",
        commands,
        flags=re.MULTILINE,
    )
    _make_inputs(folder, commands)
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=folder,
        env=CLEAN | _environment(url, commands),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )


def _environment(url: str, commands: str) -> dict[str, str]:
    """The command on the path, a key for whoever asks for one, and one server for all models."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    made = {"PATH": path, **dict.fromkeys(("OPENAI_API_KEY", "OPENROUTER_API_KEY"), "a-key")}
    made |= {"REFINECLI_POLICY__BASE_URL": url, "REFINECLI_POLICY__MODEL": "scripted"}
    if "configs/jury.toml" in commands:
        made["REFINECLI_JURY__OPEN__BASE_URL"] = url
    if "judge.toml" in commands:
        made["REFINECLI_JUDGE__BASE_URL"] = url
    return made


def model() -> Callable[[Request], str | Reply]:
    """A model for every command: graders find RIGHT and what `chosen` says to be good."""
    rows = (ROOT / "example_data" / "prompts.jsonl").read_text("utf-8").splitlines()
    good = [json.loads(row).get("chosen", "RIGHT") for row in rows]
    script = scripted(policy=lambda request: "RIGHT" if request.number else "WRONG")

    def verdict(request: Request) -> str | Reply:
        response = between(request.last, "response")
        right = "RIGHT" in response or any(text in response for text in good)
        if (asked := between(request.last, "criterion")).endswith("on the response at once?"):
            right = "Orders" in response or "we send" in response
            said = "what to do" if right else "neither where to click nor what to send"
            return f"It says {said}.\n<score>{int(right)}</score>"
        if asked in ("Is the response helpful?", "Is the response kind?"):
            return "Yes.\n<score>1</score>"
        if request.body.get("logprobs"):
            return likely(yes=0.9, no=0.1) if right else likely(yes=0.1, no=0.9)
        return f"Because.\n<score>{int(right)}</score>"

    def answer(request: Request) -> str | Reply:
        if request.body["messages"][0]["content"] == RUBRIC_SYSTEM:
            entries = [{"name": "x", "criterion": "Says how long to boil the egg", "weight": 5}]
            return f"<rubric>\n{json.dumps(entries)}\n</rubric>"
        return verdict(request) if request.is_grading else script(request)

    return answer
