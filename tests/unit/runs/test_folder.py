"""The folder of a run on a cluster: what of it makes a run shorter."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinecli.runs.cluster.folder import Folder
from refinecli.runs.shards import Shard


@pytest.mark.parametrize(
    ("suffix", "keeps"),
    [(".cache", True), (".part.json", True), (".outcomes-partial", False), (".partial", False)],
)
def test_a_folder_stays_for_replies_and_finished_parts_alone(
    tmp_path: Path, suffix: str, keeps: bool
) -> None:
    folder = Folder(tmp_path / "out.jsonl.ray")
    folder.claim({"seed": 3}, restart=False)
    part = folder.part(Shard(1, 2))
    part.with_name(part.name + suffix).touch()
    assert folder.keeps_something is keeps
    folder.remove_if_empty()
    assert folder.path.exists() is keeps
