"""Files that are not JSON Lines: named once, and never taken for what they are not."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from refinecli.data.sources import Source
from refinecli.data.wrong_kinds import wrong_kind
from refinecli.errors import UsageError
from tests.conftest import datapoint

ROW = json.dumps(datapoint()).encode() + b"\n"

# What a file holds, and a word of what it is called. To cover another kind, add a line.
KINDS = [
    (b"id,prompt\n1,Hi\n2,Bye\n", "a table such as CSV"),
    (b"id\tprompt\n1\tHi\n2\tBye\n", "a table such as CSV"),
    (b'a;b\n1;"x;y"\n2;z\n', "a table such as CSV"),
    (ROW.decode().encode("utf-16"), "UTF-16"),
    (ROW.decode().encode("utf-16-le"), "UTF-16"),
    (ROW.decode().encode("utf-16-be"), "UTF-16"),
    (ROW.decode().encode("utf-32"), "UTF-32"),
    (json.dumps([datapoint()]).encode(), "a JSON array"),
    (json.dumps([datapoint()], indent=2).encode(), "a JSON array"),
    (b"\xef\xbb\xbf[1]\n", "a JSON array"),
    (json.dumps(datapoint(), indent=2).encode(), "JSON over several lines"),
    (gzip.compress(ROW), "compressed with gzip"),
    (lzma.compress(ROW), "compressed with xz"),
    (bz2.compress(ROW), "compressed with bzip2"),
    (b"PK\x03\x04 and the rest", "a zip archive"),
    (b"PAR1 and the rest", "a parquet file"),
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a Git LFS pointer"),
    (b"SQLite format 3\x00", "a call cache"),
    (b"<!DOCTYPE html>\n<html>", "a web page"),
    (b"\n\n<!doctype HTML>", "a web page"),
    (b'<?xml version="1.0"?>', "XML"),
    (b"\xef\xbb\xbfversion https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    (b"/annex/objects/SHA256E-s1--0.jsonl\n", "a git-annex pointer"),
    (b"%PDF-1.7\n1 0 obj\n", "a PDF"),
    (b"---\n- prompt: Hi\n", "YAML"),
    (b"- prompt: Hi\n  id: 1\n", "YAML"),
    (b'[[rubric_items]]\nrubric_str = "Is it?"\n', "TOML"),
    (b'[policy]\nmodel = "m"\n', "TOML"),
    (b"data: " + ROW, "an event stream"),
    (b"\x1e" + ROW + b"\x1e" + ROW, "a JSON text sequence"),
    (ROW.strip() + b"\r" + ROW.strip() + b"\r", "carriage returns"),
    (ROW[:-2] + b'\n, "id": 1}\n'.replace(b", ", b""), "JSON over several lines"),
    (ROW[:-2] + b"\n}\n", "JSON over several lines"),
    (b"\x7fELF\x02\x01", "binary data"),
    (b"\x93NUMPY\x01\x00", "binary data"),
    (b"\x80\x04\x95\x00", "binary data"),
    (bytes(1000), "binary data"),
]


@pytest.mark.parametrize(("content", "name"), KINDS, ids=[name for _, name in KINDS])
def test_each_kind_is_named_once_with_a_way_out(tmp_path: Path, content: bytes, name: str) -> None:
    file = tmp_path / "in.jsonl"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=name) as caught:
        list(Source(str(file)).read())
    assert caught.value.message.startswith(f"{file}: is ")
    assert caught.value.hint


def test_a_table_within_a_compressed_file_is_named_too(tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl.gz"
    file.write_bytes(gzip.compress(b"id,prompt\n1,Hi\n2,Bye\n"))
    with pytest.raises(UsageError, match="a table such as CSV"):
        list(Source(str(file)).read())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n\n",
        ROW,
        b"\xef\xbb\xbf" + ROW,
        b"\n" + ROW,
        b"{" + ROW,  # one bad line is one bad line
        b"Hello, world\n" + ROW,
        b"a,b\n",  # too little to tell
        b"not json\n",
        b"-1\n",
        ROW.strip() + b"\r\n" + ROW,
        b"\xff\n" + ROW,
        ROW + b'"a text"\n',
        b'{"convo": "\n' + ROW,
        b"{\n" + ROW,
    ],
)
def test_files_of_lines_with_some_bad_ones_are_not_of_a_wrong_kind(content: bytes) -> None:
    assert wrong_kind(content) is None


def test_importers_read_arrays_and_json_over_several_lines() -> None:
    for indent in (None, 2):
        head = json.dumps([{"a": 1}], indent=indent).encode()
        assert wrong_kind(head, documents=True) is None
    assert wrong_kind(gzip.compress(ROW), documents=True) is not None


@given(
    st.lists(st.dictionaries(st.text(), st.text() | st.integers()), min_size=1, max_size=5),
    st.integers(min_value=0),
)
def test_no_json_lines_are_of_a_wrong_kind_wherever_the_head_ends(
    rows: list[dict[str, object]], end: int
) -> None:
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    assert wrong_kind(content) is None
    assert wrong_kind(content[: end % (len(content) + 1)]) is None
