"""Converting models: what is meant and what is refused; where a directory's metadata come from."""

from __future__ import annotations

from pathlib import Path

import pytest

from refinecli.errors import UsageError
from refinecli.models.local.server import file_digest, find_weights, fingerprint
from refinecli.training import convert
from refinecli.training.convert import NOTE, check_target, copy_note, find_like, planned


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert, "check_installed", lambda: None)


def gguf(path: Path, text: str = "weights") -> Path:
    path.write_bytes(b"GGUF" + text.encode())
    return path


def directory(path: Path, file: str = "config.json") -> Path:
    path.mkdir()
    (path / file).write_text("{}")
    return path


def test_a_gguf_file_becomes_a_directory_and_a_directory_a_gguf_file(tmp_path: Path) -> None:
    file, folder = gguf(tmp_path / "a.gguf"), directory(tmp_path / "hf")
    there = planned(str(file), tmp_path / "new")
    assert (there.source, there.target, there.like) == (file, tmp_path / "new", None)
    back = planned(str(folder), tmp_path / "b.gguf", str(file))
    assert (back.source, back.like) == (folder, file)
    adapter = directory(tmp_path / "lora", "adapter_config.json")
    assert planned(str(adapter), tmp_path / "merged").like is None


def test_what_cannot_be_meant_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    file, folder = gguf(tmp_path / "a.gguf"), directory(tmp_path / "hf")
    (tmp_path / "empty").mkdir()
    for model, target, like, words in (
        (file, "b.gguf", None, "is not a directory"),
        (file, "new", "local", "is not a directory"),
        (tmp_path / "empty", "b.gguf", None, r"has no config\.json"),
        (folder, "new", None, r"does not end in \.gguf"),
        (folder, "nowhere/b.gguf", str(file), "is not a folder"),
        (folder, "a.gguf", str(file), "exists"),
        (folder, "b.gguf", None, "has no note"),
    ):
        with pytest.raises(UsageError, match=words):
            planned(str(model), tmp_path / target, like)


def test_force_replaces_a_model_and_nothing_of_the_users(tmp_path: Path) -> None:
    file, folder = gguf(tmp_path / "a.gguf"), directory(tmp_path / "hf")
    assert planned(str(folder), file, str(file), force=True).target == file
    with pytest.raises(UsageError, match="was not made here"):
        planned(str(file), folder, force=True)
    assert planned(str(file), directory(tmp_path / "ours", NOTE), force=True)


def test_the_way_back_finds_the_file_that_a_directory_was_made_of(tmp_path: Path) -> None:
    file, folder = gguf(tmp_path / "a.gguf"), directory(tmp_path / "hf")
    convert._write_note(folder, str(file), file)
    trained = directory(tmp_path / "trained")
    copy_note(folder, trained)
    assert find_like(trained) == file
    gguf(file, "other weights")
    with pytest.raises(UsageError, match="is not the file that"):
        find_like(trained)
    file.unlink()
    with pytest.raises(UsageError, match="is gone") as refused:
        find_like(trained)
    assert "like=FILE.gguf" in refused.value.hint


def test_two_models_that_differ_only_in_between_the_ends_are_told_apart(tmp_path: Path) -> None:
    ends, middle = b"GGUF" + bytes(2 << 20), bytes(1 << 20)
    (tmp_path / "one.gguf").write_bytes(ends + middle + ends)
    (tmp_path / "two.gguf").write_bytes(ends + b"\x01" + middle[1:] + ends)
    one, two = (fingerprint("a path", tmp_path / name) for name in ("one.gguf", "two.gguf"))
    assert one != two


def test_a_file_that_is_written_anew_has_another_digest(tmp_path: Path) -> None:
    file = gguf(tmp_path / "model.gguf", "first")
    before = file_digest(file)
    gguf(file, "second")
    assert file_digest(file) != before


def test_without_the_extra_the_error_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from refinecli.training import environment

    monkeypatch.setattr(environment, "find_spec", lambda name: None if name == "torch" else name)
    with pytest.raises(UsageError, match="converting models needs torch") as missing:
        environment.check_installed()
    assert "pip install 'refinecli[train]'" in missing.value.hint


def test_the_released_weights_keep_their_name_in_call_caches() -> None:
    try:
        weights = find_weights("local", to_run=False)
    except UsageError:
        pytest.skip("needs the weights of the embedded model")
    assert fingerprint("local", weights) == "7f6c99799b58a7eb1a1005d00e877af3"


def test_a_model_is_not_written_to_a_url() -> None:
    with pytest.raises(UsageError, match="is written on this machine"):
        check_target(Path("s3://bucket/model"), force=False)
