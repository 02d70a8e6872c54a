"""The report's page: what it says, and that nothing in it acts."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from refinecli.data.sources import zstd
from refinecli.errors import UsageError
from refinecli.report.html.page import write_html
from tests.conftest import write_jsonl
from tests.support.html_pages import HOSTILE, Page, hostile_report, hostile_row, page_of
from tests.support.report_pages import (
    gain,
    report_of,
    run_row,
    run_rows,
)

Object = dict[str, Any]


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
        assert page.points[0][0] == 0
        assert not set(page.text) & set("\x1b\u202e\u2066\u2028\u2029")
        return [(tag, sorted(attributes)) for tag, attributes in page.elements]

    assert tags(text) == tags("harmless")


def test_what_is_missing_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("")
    whole = report_of(30)
    odd: tuple[dict[str, Any], ...] = ({}, dict.fromkeys(whole), {name: [] for name in whole})
    for report in odd:
        write_html(tmp_path / "page.html", report, tmp_path / "empty.jsonl")
        page = Page((tmp_path / "page.html").read_text("utf-8"))
        assert "? No score" in page.words
        assert page.points == []
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
    points = page.points
    ids = ["line 1", "line 2", "bare", "line 4", "12345678901234567890123", "line 6", "null"]
    assert [point[1] for point in points] == ids
    assert [point[7] for point in points[:5]] == [
        *("failed", "ungraded", "ungraded", "failed", "graded")
    ]
    assert page.details_by_place[4]["iterations"][0]["grades"][0]["verdict"] == "passed"


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
    assert [point[1] for point in page.points] == ["email-0", "email-1", "email-2"]


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
    (
        {"baselines": [BEATEN | {"regraded_gain_over_it": gain(0.01, 0.03)}]},
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
        *("a run of the strategy best-of-n (--baseline FILE).", "p < 0.001"),
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


@pytest.mark.slow
def test_thousands_of_datapoints_all_open_and_cost_a_kilobyte_each(tmp_path: Path) -> None:
    page = page_of(tmp_path, run_rows(1000))
    assert len(page.details) == len(page.points) == 1000
    assert "Each opens to its responses, grades and changes." in page.words
    assert (tmp_path / "page.html").stat().st_size < 1_300_000


def test_each_vote_of_a_jury_is_shown_with_its_reply(tmp_path: Path) -> None:
    row = run_row(1)
    vote = {"juror": "strict", "passed": False, "score": 0.0, "reply": "Hardly.", "error": None}
    row["refinement"]["iterations"][0]["grades"][0]["votes"] = [vote, vote | {"repeat": 2}]
    shown = page_of(tmp_path, [row]).details[0]["iterations"][0]["grades"][0]["votes"]
    assert [(one["name"], one["verdict"], one["reply"]) for one in shown] == [
        ("juror strict", "failed", "Hardly."),
        ("juror strict, repeat 2", "failed", "Hardly."),
    ]


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
