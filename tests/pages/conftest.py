"""A browser for the tests of the report's page, and pages opened in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.html_pages import page_of
from tests.support.report_pages import READY, Browser, browser, run_rows


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def pages(chromium: Browser, tmp_path: Path) -> Callable[..., Browser]:
    """Open the page of a run of so many datapoints, or of these rows."""

    def open_page(rows: int | list[Any], fragment: str = "", **parts: Any) -> Browser:
        page_of(tmp_path, run_rows(rows) if isinstance(rows, int) else rows, **parts)
        chromium.open(tmp_path / "page.html", fragment)
        chromium.wait(READY)
        return chromium

    return open_page
