"""Write `report --html`: one self-contained page about a run.

    write_html(Path("report.html"), report, Path("out.jsonl"))

The summary is plain HTML made here, so it can be read without JavaScript; the datapoints are JSON
in the page, shown by `page.js`. Nothing is loaded from anywhere: the page's policy forbids it, and
allows only this one style and this one script, by their hashes.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

from refinecli.errors import UsageError
from refinecli.report import GENERATOR
from refinecli.report.html.run import RunPage, read_run
from refinecli.report.html.summary import name_of, summary
from refinecli.report.html.text import count, escape
from refinecli.text.json_text import dumps
from refinecli.types import JSONObject


def write_html(path: Path, report: JSONObject, run: Path) -> None:
    """Write the page about a run, with the datapoints of its JSONL file; it appears when whole."""
    page = _page(report, read_run(run)).encode("utf-8")
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


def _page(report: JSONObject, run: RunPage) -> str:
    files = resources.files("refinecli.report.html")
    parts = {name: (files / f"page.{name}").read_text("utf-8") for name in ("html", "css", "js")}
    details = [_json(f"d{index}", detail) for index, detail in run.details.items()]
    return Template(parts["html"]).substitute(
        title=escape(name_of(report)),
        generator=escape(GENERATOR),
        policy=_policy(parts["css"], parts["js"]),
        css=parts["css"],
        js=parts["js"],
        summary=summary(report),
        datapoints=count(len(run.rows), "datapoint"),
        embedded=escape(run.embedded),
        data="\n".join([_json("points", [list(row) for row in run.rows]), *details]),
    )


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
