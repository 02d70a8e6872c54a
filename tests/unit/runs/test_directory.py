"""A directory of parts, which is whole once it has a manifest."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from refinecli.data.part_files import PartFile, part_file, write_part_file
from refinecli.data.sources import Source
from refinecli.errors import UsageError
from refinecli.runs.cluster.directory import Directory, manifest_of
from refinecli.runs.shards import Part, parts_in_order

LINES = [b'{"n":0}\n{"n":1}\n', b'{"n":2}\n']


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., list[Part]]:
    """Write the parts of a run in its own folder."""

    def write(count: int = 2) -> list[Part]:
        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        paths = []
        for n, lines in enumerate(LINES[:count], start=1):
            path = folder / f"part-{n:05}-of-{count:05}.jsonl"
            path.write_bytes(lines)
            sha256 = hashlib.sha256(lines).hexdigest()
            record = PartFile(
                shard=f"{n}/{count}",
                rows=lines.count(b"\n"),
                limit=None,
                input="in",
                settings="as set",
                output=sha256,
            )
            write_part_file(record, str(path))
            paths.append(str(path))
        return parts_in_order(paths)

    return write


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    directory = Directory(tmp_path / "out")
    assert directory.make()
    assert not directory.make()
    return directory


def test_parts_arrive_with_their_records_and_stay_where_they_were(
    directory: Directory, written: Callable[..., list[Part]]
) -> None:
    parts = written()
    directory.put(parts)
    arrived = parts_in_order([str(directory.path / Path(part.given).name) for part in parts])
    assert [part.record for part in arrived] == [part.record for part in parts]
    assert len(list(directory.path.iterdir())) == 4
    assert parts_in_order([part.given for part in parts]) == parts
    directory.put(parts)  # as after a kill in the middle of it


def test_where_the_file_system_has_no_links_parts_are_copied(
    directory: Directory,
    written: Callable[..., list[Part]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_link(*args: object) -> None:
        raise OSError(errno.EPERM, "not permitted")

    monkeypatch.setattr(os, "link", no_link)
    directory.put(written())
    assert [path.read_bytes() for path in sorted(directory.path.glob("*.jsonl"))] == LINES


def test_new_parts_replace_those_of_an_earlier_division_and_nothing_else(
    directory: Directory, written: Callable[..., list[Part]]
) -> None:
    others = {directory.path / name for name in ("notes.txt", "part-00007-of-00009.jsonl")}
    for path in others:  # the second has no record, so no run of ours left it
        path.write_text("mine")
    directory.put(written(2))
    directory.manifest.write_text("{}")
    directory.put(written(1))
    one = directory.path / "part-00001-of-00001.jsonl"
    assert set(directory.path.iterdir()) == {one, Path(part_file(str(one))), *others}


def test_parts_of_others_are_replaced_by_force_alone_and_an_input_never(
    directory: Directory, written: Callable[..., list[Part]]
) -> None:
    directory.check([], replaces=False)
    directory.put(written())
    directory.check([], replaces=True)
    with pytest.raises(UsageError, match="holds parts already, such as part-00001"):
        directory.check([], replaces=False)
    own = Source(str(directory.path / "part-00002-of-00002.jsonl"))
    with pytest.raises(UsageError, match="is a part in the directory of the output"):
        directory.check([own], replaces=True)


def test_the_manifest_names_the_parts_in_order_and_what_they_were_made_from(
    written: Callable[..., list[Part]],
) -> None:
    described = {
        "command": "refine",
        "input": "in",
        "limit": None,
        "shards": 2,
        "prompts.grader": "pages and pages",
        "policy.model": "m",
        "policy.name": "policy",
        "policy.system": None,
    }
    lines = manifest_of(written(), Path("/data/in.jsonl"), "refine", described)
    manifest = json.loads(b"\n".join(lines))
    assert manifest["command"] == "refine"
    assert manifest["input"] == {"file": "in.jsonl", "sha256": "in", "limit": None}
    assert manifest["rows"] == 3
    assert [(part["file"], part["rows"]) for part in manifest["parts"]] == [
        ("part-00001-of-00002.jsonl", 2),
        ("part-00002-of-00002.jsonl", 1),
    ]
    assert [part["sha256"] for part in manifest["parts"]] == [
        hashlib.sha256(lines).hexdigest() for lines in LINES
    ]
    settings = manifest["settings"]
    assert settings.pop("prompts_digest")
    assert settings == {"policy.model": "m"}
    assert manifest["settings_digest"] == "as set"
