"""A folder of waves takes nothing of the user's for its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinecli.errors import UsageError
from refinecli.runs.wave_folder import WaveFolder

PLACE = {"command": "refine", "input": "in.jsonl", "output": "out.jsonl", "rubric": []}


@pytest.mark.parametrize("content", ['{"lr": 0.1}', "[]", "text"])
def test_a_file_of_the_users_that_has_the_records_name_is_left_as_it_is(
    tmp_path: Path, content: str
) -> None:
    file = tmp_path / "run.json"
    file.write_text(content)
    folder = WaveFolder(tmp_path, PLACE)
    with pytest.raises(UsageError, match=r"run\.json: is not the record of a run"):
        folder.check(restart=True)
    with pytest.raises(UsageError, match="is not the record"), folder.held(restart=True):
        pass
    assert file.read_text() == content


def test_a_record_that_a_killed_process_left_empty_is_anybodys(tmp_path: Path) -> None:
    (tmp_path / "run.json").touch()
    with WaveFolder(tmp_path, PLACE).held(restart=False):
        pass
    assert not (tmp_path / "run.json").exists()
