"""Write `report --html`: one self-contained page about a run.

    write_html(Path("report.html"), report, Path("out.jsonl"))

The summary is plain HTML made here, so it can be read without JavaScript; the datapoints are JSON
in the page, shown by the scripts in `page/`. Nothing is loaded from anywhere: the page's policy
forbids it, and allows only this one style and this one script, by their hashes.
"""

from __future__ import annotations

import hashlib
import itertools
from base64 import b64encode
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from refinecli.errors import UsageError
from refinecli.report import GENERATOR
from refinecli.report.html.blocks import Block
from refinecli.report.html.other_run import OtherRun
from refinecli.report.html.rows import Row, failures
from refinecli.report.html.run import Replies, RunPage, no_replies, read_run
from refinecli.report.html.summary import name_of, summary
from refinecli.report.html.text import count, escape
from refinecli.text.clean import one_line
from refinecli.text.json_text import dumps
from refinecli.types import JSONObject


def write_html(
    path: Path,
    report: JSONObject,
    run: Path | str,
    *,
    other: OtherRun | None = None,
    replies: Replies = no_replies,
) -> None:
    """Write the page about a run, with the datapoints of its JSONL file; it appears when whole.

    Next to them stand those of the `other` of two runs, and the `replies` of fresh graders by line.
    """
    page = _page(report, read_run(run, other, replies), other).encode("utf-8")
    try:
        if path.exists() and not path.is_file():  # a pipe or a device; writing to a folder fails
            path.write_bytes(page)
            return
        path = path.resolve()  # follow a link to its target
        partial = path.with_name(path.name + ".partial")
        try:
            partial.write_bytes(page)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None


# In the order of reading; each script sees the functions of all, in one scope of its own.
_STYLES = ("ground", "summary", "datapoints", "dialog", "print")
_SCRIPTS = (
    "elements",
    "points",
    "address",
    "table",
    "heatmap",
    "filters",
    "dialog",
    "sides",
    "start",
)


def _page(report: JSONObject, run: RunPage, other: OtherRun | None) -> str:
    css = "".join(_file(f"{name}.css") for name in _STYLES)
    js = f'"use strict";\n(() => {{\n{"".join(_file(f"{name}.js") for name in _SCRIPTS)}}})();\n'
    blocks = map(_packed, itertools.count(), run.blocks)
    return Template(_file("page.html")).substitute(
        title=escape(name_of(report)),
        generator=escape(GENERATOR),
        policy=_policy(css, js),
        css=css,
        js=js,
        summary=summary(report, failures(run.rows)),
        datapoints=count(len(run.rows), "datapoint"),
        embedded=escape(run.embedded),
        data="\n".join([_json("points", _points(report, run) | _names(other)), *blocks]),
    )


def _file(name: str) -> str:
    return (resources.files("refinecli.report.html") / "page" / name).read_text("utf-8")


def _points(report: JSONObject, run: RunPage) -> JSONObject:
    """Return the rows for the script: items by their place among all names, rubrics by theirs."""
    names: dict[str, int] = {}
    rubrics: dict[tuple[int, ...], int] = {}
    listed = []
    for row in run.rows:
        rubric = tuple(names.setdefault(name, len(names)) for name in row.items)
        number = rubrics.setdefault(rubric, len(rubrics))
        listed.append([*row[: Row._fields.index("items")], number, row.marks, row.before])
    return {
        "rows": listed,
        "items": list(names),
        "rubrics": list(rubrics),
        "blocks": [block.places for block in run.blocks],
        "only_drafts": report.get("only_drafts") is True,
    }


def _names(other: OtherRun | None) -> JSONObject:
    """Return what two runs are called."""
    return {"before": one_line(other.run.label), "now": one_line(other.newer)} if other else {}


def _policy(css: str, js: str) -> str:
    """Forbid loading, sending and running anything but this style and this script."""
    style, script = (
        "sha256-" + b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (css, js)
    )
    return (
        f"default-src 'none'; style-src '{style}'; script-src '{script}'; "
        "base-uri 'none'; form-action 'none'"
    )


# Characters that could end the script element early, or a line in older JavaScript engines.
_ESCAPED = str.maketrans({char: f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"})


def _json(name: str, value: Any) -> str:
    text = dumps(value).decode().translate(_ESCAPED)
    return f'<script type="application/json" id="{name}">{text}</script>'


def _packed(number: int, block: Block) -> str:
    return f'<script type="text/plain" id="b{number}">{block.data}</script>'
