"""The report's page in a real browser: how it shows what it holds, and what it never does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from refinecli.report.html.page import write_html
from tests.conftest import REFINE, Result, at, datapoint, write_jsonl
from tests.support.chat_server import ChatServer, Request, by_role
from tests.support.html_pages import HOSTILE, Page, hostile_report, hostile_row, page_of
from tests.support.report_pages import Browser, in_browser, report_of, run_rows

Cli = Callable[..., Result]
Object = dict[str, Any]


def test_a_real_run_is_shown(tmp_path: Path, cli: Cli) -> None:
    def answer(request: Request) -> str:
        return "the sum is 4" if len(request.body["messages"]) > 1 else "the sum is 5"

    def grade(request: Request) -> str:
        return f"<score>{int('the sum is 4' in request.text)}</score>"

    write_jsonl(tmp_path / "in.jsonl", [datapoint(id="sum")])
    with ChatServer(by_role(answer, grade)) as server:
        result = cli(*REFINE, "in.jsonl", "-o", "out.jsonl", *at(server))
    assert result.returncode == 0, result.stderr
    write_html(tmp_path / "page.html", report_of(20), tmp_path / "out.jsonl")
    page = Page((tmp_path / "page.html").read_text("utf-8"))
    [point] = page.points
    assert point[1:3] == ["sum", "What is 2 + 2?"]
    assert point[5:9] == [0.0, 1.0, "fixed", "passed"]
    first, second = page.details[0]["iterations"]
    assert [one["grades"][0]["verdict"] for one in (first, second)] == ["failed", "passed"]
    assert second["changes"] == [["", "the sum is"], ["", " "], ["deleted", "5"], ["inserted", "4"]]


# ------------------------------------------------------------------ in a browser


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
    seen = pages(20)
    assert sort_by(seen, "final") == "ascending"
    finals = column(seen, "final")
    scored = [text for text in finals if text != "–"]
    assert scored == sorted(scored)
    assert finals == [*scored, *["–"] * (len(finals) - len(scored))]
    assert sort_by(seen, "final") == "descending"
    turned = column(seen, "final")
    assert turned == [*sorted(scored, reverse=True), *["–"] * (len(finals) - len(scored))]
    assert sort_by(seen, "id") == "ascending"
    assert seen.texts("#rows .c-id bdi") == [f"email-{n}" for n in range(20)]
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
    headings = seen.texts("#dialog .iteration h3")
    assert headings[0].startswith("Draft 0")
    assert headings[1].startswith("Rewrite 1, of iteration 0")
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
    seen.wait("location.hash === ''")
    assert seen.run("return document.activeElement.textContent") == "email-1"
    seen.type("#heads button", Keys.ENTER)
    assert seen.texts("[aria-sort=ascending]") == ["Datapoint"]


@in_browser
def test_a_link_leads_to_a_datapoint(pages: Callable[..., Browser]) -> None:
    seen = pages(12, "#email-3")
    seen.wait("document.getElementById('dialog').open")
    assert seen.texts("#opened") == ["email-3"]
    assert "Selected: tie (votes: new, old)" in seen.texts("#dialog summary")
    assert "critic" in seen.texts("#dialog .tag")
    seen.run("location.hash = 'email-99'")
    seen.wait("!document.getElementById('dialog').open")
    assert seen.texts("#shown") == ["no datapoint is called email-99"]


@in_browser
def test_hostile_text_is_only_text(chromium: Browser, tmp_path: Path) -> None:
    run = write_jsonl(tmp_path / "out.jsonl", [hostile_row(text) for text in HOSTILE])
    write_html(tmp_path / "page.html", hostile_report(HOSTILE[0]), run)
    for text in HOSTILE[:3]:
        chromium.open(tmp_path / "page.html", f"#{quote(text, safe='')}")
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
def test_of_5000_datapoints_only_what_can_be_seen_is_in_the_page(
    pages: Callable[..., Browser],
) -> None:
    seen = pages(5000)
    rows = "document.querySelectorAll('#rows tr').length"
    assert seen.texts("#shown") == ["5,000 of 5,000"]
    assert seen.run(f"return {rows}") < 60
    for place in ("document.body.scrollHeight / 2", "document.body.scrollHeight"):
        seen.run(f"scrollTo(0, {place})")
        seen.wait("document.querySelector('#rows .space').offsetHeight > 100_000")
        assert seen.run(f"return {rows}") < 60
    seen.wait("[...document.querySelectorAll('#rows bdi')].at(-1).textContent === 'email-4999'")
    assert seen.run("return document.querySelectorAll('*').length") < 2000
    sort_by(seen, "id")
    sort_by(seen, "id")
    seen.run("scrollTo(0, 0)")
    seen.wait("document.querySelector('#rows bdi').textContent === 'email-4999'")
    seen.type("#search", "email-4321")
    assert seen.texts("#rows .c-id bdi") == ["email-4321"]
    seen.click("#rows a")
    seen.wait("document.getElementById('dialog').open")
    assert seen.texts("#opened") == ["email-4321"]
    assert seen.complaints() == []


@in_browser
def test_rows_follow_the_scroll_without_a_gap(pages: Callable[..., Browser]) -> None:
    seen = pages(500)
    in_sight = """const rows = [...document.querySelectorAll('#rows tr:not(.space)')];
        const seen = rows.map((row) => row.getBoundingClientRect());
        const heights = new Set(seen.map((one) => one.height));
        return [seen[0].top <= 0, seen.at(-1).bottom >= innerHeight, heights.size]"""
    two_frames = "requestAnimationFrame(() => requestAnimationFrame(done))"
    seen.run("document.getElementById('list').scrollIntoView()")
    for _ in range(6):
        seen.run("scrollBy(0, 1700)")
        seen.run(f"return new Promise((done) => {two_frames})")
        assert seen.run(in_sight) == [True, True, 1]


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
        wide = "return document.querySelector('#rows .c-id').offsetWidth"
        assert seen.run(wide) > width / 5  # hidden columns leave their room to the names
        seen.run("location.hash = 'email-0'")
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
