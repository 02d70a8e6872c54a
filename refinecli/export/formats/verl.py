"""verl's parquet files for RL: the prompt, and for a reward function the rubric as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from refinecli.errors import UsageError
from refinecli.export.formats.lines import plain
from refinecli.export.selection import Example
from refinecli.text.json_text import dumps
from refinecli.types import JSONObject

if TYPE_CHECKING:
    import pyarrow as pa

_SOURCE = "refinecli"  # by which verl's own reward manager would choose a function
_ROWS = 4096  # of a row group, which is what is held in memory


class Verl:
    """Columns have one type in all rows, so what varies from row to row is JSON."""

    suffix = "parquet"

    def __init__(self, kind: str) -> None:
        if find_spec("pyarrow") is None:
            raise UsageError(
                "verl's files are parquet, which needs pyarrow",
                "run pip install 'refinecli[parquet]', or '.[parquet]' in a checkout",
            )
        self._index = 0

    def problem(self, example: Example) -> str:
        messages = plain(example.prompt)
        if messages is None:
            return "attachments"
        if any(message.keys() - _KEYS for message in messages):
            return "tools"
        return ""

    def line(self, example: Example) -> JSONObject:
        task = example.task or {}
        self._index += 1
        return {
            "data_source": _SOURCE,
            "prompt": plain(example.prompt),
            "ability": "rubric",
            "reward_model": {"style": "rule", "ground_truth": task["reference"]},
            "extra_info": {
                "index": self._index - 1,
                "id": task["id"],
                "convo": dumps(example.prompt).decode(),
                "rubric_items": task["rubric_items"],
                "reference": task["reference"],
            },
        }

    def writer(self, path: Path) -> _Parquet:
        return _Parquet(path)

    def more_files(self) -> Mapping[str, bytes]:
        return {}


_KEYS = {"role", "content"}


def _schema() -> pa.Schema:
    import pyarrow as pa

    text = pa.string()
    message = pa.struct([("role", text), ("content", text)])
    info = [("index", pa.int64())]
    info += [(name, text) for name in ("id", "convo", "rubric_items", "reference")]
    return pa.schema(
        [
            ("data_source", text),
            ("prompt", pa.list_(message)),
            ("ability", text),
            ("reward_model", pa.struct([("style", text), ("ground_truth", text)])),
            ("extra_info", pa.struct(info)),
        ]
    )


class _Parquet:
    """A parquet file, written a row group at a time."""

    def __init__(self, path: Path) -> None:
        from pyarrow.parquet import ParquetWriter

        self._schema = _schema()
        self._writer = ParquetWriter(path, self._schema)
        self._waiting: list[JSONObject] = []

    def write(self, line: JSONObject) -> None:
        self._waiting.append(line)
        if len(self._waiting) >= _ROWS:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_pylist(self._waiting, schema=self._schema))
        self._waiting = []

    def close(self) -> None:
        if self._waiting:
            self._flush()
        self._writer.close()


make = Verl
