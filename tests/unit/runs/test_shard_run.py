"""A shard on a node that does not see what the others see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from refinecli.data.sources import file_digest
from refinecli.errors import UsageError
from refinecli.runs.cluster.folder import Folder
from refinecli.runs.cluster.shard_run import Whole, run_shard
from refinecli.runs.shards import Shard

UNUSED = cast(Any, None)  # nothing is asked of it before all of this is seen to be right


@pytest.fixture
def whole(tmp_path: Path) -> Whole:
    source = tmp_path / "in.jsonl"
    source.write_text("{}\n")
    folder = Folder(tmp_path / "out.jsonl.ray")
    folder.claim({"seed": 3}, restart=False)
    return Whole(
        settings=UNUSED,
        roles=(),
        shapes={},
        command="refine",
        described={"seed": 3},
        work=UNUSED,
        rubric=(),
        source=source,
        digest=file_digest(source),
        rows=1,
        limit=None,
        folder=folder,
        copies=60.0,
        restart=False,
    )


def error(whole: Whole) -> str:
    end = run_shard(whole, Shard(1, 1), 1, UNUSED)
    assert end.code == 2
    assert isinstance(end.error, UsageError)
    assert end.error.hint
    return str(end.error)


def test_an_input_that_a_node_cannot_read_is_named_with_the_node(whole: Whole) -> None:
    whole.source.unlink()
    assert f"{whole.source}: No such file or directory" in error(whole)


def test_another_input_under_the_same_path_is_refused(whole: Whole) -> None:
    whole.source.write_text("{} \n")
    assert f"{whole.source} is another file, or has changed" in error(whole)


def test_another_folder_under_the_same_path_is_refused(whole: Whole, tmp_path: Path) -> None:
    for folder in (Folder(tmp_path / "none"), Folder(tmp_path / "other")):
        if folder.path.name == "other":
            folder.claim({"seed": 4}, restart=False)
        elsewhere = replace(whole, folder=folder)
        assert f"{folder.path} is not there, or is another folder" in error(elsewhere)
