"""The report's page: what it says, that nothing in it acts, and how a real browser shows it."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from refinecli.data.sources import zstd
from refinecli.errors import UsageError
from refinecli.report.html.page import write_html
from tests.conftest import Result, at, datapoint, write_jsonl
from tests.support.chat_server import ChatServer, Request, by_role
from tests.support.report_pages import (
    Browser,
    browser,
    gain,
    report_of,
    run_row,
    run_rows,
    why_no_browser,
)

Cli = Callable[..., Result]
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

    def json(self, name: str) -> Any:
        raw = [attrs for tag, attrs in self.elements if tag in ("script", "style")]
        place = next(place for place, attrs in enumerate(raw) if attrs.get("id") == name)
        return json.loads(self.bodies[place])

    @property
    def details(self) -> list[Object]:
        names = [str(attrs["id"]) for tag, attrs in self.elements if tag == "script" and attrs]
        return [self.json(name) for name in names if re.fullmatch(r"d\d+", name)]

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


# ------------------------------------------------------------------ what the page is


def test_the_page_loads_nothing_and_may_do_nothing_else(tmp_path: Path) -> None:
    page = page_of(tmp_path, run_rows(30))
    for _, attributes in page.elements:
        assert not {"src", "style", "srcset", "action", "data"} & attributes.keys()
        assert not any(name.startswith("on") for name in attributes)
        assert attributes.get("href", "#") is not None
        assert str(attributes.get("href", "#")).startswith("#")
    assert "link" not in [tag for tag, _ in page.elements]
    policy = next(str(a["content"]) for _, a in page.elements if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    digests = [base64.b64encode(hashlib.sha256(b.encode()).digest()).decode() for b in page.bodies]
    assert f"style-src 'sha256-{digests[0]}'" in policy
    assert f"script-src 'sha256-{digests[-1]}'" in policy
    executable = [a for tag, a in page.elements if tag == "script" and "type" not in a]
    assert len(executable) == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_from_a_file_becomes_part_of_the_page(tmp_path: Path, text: str) -> None:
    def tags(text: str) -> list[tuple[str, list[str]]]:
        run = write_jsonl(tmp_path / "out.jsonl", [hostile_row(text)])
        write_html(tmp_path / "page.html", hostile_report(text), run)
        page = Page((tmp_path / "page.html").read_bytes().decode("utf-8"))
        assert page.json("points")[0][0] == 0
        assert not set(page.text) & set("\x1b\u202e\u2066\u2028\u2029")
        return [(tag, sorted(attributes)) for tag, attributes in page.elements]

    assert tags(text) == tags("harmless")


def test_what_is_missing_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    whole = report_of(30)
    for report in ({}, dict.fromkeys(whole), {name: [] for name in whole}):
        write_html(tmp_path / "page.html", report, tmp_path / "empty.jsonl")
        page = Page((tmp_path / "page.html").read_text("utf-8"))
        assert "? No score" in page.words
        assert page.json("points") == []
    for name in whole:
        write_html(tmp_path / "page.html", whole | {name: None}, tmp_path / "empty.jsonl")
        page = Page((tmp_path / "page.html").read_text("utf-8"))
        assert "None" not in page.words


def test_lines_of_any_kind_are_rows(tmp_path: Path) -> None:
    lines = [
        "not JSON",
        "[1, 2]",
        '{"id": "bare"}',
        '{"error": {"type": "input", "line": 4, "message": "not JSON"}, "raw": "x"}',
        '{"id": 12345678901234567890123, "prompt": "Hi", "score": 0.5, "response": "Ho", "grading":'
        ' {"status": "done", "grades": [{"item": 0, "name": "kind", "passed": true, "score": 1}]}}',
        '{"refinement": {"iterations": "none"}, "convo": 3, "rubric_items": {}, "tags": 4}',
        json.dumps({"id": "null", "refinement": None, "convo": [{"role": "user"}]}),
    ]
    (tmp_path / "out.jsonl").write_text("\n".join(lines))
    write_html(tmp_path / "page.html", report_of(20), tmp_path / "out.jsonl")
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    points = page.json("points")
    ids = ["line 1", "line 2", "bare", "line 4", "12345678901234567890123", "line 6", "null"]
    assert [point[1] for point in points] == ids
    assert [point[7] for point in points[:5]] == [
        *("failed", "ungraded", "ungraded", "failed", "graded")
    ]
    assert page.json("d4")["iterations"][0]["grades"][0]["verdict"] == "passed"


@pytest.mark.parametrize("number", [{}, {"a": [1]}, [0], "0", None, 0.5, True])
@pytest.mark.parametrize("name", ["iteration", "parent", "best_iteration"])
def test_an_iteration_whose_number_is_none_is_shown_all_the_same(
    tmp_path: Path, name: str, number: object
) -> None:
    row = run_row(0)
    last = row["refinement"]["iterations"][-1]
    assert last is not row["refinement"]["iterations"][0]
    (row["refinement"] if name == "best_iteration" else last)[name] = number
    (details,) = page_of(tmp_path, [row]).details
    shown = details["iterations"][-1]
    text = shown.get("text") or "".join(t for kind, t in shown["changes"] if kind != "deleted")
    assert text == last["response"]


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_packed_runs_are_read(tmp_path: Path, suffix: str) -> None:
    data = write_jsonl(tmp_path / "plain", run_rows(3)).read_bytes()
    pack = {"": bytes, ".gz": gzip.compress, ".zst": zstd().compress}[suffix]
    (tmp_path / f"out.jsonl{suffix}").write_bytes(pack(data))
    write_html(tmp_path / "page.html", report_of(20), tmp_path / f"out.jsonl{suffix}")
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    assert [point[1] for point in page.json("points")] == ["email-0", "email-1", "email-2"]


def test_the_page_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    run = write_jsonl(tmp_path / "out.jsonl", run_rows(2))
    with pytest.raises(UsageError, match="No such file or directory"):
        write_html(tmp_path / "nowhere" / "page.html", report_of(20), run)
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="Is a directory"):
        write_html(tmp_path / "folder", report_of(20), run)
    page, link = tmp_path / "page.html", tmp_path / "link.html"
    page.write_text("an earlier one")
    link.symlink_to(page)
    write_html(link, report_of(20), run)
    assert link.is_symlink()
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert not list(tmp_path.glob("*.partial"))
    before = page.read_bytes()
    write_html(page, report_of(20), run)
    assert page.read_bytes() == before


# ------------------------------------------------------------------ what it says

NO_CLAIM = {"claim": {"basis": "regraded", "gain": False}}
MANY = {"differing": 30, "regraded_differing": 30}
BEATEN = {"name": "resampled", "drafts": 4, "gain_over_it": gain(0.03, 0.01), "fresh": False} | MANY
UNGRADED: Object = {"claim": {"basis": None, "gain": False}}
BETTER = [{"name": "bon", "drafts": 4, "gain_over_it": gain(-0.2, 0.03), "fresh": True} | MANY]
HEADLINES: list[tuple[Object, str]] = [
    ({"baselines": []}, "✓ A gain over the first answer: +0.060"),
    ({}, "? A gain over the first answer: +0.060; none is shown over best-of-n, best of 4"),
    ({"claim": {"basis": "code", "gain": True}, "baselines": []}, "first answer: +0.160"),
    ({"claim": {"basis": "heldout", "gain": True}, "baselines": []}, "first answer: +0.040"),
    (
        {"heldout_gain": gain(0.01, 0.03), "baselines": []},
        "? A gain over the first answer: +0.060; the held-out judge does not find it",
    ),
    ({"baselines": [BEATEN]}, "+0.060; none is shown over resampled"),
    ({"baselines": [BEATEN | {"fresh": True}]}, "✓ A gain over the first answer: +0.060"),
    ({"baselines": [BEATEN], "claim": {"basis": "code", "gain": True}}, "✓ A gain over the"),
    (
        {"baselines": [BEATEN | {"fresh": True, "differing": 5}]},
        "? A gain over the first answer: +0.060; none is shown over resampled",
    ),
    ({"baselines": [BETTER[0] | {"differing": 5}]}, "? A gain over the first answer: +0.060; none"),
    (NO_CLAIM, "? No gain is shown: it may be chance"),
    (NO_CLAIM | {"regraded_gain": gain(0.0, 0.0)}, "? No gain is shown: no score differs"),
    (NO_CLAIM | {"regraded_gain": gain(-0.06, 0.03)}, "✗ The answers got worse: −0.060"),
    ({"baselines": [BEATEN | {"regraded_gain_over_it": gain(-0.2, 0.03)}]}, "✗ A gain over"),
    ({"baselines": [BETTER[0] | {"regraded_gain_over_it": gain(0.2, 0.03)}]}, "✓ A gain over"),
    (UNGRADED, "? Open: the gain was not regraded"),
    (UNGRADED | {"loop_gain": gain(0.01, 0.03)}, "✗ No gain is shown, not even in the loop"),
    (
        UNGRADED | {"loop_gain": gain(0.01, 0.03), "baselines": BETTER},
        "✗ No gain is shown; resampling beats refining",
    ),
    (NO_CLAIM | {"regraded_gain": gain(0.01, 0.03), "baselines": BETTER}, "✗ No gain is shown; r"),
    ({"baselines": BETTER}, "✗ A gain over the first answer: +0.060; resampling beats refining"),
    ({"too_few": True}, "? Too few independent datapoints to say"),
    ({"loop_gain": None}, "? Score 0.780; nothing to compare"),
    ({"loop_gain": None, "score": None}, "? No score"),
]


@pytest.mark.parametrize(("parts", "title"), HEADLINES)
def test_the_headline_says_what_may_be_claimed(tmp_path: Path, parts: Object, title: str) -> None:
    run = write_jsonl(tmp_path / "out.jsonl", run_rows(1))
    write_html(tmp_path / "page.html", report_of(300, **parts), run)
    assert title in Page((tmp_path / "page.html").read_text("utf-8")).words


def test_the_summary_tells_all_that_the_report_holds(tmp_path: Path) -> None:
    page = page_of(tmp_path, run_rows(300), selections={"policy": 12, "tie": 3})
    said = page.words
    for part in (
        *("emails, rewritten", "2026-11-21", "writer-8b (policy, reviser); judge-70b (grader)"),
        *("length: responses grew by 31%", "A gain: +0.060 regraded; the loop itself found"),
        *("with --baseline FILE, from refinecli refine --strategy best-of-n.", "p < 0.001"),
        *("Optimism in the loop − regraded +0.100 +0.065 to +0.135", "2 280 0.770"),
        *(
            "With 300 datapoints, a gain of 0.040 as this grader sees it would be found",
            "this run 300",
        ),
        *("regraded_gain>=0.05 0.060 ✓ met", "policy 12 80%", "21,000", "0.99 ×"),
        *("the first 4 of 8 drafts", "hidden: the policy learns only", "penalty: better as its"),
    ):
        assert part in said.replace("2 280 0.770", "2 280 0.770"), part


def test_of_several_runs_the_last_is_told_and_the_others_stand_beside_it(tmp_path: Path) -> None:
    tests = {"wins": 3, "ties": 40, "losses": 1, "p_value": 0.04}
    compared = {"old": "main", "new": "branch", "n": 44, "gain": gain(0.02, 0.05)}
    compared |= {"sign_test": tests, "flip_test": tests, "left_out": 2}
    compared |= {"now_pass": [f"email-{n}" for n in range(60)], "now_fail": []}
    item = {"name": "polite", "n": 44, "score": 0.25}
    run = {"date": None, "strategy": "refine", "models": {"policy": "m"}, "n": 44, "items": [item]}
    trend = [run | {"label": "main", "score": gain(0.6, 0.05)}, run | {"label": "branch"}]
    runs = [{"label": "main"}, {"label": "branch"}]
    said = page_of(tmp_path, run_rows(1), runs=runs, compared=compared, trend=trend).words
    assert said.startswith("branch · refinecli report")
    assert "branch minus main, 44 datapoints in common: +0.020 [−0.030, +0.070]." in said
    assert "Passed: 3 more, 40 equal, 1 less (sign test, p = 0.040)." in said
    assert "email-49 and 10 more" in said
    assert "main – refine m 44 0.600 [0.550, 0.650]" in said
    assert "polite 0.250 0.250" in said


def test_a_run_that_only_graded_has_no_gains(tmp_path: Path) -> None:
    one = report_of(30)["iterations"][:1]
    said = page_of(tmp_path, run_rows(30), iterations=one).words
    assert "nothing to compare" in said
    assert "Optimism" not in said


# ------------------------------------------------------------------ whose details


def test_up_to_200_datapoints_all_open(tmp_path: Path) -> None:
    page = page_of(tmp_path, run_rows(200))
    assert len(page.details) == 200
    assert all(point[-1] for point in page.json("points"))


def test_of_more_the_flipped_the_worst_and_a_sample_open_and_it_says_so(tmp_path: Path) -> None:
    page = page_of(tmp_path, run_rows(1000))
    points = page.json("points")
    opened = [point for point in points if point[-1]]
    assert len(points) == 1000
    assert len(page.details) == len(opened) == 250
    assert sum(point[7] in ("fixed", "broken") for point in opened) >= 150
    worst = sorted(point[6] for point in points if point[6] is not None)[:50]
    assert sorted(point[6] for point in opened if point[6] is not None)[:50] == worst
    assert "All 1,000 are in the table. 250 of them open" in page.words
    assert "150 of the 502 that went from failing to passing" in page.words


def test_long_texts_are_cut_and_cost_no_more_than_that(tmp_path: Path) -> None:
    row = run_row(1)
    for one in row["refinement"]["iterations"]:
        one["response"] = "\r\n".join([f"{one['iteration']} the same words again"] * 40_000)
    page = page_of(tmp_path, [row])
    assert (tmp_path / "page.html").stat().st_size < 300_000
    detail = json.dumps(page.details[0])
    assert "more characters are in the run's file" in detail
    assert "\u240d" not in detail


def test_the_text_can_be_had_from_its_changes(tmp_path: Path) -> None:
    row = run_row(1)
    old, new = row["refinement"]["iterations"][:2]
    old["response"], new["response"] = "Dear Ann,\nthank you.\n", "Dear Ann,\n\nmany thanks.\n\nBob"
    pieces = page_of(tmp_path, [row]).details[0]["iterations"][1]["changes"]
    kept = "".join(text for kind, text in pieces if kind != "deleted")
    assert kept.replace("↵\n", "\n") == new["response"]
    new["response"] = "a literal ↵\nhere"
    assert page_of(tmp_path, [row]).details[0]["iterations"][1]["text"] == new["response"]


def test_a_real_run_is_shown(tmp_path: Path, cli: Cli) -> None:
    def answer(request: Request) -> str:
        return "the sum is 4" if len(request.body["messages"]) > 1 else "the sum is 5"

    def grade(request: Request) -> str:
        return f"<score>{int('the sum is 4' in request.text)}</score>"

    write_jsonl(tmp_path / "in.jsonl", [datapoint(id="sum")])
    with ChatServer(by_role(answer, grade)) as server:
        result = cli("refine", "in.jsonl", "-o", "out.jsonl", *at(server))
    assert result.returncode == 0, result.stderr
    write_html(tmp_path / "page.html", report_of(20), tmp_path / "out.jsonl")
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    [point] = page.json("points")
    assert point[1:3] == ["sum", "What is 2 + 2?"]
    assert point[5:9] == [0.0, 1.0, "fixed", "passed"]
    first, second = page.json("d0")["iterations"]
    assert [one["grades"][0]["verdict"] for one in (first, second)] == ["failed", "passed"]
    assert second["changes"] == [["", "the sum is"], ["", " "], ["deleted", "5"], ["inserted", "4"]]


# ------------------------------------------------------------------ how it looks


def _luminance(colour: str) -> float:
    digits = colour if len(colour) == 6 else "".join(2 * digit for digit in colour)
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(tmp_path: Path, scheme: int) -> None:
    css = page_of(tmp_path, []).bodies[0]
    block = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[scheme]
    light = {name: _luminance(value) for name, value in re.findall(r"--([\w-]+): #(\w+)", block)}
    pairs = [(text, ground) for text in ("text", "muted") for ground in ("ground", "raised")]
    pairs += [(tone, f"{tone}-ground") for tone in ("good", "bad", "unsure", "accent")]
    pairs += [("text", f"{tone}-ground") for tone in ("good", "bad", "unsure", "accent")]
    pairs += [(tone, "ground") for tone in ("good", "bad", "unsure", "accent")]
    for text, ground in pairs:
        low, high = sorted((light[text], light[ground]))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (text, ground)


# ------------------------------------------------------------------ in a browser

in_browser = pytest.mark.skipif(
    bool(why_no_browser(find_spec)), reason=f"not tested in a browser: {why_no_browser(find_spec)}"
)
READY = "document.documentElement.dataset.ready === 'true'"


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def pages(chromium: Browser, tmp_path: Path) -> Callable[..., Browser]:
    """Open the page of a run of so many datapoints."""

    def open_page(n: int, fragment: str = "", **parts: Any) -> Browser:
        page_of(tmp_path, run_rows(n), **parts)
        chromium.open(tmp_path / "page.html", fragment)
        chromium.wait(READY)
        return chromium

    return open_page


def column(seen: Browser, name: str) -> list[str]:
    return seen.texts(f"#rows .c-{name}")


def sort_by(seen: Browser, name: str) -> str:
    seen.click(f"#heads [data-key={name}] button")
    order = seen.run(
        f"return document.querySelector('#heads [data-key={name}]').getAttribute('aria-sort')"
    )
    return str(order)


@in_browser
def test_a_click_on_a_head_sorts_and_another_turns_it_round(pages: Callable[..., Browser]) -> None:
    seen = pages(30)
    assert sort_by(seen, "final") == "ascending"
    finals = column(seen, "final")
    scored = [text for text in finals if text != "–"]
    assert scored == sorted(scored)
    assert finals == [*scored, *["–"] * (len(finals) - len(scored))]
    assert sort_by(seen, "final") == "descending"
    turned = column(seen, "final")
    assert turned == [*sorted(scored, reverse=True), *["–"] * (len(finals) - len(scored))]
    assert sort_by(seen, "id") == "ascending"
    assert seen.texts("#rows .c-id bdi") == [f"email-{n}" for n in range(30)]
    assert seen.texts("[aria-sort=ascending]") == ["Datapoint"]


@in_browser
def test_words_and_buttons_filter_and_both_together(pages: Callable[..., Browser]) -> None:
    seen = pages(60)
    seen.click("[data-filter=fixed]")
    assert set(column(seen, "outcome")) == {"✗→✓ fixed"}
    assert seen.texts("[aria-pressed=true]") == ["✗→✓ Fixed 25"]
    assert seen.texts("#shown") == ["25 of 60"]
    seen.type("#search", "Refund EMAIL-1")
    assert seen.texts("#rows .c-id bdi") == ["email-1", "email-16"]
    seen.click("[data-filter=all]")
    assert "email-11" in seen.texts("#rows .c-id bdi")
    seen.type("#search", " no such thing")
    assert seen.texts("#shown") == ["0 of 60"]
    for name in ("broken", "worse", "ungraded", "failed"):
        assert seen.texts(f"[data-filter={name}]"), name


@in_browser
def test_a_datapoint_opens_with_its_changes_and_marks(pages: Callable[..., Browser]) -> None:
    seen = pages(12)
    seen.click("#rows a")
    seen.wait("document.getElementById('dialog').open")
    assert seen.texts("#opened") == ["email-0"]
    assert seen.texts("#dialog ins")
    assert seen.texts("#dialog del")
    rows = run_rows(12)
    iterations = rows[0]["refinement"]["iterations"]
    assert seen.texts("#dialog .iteration h3")[0].startswith("Iteration 0")
    assert len(seen.texts("#dialog .iteration")) == len(iterations)
    marks = seen.texts("#dialog .iteration:last-child .mark")
    assert marks == ["✓"] * 4
    seen.click("#dialog .iteration:last-child .views button:last-child")
    shown = seen.texts("#dialog .iteration:last-child > .text:not([hidden])")
    assert shown == [iterations[-1]["response"]]
    assert "First I thought about the tone" in seen.texts("#dialog details")[0]


@in_browser
def test_the_keyboard_is_enough(pages: Callable[..., Browser]) -> None:
    from selenium.webdriver.common.keys import Keys

    seen = pages(12)
    seen.type("#rows a", Keys.ENTER)
    seen.wait("document.getElementById('dialog').open")
    seen.type("#dialog .bar-top button:last-child", Keys.ARROW_RIGHT)
    seen.wait("document.getElementById('opened').textContent === 'email-1'")
    seen.type("#dialog .bar-top button:last-child", Keys.ESCAPE)
    seen.wait("!document.getElementById('dialog').open")
    assert seen.run("return location.hash") == "#datapoints"
    seen.type("#heads button", Keys.ENTER)
    assert seen.texts("[aria-sort=ascending]") == ["Datapoint"]


@in_browser
def test_a_link_leads_to_a_datapoint(pages: Callable[..., Browser]) -> None:
    seen = pages(12, "#dp-3")
    seen.wait("document.getElementById('dialog').open")
    assert seen.texts("#opened") == ["email-3"]
    assert "Selected: tie (votes: new, old)" in seen.texts("#dialog summary")
    assert "critic" in seen.texts("#dialog .tag")
    seen.run("location.hash = 'dp-99'")
    seen.wait("!document.getElementById('dialog').open")


@in_browser
def test_hostile_text_is_only_text(chromium: Browser, tmp_path: Path) -> None:
    run = write_jsonl(tmp_path / "out.jsonl", [hostile_row(text) for text in HOSTILE])
    write_html(tmp_path / "page.html", hostile_report(HOSTILE[0]), run)
    for place, text in enumerate(HOSTILE[:3]):
        chromium.open(tmp_path / "page.html", f"#dp-{place}")
        chromium.wait("document.getElementById('dialog').open")
        assert chromium.run("return window.hacked") is None
        assert chromium.texts("#opened") == [text]
        assert chromium.run("return document.querySelectorAll('img').length") == 0
    assert chromium.complaints() == []


@in_browser
def test_the_policy_holds_and_the_page_never_needs_what_it_forbids(
    pages: Callable[..., Browser],
) -> None:
    seen = pages(300)
    seen.complaints(), seen.requests()
    seen = pages(300)
    sort_by(seen, "change")
    seen.click("[data-filter=fixed]")
    seen.type("#search", "refund")
    seen.click("#rows a")
    seen.wait("document.getElementById('dialog').open")
    assert seen.complaints() == []
    assert seen.requests() == []
    seen.run(
        """document.addEventListener("securitypolicyviolation", (event) => {
             window.refused = [...(window.refused || []), event.effectiveDirective];
           });
           const script = document.createElement("script");
           script.textContent = "window.hacked = 1";
           document.body.append(script);
           fetch("http://127.0.0.1:9/").catch(() => {});"""
    )
    seen.wait("(window.refused || []).length === 2")
    assert sorted(seen.run("return window.refused")) == ["connect-src", "script-src-elem"]
    assert seen.run("return window.hacked") is None
    seen.complaints()


@in_browser
def test_5000_datapoints_are_drawn_as_they_are_looked_at(pages: Callable[..., Browser]) -> None:
    seen = pages(5000)
    assert seen.texts("#shown") == ["5,000 of 5,000"]
    assert len(seen.texts("#rows tr")) == 100
    seen.run("document.getElementById('more').scrollIntoView()")
    seen.wait("document.querySelectorAll('#rows tr').length >= 200")
    sort_by(seen, "id")
    sort_by(seen, "id")
    assert seen.texts("#rows tr:first-child .c-id bdi") == ["email-4999"]
    seen.type("#search", "email-4321")
    assert seen.texts("#rows .c-id bdi") == ["email-4321"]
    seen.run("document.getElementById('search').value = ''")
    seen.type("#search", " ")
    seen.run("document.getElementById('all').click()")
    assert len(seen.texts("#rows tr")) == 5000
    assert seen.run("return document.getElementById('more').hidden")
    assert seen.complaints() == []


@in_browser
@pytest.mark.parametrize("width", [360, 800, 1100, 1280])
def test_nothing_hangs_out_of_a_narrow_screen(pages: Callable[..., Browser], width: int) -> None:
    seen = pages(12)
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    seen.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert seen.run("return document.documentElement.scrollWidth") <= width
        hidden = "const list = document.getElementById('list'); return list.scrollWidth"
        assert seen.run(hidden + " - list.clientWidth") <= 0
        seen.run("location.hash = 'dp-0'")
        seen.wait("document.getElementById('dialog').open")
        assert seen.run("return document.getElementById('dialog').scrollWidth") <= width
    finally:
        seen.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@in_browser
def test_without_javascript_the_summary_stands(chromium: Browser, tmp_path: Path) -> None:
    page_of(tmp_path, run_rows(12))
    chromium.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        chromium.open(tmp_path / "page.html")
        said = chromium.driver.find_element("css selector", "main").text
    finally:
        chromium.driver.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
    assert "A gain: +0.060 regraded" in said
    assert "The table of the 12 datapoints needs JavaScript" in said
    assert "Search" not in said
