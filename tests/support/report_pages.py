"""What the tests of the report's page share: runs and reports made by hand, and a real browser.

write_jsonl(path, run_rows(300))
write_html(page, report_of(300), path)
with Browser(page) as browser: ...
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

Object = dict[str, Any]

# ------------------------------------------------------------------ a run

_TOPICS = ("a delayed parcel", "a refund", "a lost password", "an invoice", "a cancelled flight")
_WORDS = (
    "thank you for writing we are sorry about the delay your parcel left our warehouse on Monday "
    "and should reach you within three working days if it does not please answer this mail and we "
    "will send a new one at no cost to you"
)
_ITEMS = ("polite", "names the date", "offers a refund", "under 80 words")


def text_of(draw: random.Random, words: int) -> str:
    return " ".join(draw.choices(_WORDS.split(), k=words)).capitalize() + "."


def changed(text: str, draw: random.Random) -> str:
    """The text with a few words replaced and a sentence added."""
    words = text.split()
    for _ in range(3):
        words[draw.randrange(len(words))] = draw.choice(_WORDS.split())
    return " ".join(words) + " " + text_of(draw, 8)


def grade(place: int, passed: bool | None, draw: random.Random) -> Object:
    score = None if passed is None else float(passed)
    made: Object = {"item": place, "name": _ITEMS[place], "score": score, "raw_score": score}
    made |= {"status": "graded" if passed is not None else "ungraded", "passed": passed}
    made |= {"grader": "llm", "reply": f"{text_of(draw, 30)} <score>{score}</score>"}
    made["feedback"] = text_of(draw, 14) if passed is False else None
    if passed is None:
        made["error"] = {"type": "no_score", "message": "no <score> in the reply"}
    return made


def iteration(number: int, text: str, verdicts: list[bool | None], draw: random.Random) -> Object:
    known = [float(verdict) for verdict in verdicts if verdict is not None]
    return {
        "iteration": number,
        "parent": number - 1 if number else None,
        "role": "reviser" if number else "policy",
        "response": text,
        "score": sum(known) / len(known) if len(known) == len(verdicts) else None,
        "accepted": True,
        "finish_reason": "stop",
        "grades": [grade(place, verdict, draw) for place, verdict in enumerate(verdicts)],
        "feedback": None,
        "usage": {"calls": 5, "prompt_tokens": 800, "completion_tokens": 200},
    }


def run_row(number: int, seed: int = 0) -> Object:
    """A datapoint whose fate its number decides: fixed, same, ungraded, worse, broken, failed."""
    draw = random.Random(f"{seed} {number}")
    topic = _TOPICS[number % len(_TOPICS)]
    row: Object = {
        "id": f"email-{number}",
        "convo": [
            {"role": "system", "content": "You answer the mails of a shop's customers."},
            {"role": "user", "content": f"Write to a customer about {topic}, number {number}."},
        ],
        "rubric_items": [
            {"rubric_str": f"Is the mail {name}?", "name": name, "weight": 1} for name in _ITEMS
        ],
        "group": topic,
        "tags": ["short"] if number % 3 else ["long", "formal"],
    }
    fate = number % 12
    if fate == 11:
        error = {"type": "timeout", "message": "no answer after 60 s", "stage": "policy"}
        return row | {"error": error}
    verdicts = _verdicts(fate, draw)
    text = text_of(draw, 60 if number % 3 else 180)
    rounds = []
    for place, one in enumerate(verdicts):
        rounds.append(iteration(place, text, one, draw))
        rounds[-1]["feedback"] = "Not met: names the date." if place + 1 < len(verdicts) else None
        text = changed(text, draw)
    if number % 5 == 0:
        rounds[0]["reasoning"] = "First I thought about the tone; " + text_of(draw, 20)
    if number == 3:
        rounds[1] |= {"role": "critic", "selection": {"winner": "tie", "votes": ["new", "old"]}}
        rounds[1]["selection"]["reasons"] = ["The new one is kinder.", "The old one is shorter."]
    return row | _refinement(rounds, fate)


def _verdicts(fate: int, draw: random.Random) -> list[list[bool | None]]:
    half: list[bool | None] = [True, draw.random() < 0.5, False, True]
    whole: list[bool | None] = [True, True, True, True]
    table: dict[int, list[list[bool | None]]] = {
        8: [[True, None, True, True]],
        9: [half, [True, False, False, False]],
        10: [whole, [True, True, False, True]],
    }
    if fate < 5:
        return [half, whole] if fate % 2 else [half, half, whole]
    return table.get(fate, [half, half, half])


def _refinement(rounds: list[Object], fate: int) -> Object:
    best = rounds[-1] if fate < 5 or fate > 8 else rounds[0]
    stop = "passed" if fate < 5 else "ungraded" if fate == 8 else "max_iterations"
    calls = 5 * len(rounds)
    usage = {"calls": calls, "prompt_tokens": 160 * calls, "completion_tokens": 40 * calls}
    return {
        "response": best["response"],
        "score": best["score"],
        "refinement": {
            "status": "ungraded" if fate == 8 else "done",
            "stop_reason": stop,
            "initial_score": rounds[0]["score"],
            "best_iteration": best["iteration"],
            "iterations": rounds,
            "usage": usage,
            "models": {"policy": "writer-8b", "reviser": "writer-8b", "grader": "judge-70b"},
            "settings": "0123456789abcdef",
        },
    }


def run_rows(n: int) -> list[Object]:
    return [run_row(number) for number in range(n)]


# ------------------------------------------------------------------ a report


def gain(middle: float, half: float | None) -> Object:
    if half is None:
        return {"mean": middle, "low": None, "high": None}
    return {"mean": middle, "low": middle - half, "high": middle + half}


def report_of(n: int, **parts: Any) -> Object:
    """A whole report, as `--json` writes it; `parts` replace its own."""
    half = 0.6 / n**0.5 if n >= 20 else None
    first = 0.62
    steps = [0.0, 0.11, 0.15, 0.16]
    item = {"reveal": "full", "n": n, "first": gain(0.6, half), "final": gain(0.75, half)}
    run: Object = {"file": "out.jsonl", "label": "emails, rewritten", "date": "2026-11-21"}
    run |= {"strategy": "refine", "settings": "0123456789abcdef", "datapoints": n, "done": n - 3}
    run |= {"models": {"policy": "writer-8b", "reviser": "writer-8b", "grader": "judge-70b"}}
    run |= {"ungraded": 1, "failed": 2, "calls": 17 * n}
    run |= {"prompt_tokens": 2_700 * n, "completion_tokens": 640 * n}
    report: Object = {
        "n": n,
        "runs": [run],
        "loop_gain": gain(0.16, half),
        "regraded_gain": gain(0.06, half),
        "heldout_gain": gain(0.04, half),
        "optimism": gain(0.10, half),
        "judge_gap": gain(0.02, half),
        "verdict_gain": gain(0.01, half),
        "revealed_gain": gain(0.2, half),
        "scored": n,
        "score": gain(first + 0.16, half),
        "pass_rate": gain(0.5, 0.05),
        "claim": {"basis": "regraded", "gain": half is not None},
        "kept_by_score": True,
        "only_drafts": False,
        "run_cost": {"n": n, "score": gain(first + 0.16, half), "calls": 17 * n}
        | {"tokens": 3_340 * n, "cost_per_point": 15_250.0},
        "conclusions": [
            f"Score 0.780, 50.0% passed, over {n:,} datapoints.",
            "A gain: +0.060 regraded; the loop itself found +0.160.",
            "Plain resampling gains too: compare with a run of the strategy best-of-n "
            "(--baseline FILE).",
        ],
        "sign_test": {"wins": n // 3, "ties": n // 2, "losses": n // 12, "p_value": 0.0004},
        "regraded_sign_test": None,
        "detectable": 0.04 if half else None,
        "too_few": half is None,
        "iterations": [
            {
                "iteration": place,
                "n": n,
                "active": n - n // 30 * place,
                "score": gain(first + step, half),
                "accepted": gain(0.5 - place / 10, 0.05) if place else None,
                "fixed": 40 - 10 * place if place else 0,
                "broken": 3 * place,
                "characters": 411.5 + 30 * place,
                "calls": 5 * n,
                "prompt_tokens": 700 * n,
                "completion_tokens": 160 * n,
            }
            for place, step in enumerate(steps)
        ],
        "items": [
            {"name": name, "gain": gain(0.05 * place - 0.02, half), "fixed": 12, "broken": 4}
            | {
                "penalty": place == 2,
                "ungraded": place,
                "regraded_gain": gain(0.02 * place - 0.01, half),
            }
            | item
            | ({"reveal": "verdict"} if place == 3 else {})
            for place, name in enumerate(_ITEMS)
        ],
        "baselines": [
            {
                "name": "best-of-n, best of 4",
                "file": "best.jsonl",
                "n": n,
                "score": gain(0.75, half),
            }
            | {"gain_over_it": gain(0.03, half), "calls": 17 * n, "tokens": 3_300 * n}
            | {"tokens_ratio": 0.99, "cost_per_point": 21_000.0, "left_out": 2}
            | {"drafts": 4, "drafts_drawn": 8, "fresh": False},
            {"name": "first answer, rubric in the prompt", "file": "told.jsonl", "n": n}
            | {"score": gain(0.70, half), "gain_over_it": gain(0.08, half), "calls": 5 * n}
            | {"tokens": 900 * n, "tokens_ratio": 0.27, "cost_per_point": 9_000.0},
        ],
        "selections": None,
        "alarms": [{"type": "length", "message": "responses grew by 31%"}],
        "gates": [{"gate": "regraded_gain>=0.05", "value": 0.06, "met": True}],
        "compared": None,
        "trend": None,
    }
    return report | parts


# ------------------------------------------------------------------ a browser

_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-dev-shm-usage", "--disable-extensions", "--disable-default-apps"),
)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")


class Browser:
    """Chromium with a page open, and whatever it complained about or asked the network for."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path, fragment: str = "") -> None:
        self.driver.get("about:blank")
        self.driver.get(page.resolve().as_uri() + fragment)

    def run(self, script: str) -> Any:
        return self.driver.execute_script(script)

    def texts(self, selector: str) -> list[str]:
        found = self.run(
            f"return [...document.querySelectorAll({json.dumps(selector)})]"
            ".map((one) => one.textContent)"
        )
        return [str(text) for text in found]

    def click(self, selector: str) -> None:
        self.driver.find_element("css selector", selector).click()

    def type(self, selector: str, *keys: str) -> None:
        self.driver.find_element("css selector", selector).send_keys(*keys)

    def wait(self, condition: str) -> None:
        """Until the expression is true."""
        from selenium.webdriver.support.wait import WebDriverWait

        WebDriverWait(self.driver, 60, 0.02).until(lambda _: self.run(f"return {condition}"))

    def complaints(self) -> list[str]:
        """What stands in the console: errors, and what the page's policy refused."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """All addresses that were asked for, without those of pages opened by a test."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(message["params"]["request"]["url"])
        return [url for url in found if not url.startswith(("file:", "about:", "chrome:", "data:"))]


def _driver(profile: str, width: int) -> Any:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*_FLAGS, f"--user-data-dir={profile}", f"--window-size={width},900"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options, Service(str(DRIVER)))


@contextmanager
def browser(width: int = 1280) -> Iterator[Browser]:
    """A browser; its driver's path is given, so that nothing is ever looked for or downloaded."""
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
    ):
        patch.setenv("SE_OFFLINE", "true")
        patch.setenv("SE_AVOID_STATS", "true")
        patch.setenv("NO_PROXY", "localhost,127.0.0.1")
        driver = _driver(profile, width)
        try:
            yield Browser(driver)
        finally:
            driver.quit()


def why_no_browser(find: Callable[[str], Any]) -> str:
    """Why the tests in a browser cannot run here; empty if they can."""
    if find("selenium") is None:
        return "selenium is not installed (the dev group has it)"
    if not CHROMIUM or not DRIVER:
        return "no chromium and chromedriver here (apt-get install chromium chromium-driver)"
    return ""


in_browser = pytest.mark.skipif(
    bool(why_no_browser(find_spec)), reason=f"not tested in a browser: {why_no_browser(find_spec)}"
)
READY = "document.documentElement.dataset.ready === 'true'"
