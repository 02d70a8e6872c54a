"""The page as a place to work, in a real browser: filters, addresses, keys, the map."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.report_files import row
from tests.support.report_pages import Browser, in_browser, run_rows

Pages = Callable[..., Browser]
OPEN = "document.getElementById('dialog').open"


def ids(seen: Browser) -> list[str]:
    return seen.texts("#rows .c-id bdi")


def address(seen: Browser) -> str:
    return str(seen.run("return location.hash"))


def choose(seen: Browser, name: str, value: str) -> None:
    from selenium.webdriver.support.select import Select

    Select(seen.driver.find_element("id", name)).select_by_value(value)


def press(seen: Browser, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(seen.driver).send_keys(*keys).perform()


def point_at(seen: Browser, x: int, y: int, *, click: bool = False) -> None:
    """Move the mouse to a place on the map, counted from its upper left."""
    from selenium.webdriver.common.action_chains import ActionChains

    canvas = seen.driver.find_element("id", "canvas")
    seen.run("document.getElementById('map').scrollIntoView()")
    size = canvas.size
    moved = ActionChains(seen.driver).move_to_element_with_offset(
        canvas, x - size["width"] // 2, y - size["height"] // 2
    )
    (moved.click() if click else moved).perform()


def failing(rows: list[dict[str, Any]], item: str) -> list[str]:
    found = []
    for one in rows:
        refinement = one.get("refinement") or {"iterations": [], "best_iteration": 0}
        best = refinement["iterations"][refinement["best_iteration"] :][:1]
        grades = best[0]["grades"] if best else []
        found += [
            one["id"] for grade in grades if (grade["name"], grade["passed"]) == (item, False)
        ]
    return found


# ------------------------------------------------------------------ filters


@in_browser
def test_what_does_not_pass_what_fails_an_item_and_a_tag_can_be_picked_alone_or_together(
    pages: Pages,
) -> None:
    rows = run_rows(24)
    seen = pages(24)
    seen.click("[data-filter=failing]")
    refined = [one for one in rows if one.get("score") is not None]
    assert ids(seen) == [one["id"] for one in refined if one["score"] < 1]
    choose(seen, "item", "names the date")
    picked = [name for name in failing(rows, "names the date") if name in ids(seen)]
    assert ids(seen) == picked != []
    choose(seen, "tag", "formal")
    formal = {one["id"] for one in rows if "formal" in one["tags"]}
    assert ids(seen) == [name for name in picked if name in formal] != []
    assert seen.texts("#shown") == [f"{len(ids(seen))} of 24"]
    seen.click("#clear")
    assert len(ids(seen)) == 24
    assert address(seen) == ""


@in_browser
def test_an_item_in_the_summary_leads_to_the_datapoints_that_fail_it(pages: Pages) -> None:
    seen = pages(24)
    link = "a[href='#?item=names%20the%20date']"
    expected = failing(run_rows(24), "names the date")
    assert seen.texts(link) == [str(len(expected))]
    seen.click(link)
    seen.wait("document.getElementById('item').value === 'names the date'")
    assert ids(seen) == expected
    assert seen.run("return document.getElementById('tools').getBoundingClientRect().top < 300")


# ------------------------------------------------------------------ addresses


@in_browser
def test_the_address_keeps_what_is_shown_and_back_undoes_it(pages: Pages) -> None:
    seen = pages(24)
    seen.click("[data-filter=failing]")
    choose(seen, "item", "offers a refund")
    seen.type("#search", "parcel")
    seen.click("#heads [data-key=final] button")
    kept, shown = address(seen), ids(seen)
    assert kept == "#?q=parcel&show=failing&item=offers+a+refund&sort=final"
    seen = pages(24, kept)  # another reader's browser
    assert ids(seen) == shown != []
    assert seen.texts("[aria-pressed=true]")[0].startswith("✗ Does not pass")
    assert seen.run("return document.getElementById('search').value") == "parcel"
    assert seen.texts("[aria-sort=ascending]") == ["Final"]
    seen.click("#clear")
    assert len(ids(seen)) == 24
    seen.run("history.back()")
    seen.wait("document.querySelectorAll('#rows .c-id').length < 24")
    assert ids(seen) == shown


@in_browser
def test_an_address_that_makes_no_sense_shows_all(pages: Pages) -> None:
    seen = pages(5, "#?sort=nothing&show=nothing&lost=1&q=%E0%A4")
    seen.type("#search", "\ue003" * 9)  # backspaces
    assert ids(seen) == [f"email-{n}" for n in range(5)]
    assert seen.complaints() == []


@in_browser
def test_a_datapoint_opens_from_the_list_and_back_closes_it(pages: Pages) -> None:
    seen = pages(24)
    seen.click("[data-filter=failing]")
    first = ids(seen)[0]
    seen.click("#rows a")
    seen.wait(OPEN)
    assert address(seen) == f"#{first}?show=failing"
    press(seen, "j")
    press(seen, "j")
    seen.wait(f"document.getElementById('opened').textContent === '{ids(seen)[2]}'")
    seen.run("history.back()")
    seen.wait(f"!{OPEN}")
    assert address(seen) == "#?show=failing"
    seen.run("history.forward()")
    seen.wait(OPEN)
    assert seen.texts("#opened") == [ids(seen)[2]]


@in_browser
def test_a_repeated_or_strange_id_has_an_address_of_its_own(pages: Pages) -> None:
    rows = run_rows(4)
    rows[1]["id"] = rows[2]["id"] = "a/b?c=d&e #f%"
    seen = pages(rows)
    seen.click("#rows tr:nth-child(4) a")
    seen.wait(OPEN)
    assert seen.texts("#opened") == ["a/b?c=d&e #f% (2)"]
    seen = pages(rows, address(seen))
    seen.wait(OPEN)
    assert seen.texts("#opened") == ["a/b?c=d&e #f% (2)"]


@in_browser
def test_a_link_to_a_part_of_the_page_keeps_the_filters(pages: Pages) -> None:
    seen = pages(24, "#?show=failing")
    shown = ids(seen)
    seen.click("a[href='#part-gains']")
    seen.wait("location.hash === '#part-gains'")
    assert ids(seen) == shown


# ------------------------------------------------------------------ keys


@in_browser
def test_j_and_k_walk_the_rows_enter_opens_and_slash_searches(pages: Pages) -> None:
    from selenium.webdriver.common.keys import Keys

    seen = pages(60)
    assert "next, previous datapoint" in seen.texts(".keys")[0]
    press(seen, "j", "j", "j", "k")
    assert seen.run("return document.activeElement.textContent") == "email-1"
    press(seen, Keys.ENTER)
    seen.wait(OPEN)
    assert seen.texts("#opened") == ["email-1"]
    press(seen, "j")
    seen.wait("document.getElementById('opened').textContent === 'email-2'")
    press(seen, "k")
    press(seen, "k")
    seen.wait("document.getElementById('opened').textContent === 'email-0'")
    press(seen, "/")
    seen.wait(f"!{OPEN}")
    seen.wait("document.activeElement.id === 'search'")
    press(seen, "jk/")
    assert seen.run("return document.getElementById('search').value") == "jk/"


@in_browser
def test_a_step_button_keeps_the_focus_and_at_the_end_close_has_it(pages: Pages) -> None:
    from selenium.webdriver.common.keys import Keys

    seen = pages(3, "#email-0")
    seen.run("document.querySelectorAll('.bar-top button')[1].focus()")
    press(seen, Keys.ENTER)
    seen.wait("document.getElementById('opened').textContent === 'email-1'")
    assert seen.run("return document.activeElement.title") == "Next datapoint (j)"
    press(seen, Keys.ENTER)
    seen.wait("document.getElementById('opened').textContent === 'email-2'")
    assert seen.run("return document.activeElement.textContent") == "Close"


@in_browser
def test_j_reaches_rows_that_were_not_drawn_yet(pages: Pages) -> None:
    seen = pages(200)
    for _ in range(6):
        press(seen, *"j" * 20)
    assert seen.run("return document.activeElement.textContent") == "email-119"
    in_sight = "const at = document.activeElement.getBoundingClientRect(); return at.top"
    assert 0 < seen.run(in_sight) < 900


# ------------------------------------------------------------------ the map


@in_browser
def test_a_cell_of_the_map_says_what_it_is_and_opens_its_datapoint(pages: Pages) -> None:
    rows = run_rows(24)
    seen = pages(24, "#?show=failing")
    shown = ids(seen)
    width = seen.run("return document.getElementById('canvas').clientWidth") / len(shown)
    point_at(seen, round(2.5 * width), 18 + 9)
    fails = shown[2] in failing(rows, "names the date")
    verdict = "failed" if fails else "passed"
    assert seen.texts("#pointed") == [f"{shown[2]} · names the date · {verdict}"]
    point_at(seen, round(2.5 * width), 18 + 9, click=True)
    seen.wait(OPEN)
    assert seen.texts("#opened") == [shown[2]]


@in_browser
def test_the_map_is_walked_with_the_arrow_keys(pages: Pages) -> None:
    from selenium.webdriver.common.keys import Keys

    seen = pages(24)
    seen.run("document.getElementById('canvas').focus()")
    press(seen, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    assert seen.texts("#pointed")[0].startswith("email-1 · names the date")
    press(seen, Keys.ENTER)
    seen.wait(OPEN)
    assert seen.texts("#opened") == ["email-1"]


@in_browser
def test_an_item_of_the_map_filters_by_its_failures(pages: Pages) -> None:
    seen = pages(24)
    seen.click("#mapped button:nth-child(2)")
    assert ids(seen) == failing(run_rows(24), "names the date")
    assert seen.texts("#mapped [aria-pressed=true]") == ["names the date"]
    seen.click("#mapped button:nth-child(2)")
    assert len(ids(seen)) == 24


@in_browser
def test_the_map_of_5000_datapoints_is_one_canvas_as_wide_as_the_page(pages: Pages) -> None:
    seen = pages(5000)
    inside = "const map = document.getElementById('map'); return "
    assert seen.run(inside + "map.querySelectorAll('*').length") < 40
    assert seen.run("return document.getElementById('canvas').width") < 2000
    assert seen.run("return document.getElementById('columns').clientWidth") == 25_000
    seen.run("document.getElementById('across').scrollLeft = 24000")
    seen.wait("document.getElementById('across').scrollLeft > 20000")
    at = round(5 * 4990.5 - seen.run("return document.getElementById('across').scrollLeft"))
    point_at(seen, at, 9)
    assert seen.texts("#pointed")[0].startswith("email-4990 · polite")


@in_browser
def test_items_of_single_datapoints_make_no_map(pages: Pages) -> None:
    rows = [row(n, [0.0, 1.0], items=({"name": f"only {n}"},)) for n in range(5)]
    assert not seen_map(pages(rows))
    assert seen_map(pages(run_rows(5)))


@in_browser
def test_of_many_items_the_map_has_those_that_fail_most(pages: Pages) -> None:
    items = tuple({"name": f"item {n}"} for n in range(40))
    scores = [[[float(n < 35 or at) for n in range(40)]] for at in range(2)]
    seen = pages([row(at, one, items=items) for at, one in enumerate(scores)])
    shown = seen.texts("#mapped bdi")
    assert len(shown) == 30
    assert shown[:5] == [f"item {n}" for n in range(35, 40)]
    assert seen.texts("#unmapped") == ["The 30 items that fail most of 40."]


def seen_map(seen: Browser) -> bool:
    return not seen.run("return document.getElementById('map').hidden")


# ------------------------------------------------------------------ drafts and rewrites


@in_browser
def test_a_run_of_drafts_speaks_of_drafts(pages: Pages) -> None:
    rows = [row(n, [0.0, 0.5, 1.0], drafts=True) for n in range(3)]
    seen = pages(rows, "#dp-1", only_drafts=True)
    headings = [text.split("policy")[0] for text in seen.texts("#dialog .iteration h3")]
    assert headings == ["Draft 0", "Draft 1", "Draft 2"]
    assert "Items by draft" in seen.texts("#dialog h3")
    assert "Iteration" not in seen.run("return document.body.innerText")
    assert seen.texts("#heads [data-key=iterations]") == ["Drafts"]


@in_browser
def test_an_adaptive_step_says_what_it_is_and_why_it_was_chosen(pages: Pages) -> None:
    one = row(0, [0.0, 0.25, 1.0])
    draft, rewrite = one["refinement"]["iterations"][1:]
    draft |= {"parent": None, "role": "policy"}
    draft["choice"] = {"gain": 0.125, "cost": 91.2, "instead": {"parent": 0, "gain": 0.025}}
    draft["choice"]["instead"]["cost"] = 188.0
    rewrite |= {"parent": 0, "accepted": False, "choice": {"gain": 0.3, "cost": 1200.0}}
    rewrite["choice"]["instead"] = None
    seen = pages([one], "#dp-0")
    assert seen.texts("#dialog .reason") == [
        "Chosen: a fresh draft, +0.125 for 91 tokens; "
        "a rewrite of iteration 0 promised +0.025 for 188 tokens",
        "Chosen: a rewrite of iteration 0, +0.300 for 1,200 tokens; nothing else was possible",
    ]
    headings = seen.texts("#dialog .iteration h3")
    assert [text.split("policy")[0].split("reviser")[0] for text in headings] == [
        *("Draft 0", "Draft 1", "Rewrite 2, of iteration 0")
    ]
    assert "✓ accepted" in headings[1]
    assert "✗ not accepted" in headings[2]
    assert "accepted" not in headings[0]
