"""The embedded model's weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinecli.errors import UsageError
from refinecli.models.local.server import find_weights


def test_weights_that_are_no_gguf_file_are_refused_before_a_server_starts(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"PK\x03\x04")
    with pytest.raises(UsageError, match="is not a GGUF file"):
        find_weights(str(tmp_path / "model.gguf"))
    with pytest.raises(UsageError, match="No such file"):
        find_weights(str(tmp_path / "nowhere.gguf"))
