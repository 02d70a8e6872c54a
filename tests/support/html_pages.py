"""The report's page taken apart, and rows and reports full of hostile text."""

from __future__ import annotations

import base64
import gzip
import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from refinecli.report.html.page import write_html
from tests.conftest import write_jsonl
from tests.support.report_pages import gain, report_of, run_row

Object = dict[str, Any]

# Texts that act, break out, reorder or cannot be encoded, wherever they stand unescaped.
HOSTILE = (
    "</script><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 1'>",
    "<!--<script>",
    '" onmouseover="window.hacked = 1',
    "a\x1b[31m red",
    "abc\u202edef\u2066ghi",
    "line\u2028separator\u2029here",
    "a lone \ud800 surrogate",
    "$summary ${policy} {braces} &lt;b&gt;",
)


class Page(HTMLParser):
    """A page taken apart: its elements, and the text of each script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.bodies: list[str] = []
        self.text = ""
        self._raw = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._raw = tag in ("script", "style")
        if self._raw:
            self.bodies.append("")

    def handle_endtag(self, tag: str) -> None:
        self._raw = False
        self.text += " " if tag in ("td", "th", "li", "dt", "dd", "p", "h1", "h2") else ""

    def handle_data(self, data: str) -> None:
        if self._raw:
            self.bodies[-1] += data
        else:
            self.text += data

    def body(self, name: str) -> str:
        raw = [attrs for tag, attrs in self.elements if tag in ("script", "style")]
        return self.bodies[next(at for at, attrs in enumerate(raw) if attrs.get("id") == name)]

    def json(self, name: str) -> Any:
        return json.loads(self.body(name))

    @property
    def details(self) -> list[Object]:
        """The details of the datapoints that open, in order, unpacked."""
        return list(self.details_by_place.values())

    @property
    def details_by_place(self) -> dict[int, Object]:
        found: dict[int, Object] = {}
        for block, places in enumerate(self.json("points")["blocks"]):
            packed = gzip.decompress(base64.b64decode(self.body(f"b{block}")))
            found |= zip(places, json.loads(packed), strict=True)
        return found

    @property
    def points(self) -> list[Any]:
        return list(self.json("points")["rows"])

    @property
    def words(self) -> str:
        return " ".join(self.text.split())


def page_of(folder: Path, rows: list[Object], **parts: Any) -> Page:
    run = write_jsonl(folder / "out.jsonl", rows)
    write_html(folder / "page.html", report_of(len(rows) or 20, **parts), run)
    return Page((folder / "page.html").read_text("utf-8"))


def hostile_row(text: str) -> Object:
    """A datapoint with the text wherever a text can stand."""
    row = run_row(1)
    row |= {"id": text, "group": text, "tags": [text], "reference": text}
    row["convo"][1]["content"] = text
    row["rubric_items"][0] |= {"rubric_str": text, "name": text}
    refinement = row["refinement"]
    refinement |= {"stop_reason": text, "models": {text: text}}
    for one in refinement["iterations"]:
        one |= {"response": f"{text} {one['iteration']} {text}", "feedback": text}
        one |= {"reasoning": text, "role": text}
        one["selection"] = {"winner": text, "votes": [text], "reasons": [text]}
        for grade in one["grades"]:
            grade |= {"name": text, "feedback": text, "reply": text}
    return row


def hostile_report(text: str) -> Object:
    report = report_of(30, alarms=[{"type": text, "message": text}], selections={text: 3})
    report["gates"][0]["gate"] = report["baselines"][0]["name"] = report["items"][0]["name"] = text
    report["runs"][0] |= {"label": text, "file": text, "strategy": text, "models": {text: text}}
    report["runs"] = [{"label": "an earlier run"}, *report["runs"]]
    report["conclusions"] = [text]
    report["compared"] = {"old": text, "new": text, "now_pass": [text], "gain": gain(0.1, 0.1)}
    run = {"label": text, "date": text, "strategy": text, "models": {text: text}}
    report["trend"] = [run | {"score": gain(0.5, 0.1), "items": [{"name": text, "score": 0.5}]}]
    return report
