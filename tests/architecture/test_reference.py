"""The guide's reference follows the code: options, settings, fields of a rubric item."""

from __future__ import annotations

import pytest

from tests.support.reference import GUIDE, generated, without_meaning


@pytest.mark.parametrize("page", ["reference", "data"])
def test_the_reference_is_what_the_code_says(page: str) -> None:
    text = (GUIDE / f"{page}.md").read_text("utf-8")
    assert text == generated(page, text), "run: python -m tests.support.reference --write"
    assert not without_meaning(text), "say what these mean, in the last column of the page"


def test_a_row_without_a_meaning_is_seen() -> None:
    assert without_meaning("| setting | default | meaning |\n| `new` | `1` |  |\n") == ["`new`"]
