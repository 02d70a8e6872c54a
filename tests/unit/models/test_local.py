"""The embedded model's weights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from refinecli.errors import UsageError
from refinecli.models.local.child import processors
from refinecli.models.local.server import find_weights


def test_weights_that_are_no_gguf_file_are_refused_before_a_server_starts(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(UsageError, match="is not a GGUF file"):
        find_weights(str(tmp_path / "model.gguf"))
    with pytest.raises(UsageError, match="No such file"):
        find_weights(str(tmp_path / "nowhere.gguf"))


def test_processors_are_counted_where_a_process_has_no_set_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert processors() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")  # as on macOS
    assert processors() == os.cpu_count()
