"""Lines as parquet, and back."""

from __future__ import annotations

import datetime
import json
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refinecli.data.parquet import ParquetLines, write_parquet
from refinecli.data.sources import Source
from refinecli.errors import OutputError, UsageError

pq = pytest.importorskip("pyarrow.parquet")
pa = pytest.importorskip("pyarrow")

NAMES = st.sampled_from(["a", "b", "refinement", "ü"])
HALF = "\ud800"  # a character that UTF-8 does not have
# Integers around the last that a float holds exactly, the last of 64 bits, and beyond.
INTEGERS = st.integers(-(2**70), 2**70) | st.sampled_from(
    [sign * (2**power + more) for sign in (-1, 1) for power in (53, 63) for more in (-1, 0, 1)]
)
TEXTS = st.text(max_size=3) | st.just(HALF)
VALUES = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXTS | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.just(HALF), inner, max_size=3)
    ),
    max_leaves=8,
)


def written(rows: list[Any], folder: Path) -> Path:
    lines, target = folder / "lines", folder / "out.parquet"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    write_parquet(lines, target)
    return target


def read(path: Path) -> list[Any]:
    return [json.loads(line) for _, line in Source(str(path)).read()]


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(one) for key, one in value.items() if one is not None}
    return [without_nulls(one) for one in value] if isinstance(value, list) else value


@given(st.lists(st.dictionaries(NAMES, VALUES, min_size=1, max_size=4), min_size=1, max_size=5))
@example([{"a": [2**53 + 1, 0.0]}])
@example([{"a": {"b": -(2**53) - 1}}, {"a": {"b": 0.5}}])
@example([{"a": 2**60}, {"a": 1}, {"a": 0.5}])
@example([{"a": {HALF: 1}}])
def test_rows_come_back_equal_but_for_nulls(rows: list[dict[str, Any]]) -> None:
    with TemporaryDirectory() as folder:
        back = read(written(rows, Path(folder)))
    assert without_nulls(back) == without_nulls(rows)


def test_columns_without_one_type_and_long_records_are_json_text(tmp_path: Path) -> None:
    rows = [
        {"id": 1, "n": 1, "refinement": {"a": []}, "tags": ["x"]},
        {"id": "two", "n": 0.5, "error": {"type": "timeout"}},
    ]
    schema = pq.read_schema(written(rows, tmp_path))
    types = {field.name: str(field.type) for field in schema}
    assert types["id"] == types["refinement"] == types["error"] == "string"
    assert (types["n"], types["tags"]) == ("double", "list<element: string>")
    assert read(tmp_path / "out.parquet") == rows


@pytest.mark.parametrize(
    ("integers", "with_a_fraction"),
    [
        ([2**53, -(2**53)], "double"),
        ([2**53 + 1], "string"),
        ([-(2**53) - 1], "string"),
        ([1, 2**63 - 1, -(2**63)], "string"),
    ],
)
def test_integers_stay_integers_and_meet_fractions_only_where_a_float_holds_them(
    integers: list[int], with_a_fraction: str, tmp_path: Path
) -> None:
    rows: list[Any] = [{"n": one, "in": [{"n": one}]} for one in integers]
    for more, kind in (([], "int64"), ([{"n": 0.5, "in": [{"n": 0.5}]}], with_a_fraction)):
        for both in (rows + more, more + rows):
            schema = pq.read_schema(written(both, tmp_path))
            inner = "string" if kind == "string" else f"list<element: struct<n: {kind}>>"
            assert [str(field.type) for field in schema] == [kind, inner]
            assert read(tmp_path / "out.parquet") == both


def test_integers_beyond_64_bits_are_json_text(tmp_path: Path) -> None:
    rows = [{"n": 2**63}, {"n": -(2**63) - 1}]
    assert str(pq.read_schema(written(rows, tmp_path)).field("n").type) == "string"
    assert read(tmp_path / "out.parquet") == rows


def test_a_name_that_no_column_can_have_is_reported(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot name a column 'a\\ud800'"):
        written([{f"a{HALF}": 1}], tmp_path)


def test_records_are_read_where_another_tool_lost_our_mark(tmp_path: Path) -> None:
    table = pa.table({"refinement": ['{"score": 1}', None], "error": [None, "just words"]})
    pq.write_table(table, tmp_path / "in.parquet")
    assert read(tmp_path / "in.parquet") == [{"refinement": {"score": 1}}, {"error": "just words"}]


def test_other_tools_types_become_json(tmp_path: Path) -> None:
    day = datetime.date(2026, 1, 2)
    table = pa.table({"day": [day], "price": [Decimal("1.5")], "deep": [[{"x": None, "y": 1}]]})
    pq.write_table(table, tmp_path / "in.parquet")
    (row,) = read(tmp_path / "in.parquet")
    assert row == {"day": "2026-01-02", "price": 1.5, "deep": [{"y": 1}]}


def test_spans_of_time_are_seconds_and_maps_are_pairs(tmp_path: Path) -> None:
    day = datetime.datetime(2026, 1, 2, 3, 4, 5, 6)
    pairs = pa.array([[("k", Decimal("1.5"))]], pa.map_(pa.string(), pa.decimal128(3, 1)))
    table = pa.table({"took": [datetime.timedelta(seconds=1.5)], "at": [day], "pairs": pairs})
    pq.write_table(table, tmp_path / "in.parquet")
    (row,) = read(tmp_path / "in.parquet")
    assert row == {"took": 1.5, "at": "2026-01-02T03:04:05.000006", "pairs": [["k", 1.5]]}


def test_what_json_cannot_say_and_what_is_damaged_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"picture": [b"\x00"]}), tmp_path / "bytes.parquet")
    (tmp_path / "half.parquet").write_bytes((tmp_path / "bytes.parquet").read_bytes()[:40])
    for name, said in (
        ("bytes", "bytes.parquet: the column picture: bytes"),
        ("half", "half.parquet: "),
    ):
        with pytest.raises(UsageError, match=said):
            read(tmp_path / f"{name}.parquet")


def test_row_groups_are_read_one_at_a_time(tmp_path: Path) -> None:
    table = pa.table({"n": list(range(3000))})
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=100)
    with ParquetLines(tmp_path / "in.parquet", "in.parquet") as lines:
        assert json.loads(lines.readline()) == {"n": 0}
    assert [row["n"] for row in read(tmp_path / "in.parquet")] == list(range(3000))


def save_as_datasets_does(table: Any, folder: Path) -> None:
    """What `Dataset.save_to_disk` leaves: Arrow streams, and a list of them."""
    folder.mkdir(parents=True)
    path = str(folder / "data-00000-of-00001.arrow")
    with pa.OSFile(path, "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
        stream.write_table(table)
    state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text("{}")


def test_a_saved_data_set_is_read_and_one_of_several_splits_is_to_be_named(tmp_path: Path) -> None:
    table = pa.table({"prompt": ["one", "two"], "response": [None, "yes"]})
    save_as_datasets_does(table, tmp_path / "all" / "train")
    (tmp_path / "all" / "dataset_dict.json").write_text('{"splits": ["train"]}')
    rows = [{"prompt": "one"}, {"prompt": "two", "response": "yes"}]
    assert read(tmp_path / "all" / "train") == rows
    with pytest.raises(UsageError, match="holds several splits: train"):
        Source(str(tmp_path / "all"))
