"""URLs of data: known by their scheme, shown without credentials."""

from __future__ import annotations

import pytest

from refinecli.text.urls import clean_of_credentials, is_url, was_url, without_credentials


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://me:secret@h:8443/a/in.jsonl", "https://h:8443/a/in.jsonl"),
        ("https://token@h/in.jsonl?X-Amz-Signature=1#part", "https://h/in.jsonl"),
        ("s3://b/a#1.jsonl", "s3://b/a#1.jsonl"),
        ("s3://KEY:SECRET@b/k", "s3://b/k"),
        ("s3://b/k?versionId=1", "s3://b/k"),
        ("az://container@account/k", "az://container@account/k"),
        ("hf://datasets/o/n@main/f.parquet", "hf://datasets/o/n@main/f.parquet"),
    ],
)
def test_a_url_is_shown_without_what_may_be_a_credential(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
    assert clean_of_credentials(f"of '{url}', it says") == f"of '{shown}', it says"


def test_a_path_is_not_a_url() -> None:
    assert [is_url(name) for name in ("s3://b/k", "a/b", "C:/a", "-")] == [
        True,
        False,
        False,
        False,
    ]
    assert was_url("s3:/b/k")
    assert not was_url("/s3/b:/k")
