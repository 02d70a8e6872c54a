"""The folder of a shard on its node: gone with the shard, and after a kill with the next one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from shutil import copytree

import pytest

from refinecli.runs.cluster.node_folder import node_folder


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_folder_goes_with_its_shard(temporary: Path) -> None:
    with node_folder() as folder:
        (folder / "part.cache").touch()
        assert list(temporary.iterdir()) == [folder]
    assert not list(temporary.iterdir())


def test_the_folder_of_a_killed_process_goes_with_the_next_shard_and_others_stay(
    temporary: Path,
) -> None:
    another = temporary / "refinecli-shard-of-an-older-version"
    another.mkdir()
    with node_folder() as busy:
        killed = temporary / "refinecli-shard-killed"
        copytree(busy, killed)  # all that is there but the lock itself
        with node_folder() as folder:
            assert set(temporary.iterdir()) == {busy, another, folder}


def test_a_link_to_another_folder_is_not_followed(temporary: Path) -> None:
    home = temporary / "home"
    home.mkdir()
    (home / "lock").touch()
    (temporary / "refinecli-shard-0").symlink_to(home)
    with node_folder():
        assert (home / "lock").exists()
