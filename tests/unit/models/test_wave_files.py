"""The results of a wave, as the tools that make them write them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from refinecli.errors import WaveError
from refinecli.models.batch.wave_files import Answered, custom_id

KEYS = [bytes([number] * 16) for number in range(3)]


def line(key: bytes, content: str) -> str:
    message = {"role": "assistant", "content": content}
    body = {"choices": [{"message": message, "logprobs": 0.5}]}
    response = {"status_code": 200, "body": body}
    return json.dumps({"custom_id": custom_id(1, 1, key), "response": response})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    asked = "".join(json.dumps({"custom_id": custom_id(1, 1, key)}) + "\n" for key in KEYS)
    (tmp_path / "wave-001.jsonl").write_text(asked)
    return tmp_path


def contents(folder: Path) -> list[str]:
    answered = Answered(folder, 1)
    found = []
    for key in KEYS:
        result = answered.result(key)
        assert result is not None
        found.append(json.loads(result.body)["choices"][0]["message"]["content"])
    answered.close()
    return found


def test_results_are_read_as_live_replies_are(folder: Path) -> None:
    lines = [
        line(key, text) for key, text in zip(KEYS, ("one", "two \ud83d", "three"), strict=True)
    ]
    text = "\r\n".join(["\ufeff" + lines[0], lines[1], lines[2].replace("0.5", "NaN")])
    (folder / "results.jsonl").write_bytes(text.encode())
    assert contents(folder) == ["one", "two \ufffd", "three"]


@pytest.mark.parametrize("place", range(3))
def test_half_a_result_is_waited_for_wherever_it_is(folder: Path, place: int) -> None:
    lines = [line(key, "text") for key in KEYS]
    lines[place] = lines[place][:-30]
    (folder / "results.jsonl").write_text("\n".join(lines))
    with pytest.raises(WaveError, match=rf"results.jsonl:{place + 1}: is half a line"):
        Answered(folder, 1)
