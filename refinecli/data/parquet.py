"""Read parquet files and Hugging Face data sets as lines of JSON, and turn lines into parquet.

Nested columns come as they are, and nulls as absent. `refinement`, `grading`, `error` and columns
whose values have no type in common are written as JSON text, which is marked, and read back as what
it says.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from refinecli.data.column_types import ColumnType, has_utf8
from refinecli.errors import OutputError, UsageError
from refinecli.text.json_text import dumps, loads

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS_READ = 256  # at once
_ROWS_WRITTEN = 4096  # of a row group, which is what is held in memory
_AS_JSON = ("refinement", "grading", "error")
_MARK = {b"refinecli": b"json"}
# A directory that `datasets` has saved, by a file in it; of several splits, by another.
_SAVED, _SPLITS = "state.json", "dataset_dict.json"


def is_saved_dataset(path: Path) -> bool:
    """Return whether it is a directory of Hugging Face's `datasets`; raise UsageError for one that
    holds several splits."""
    if (path / _SPLITS).is_file():
        splits = sorted(one.name for one in path.iterdir() if (one / _SAVED).is_file())
        raise UsageError(
            f"{path}: holds several splits: {', '.join(splits)}",
            f"name one: {path / splits[0]}" if splits else "name one of them",
        )
    return (path / _SAVED).is_file()


class ParquetLines:
    """A parquet file, or a directory of `datasets`, as a file of lines; a row group at a time."""

    def __init__(self, file: Path | BinaryIO, name: str) -> None:
        _need_pyarrow(name)
        self._file = file
        self._name = name
        self._lines = self._all()

    def readline(self, limit: int = -1) -> bytes:
        """Return the next line, whole: `limit` is for files that may have no end of line."""
        return next(self._lines, b"")

    def read(self, size: int) -> bytes:
        """Return the beginning of the next line, to be looked at."""
        return self.readline()[:size]

    def __enter__(self) -> ParquetLines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines.close()

    def _all(self) -> Generator[bytes, None, None]:
        import pyarrow as pa

        try:
            for batch in _batches(self._file):
                columns = map(self._column, batch.schema, batch.columns)
                names = batch.schema.names
                for values in zip(*columns, strict=True):
                    row = {
                        name: value
                        for name, value in zip(names, values, strict=True)
                        if value is not None
                    }
                    yield dumps(row) + b"\n"
        except (pa.ArrowException, OSError) as error:
            raise UsageError(
                f"{self._name}: {_words(error)}", "check that the file is complete"
            ) from None

    def _column(self, field: pa.Field, column: pa.Array) -> list[Any]:
        """Return the values of a column as JSON has them; raise UsageError where it has no form for
        them, such as bytes or nanoseconds."""
        read = _reader(field)
        try:
            return [None if value is None else read(value) for value in column.to_pylist()]
        except ValueError as error:
            raise UsageError(
                f"{self._name}: the column {field.name}: {_words(error)}", "leave the column out"
            ) from None


def _batches(file: Path | BinaryIO) -> Iterator[pa.RecordBatch]:
    if isinstance(file, Path) and file.is_dir():
        import pyarrow as pa

        state = loads((file / _SAVED).read_bytes())
        for entry in state["_data_files"]:
            with pa.memory_map(str(file / entry["filename"])) as part:
                yield from pa.ipc.open_stream(part)
        return
    from pyarrow.parquet import ParquetFile

    with ParquetFile(file) as parquet:
        yield from parquet.iter_batches(batch_size=_ROWS_READ)


def _reader(field: pa.Field) -> Callable[[Any], Any]:
    """Return what makes a value of the column one of JSON."""
    if (field.metadata or {}).get(b"refinecli") == b"json":
        return lambda text: loads(text.encode())
    if field.name in _AS_JSON:  # the mark goes where another tool has written the file again
        return _json_if_it_is
    return _value


def _json_if_it_is(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return loads(value.encode())
        except ValueError:
            return value
    return _value(value)


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _value(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):  # the pairs of a map are tuples
        return [_value(one) for one in value]
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):  # of pandas, where that is installed
        return value.isoformat()
    if isinstance(value, bytes):
        raise ValueError("bytes have no form in JSON")
    return value


# ------------------------------------------------------------------ writing


def check_can_write(name: str) -> None:
    """Raise UsageError where parquet cannot be written."""
    _need_pyarrow(name)


def write_parquet(lines: Path, target: Path) -> None:
    """Turn a file of lines into a parquet file, in two passes: the first finds the columns' types.

    A file without lines has no columns. Raise OutputError for a name that no column can have.
    """
    from pyarrow.parquet import ParquetWriter

    types: dict[str, ColumnType] = {}
    for row in _rows(lines):
        for name, value in row.items():
            if not has_utf8(name):
                raise OutputError(
                    f"parquet cannot name a column {name[:40]!a}: half a character stands alone",
                    "name an output that ends in .jsonl",
                )
            column = types.setdefault(name, ColumnType())
            if name not in _AS_JSON:
                column.add(value)
    as_json = {name for name, one in types.items() if name in _AS_JSON or not one.is_one}
    schema = _schema(types, as_json)
    rows = _rows(lines)
    with ParquetWriter(target, schema, compression="zstd") as writer:
        while group := list(islice(rows, _ROWS_WRITTEN)):
            writer.write_table(_table(group, schema, as_json))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for line in file:
            yield loads(line)  # an object, as all of our lines


def _table(rows: list[dict[str, Any]], schema: pa.Schema, as_json: set[str]) -> pa.Table:
    import pyarrow as pa

    for row in rows:
        row.update({name: dumps(row[name]).decode() for name in as_json & row.keys()})
    return pa.Table.from_pylist(rows, schema=schema)


def _schema(types: Mapping[str, ColumnType], as_json: set[str]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            pa.field(name, pa.string(), metadata=_MARK)
            if name in as_json
            else pa.field(name, _arrow(one))
            for name, one in types.items()
        ]
    )


def _arrow(one: ColumnType) -> pa.DataType:
    import pyarrow as pa

    if one.kind == "list":
        return pa.list_(_arrow(one.element) if one.element else pa.null())
    if one.kind == "object":
        return pa.struct([pa.field(name, _arrow(inner)) for name, inner in one.fields.items()])
    plain = {
        "bool": pa.bool_(),
        "int": pa.int64(),
        "long": pa.int64(),
        "float": pa.float64(),
        "text": pa.string(),
    }
    return plain.get(one.kind, pa.null())


def _need_pyarrow(name: str) -> None:
    if find_spec("pyarrow") is None:
        raise UsageError(
            f"{name}: parquet needs pyarrow",
            "run pip install 'refinecli[parquet]', or '.[parquet]' in a checkout",
        )


def _words(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
