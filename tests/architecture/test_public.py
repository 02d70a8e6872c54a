"""The public face: what the package names is what its guide documents, and nothing else."""

from __future__ import annotations

import re

import pytest

import refinecli
from tests.architecture.source import PACKAGE

PAGE = PACKAGE / "guide" / "python.md"
documented = pytest.mark.skipif(not PAGE.exists(), reason="the guide has no page python.md yet")


@documented
def test_every_public_name_stands_in_the_guide() -> None:
    text = PAGE.read_text("utf-8")
    missing = [name for name in refinecli.__all__ if not re.search(rf"\b{name}\b", text)]
    assert not missing, f"refinecli/guide/python.md: document {', '.join(missing)}"


@documented
def test_every_name_that_the_guide_uses_is_public() -> None:
    used = set(re.findall(r"\brc\.(\w+)", PAGE.read_text("utf-8")))
    unknown = sorted(used - set(refinecli.__all__))
    assert not unknown, f"refinecli/__init__.py: {', '.join(unknown)} not in __all__"


def test_every_public_name_can_be_had() -> None:
    assert len(set(refinecli.__all__)) == len(refinecli.__all__)
    for name in refinecli.__all__:
        assert getattr(refinecli, name) is not None
