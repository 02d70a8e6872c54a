"""`refinecli generate-data` at the command line; what the tasks make is in test_generators.py."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from refinecli.cli.complaints import as_flags
from refinecli.generators import TASKS
from refinecli.generators.criteria import with_rubric
from tests.conftest import Result, read_jsonl, write_jsonl
from tests.unit.generators.test_generators import (
    CHAT,
    as_datapoint,
)

Cli = Callable[..., Result]


def test_help_lists_the_tasks(cli: Cli) -> None:
    result = cli("generate-data", "--help")
    assert result.returncode == 0
    for task in TASKS.values():
        assert task.name in result.stdout
        assert " ".join(as_flags(task.summary).split()) in " ".join(result.stdout.split())


def test_an_unknown_task_is_answered_with_the_known_ones(cli: Cli) -> None:
    result = cli("generate-data", "subtraction")
    assert (result.returncode, result.stdout) == (2, "")
    assert "subtraction" in result.stderr
    assert "addition, keywords, prometheus, biggen" in result.stderr


def test_without_n_there_are_a_hundred_rows_of_seed_42(cli: Cli) -> None:
    rows = read_jsonl(cli("generate-data", "addition").stdout)
    assert len(rows) == 100
    assert rows == read_jsonl(cli("generate-data", "addition", "-n", "100", "--seed", "42").stdout)
    assert rows != read_jsonl(cli("generate-data", "addition", "--seed", "43").stdout)


def test_train_and_test_are_two_files_with_tinkers_names_and_sums(cli: Cli, tmp_path: Path) -> None:
    result = cli("generate-data", "addition", "--train", "20", "--test", "5", "--out-dir", "a/b")
    assert (result.returncode, result.stdout) == (0, ""), result.stderr
    folder = tmp_path / "a" / "b"
    names = ["example_rubric_test.jsonl", "example_rubric_train.jsonl"]
    assert sorted(path.name for path in folder.iterdir()) == names
    test, train = (read_jsonl(folder / name) for name in names)
    rng = random.Random(42)
    sums = [(rng.randint(0, 1000), rng.randint(0, 1000)) for _ in range(25)]
    asked = [row["convo"][-1]["content"] for row in train + test]
    assert asked == [f"What is {x} + {y}?" for x, y in sums]
    assert (len(train), len(test)) == (20, 5)


def test_two_files_appear_together_or_not_at_all(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "example_rubric_test.jsonl").write_text("precious\n")
    args = ["addition", "--train", "2", "--test", "2"]
    result = cli("generate-data", *args)
    assert result.returncode == 2
    assert "example_rubric_test.jsonl: exists already" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["example_rubric_test.jsonl"]
    assert cli("generate-data", *args, "--force").returncode == 0
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    "args",
    [
        ["addition", "--train", "1", "-o", "x"],
        ["addition", "--train", "1", "-n", "1"],
        ["addition", "--out-dir", "x"],
        ["addition", "--with-response"],
        ["addition", "--from", "x.jsonl"],
        ["prometheus"],
        ["prometheus", "--from", "missing.jsonl"],
        ["addition", "-n", "-1"],
        ["keywords", "--keep-going"],
        ["addition", "-o", "no/such/folder/x.jsonl"],
    ],
    ids=" ".join,
)
def test_flags_that_do_not_go_together_are_refused(
    cli: Cli, tmp_path: Path, args: list[str]
) -> None:
    result = cli("generate-data", *args)
    assert (result.returncode, result.stdout) == (2, ""), result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_bad_row_of_an_imported_file_leaves_no_file_behind(cli: Cli, tmp_path: Path) -> None:
    rows = [{"concepts": ["dog"]}, {"concepts": 3}]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = cli("generate-data", "keywords", "--from", "in.jsonl", "-o", "out.jsonl")
    assert result.returncode == 2
    assert "in.jsonl:2: concepts" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_with_keep_going_a_bad_row_of_an_imported_file_is_an_error_record(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text('{"concepts": ["dog"]}\n{"concepts": 3}\nno JSON\n')
    run = ["generate-data", "keywords", "--from", "in.jsonl", "--keep-going"]
    result = cli(*run, "-o", "out.jsonl")
    assert result.returncode == 3
    assert "2 of 3 lines cannot be used" in result.stderr
    dog, bad, worse = read_jsonl(tmp_path / "out.jsonl")
    assert "dog" in dog["convo"][0]["content"]
    assert bad["error"] == {
        "type": "input",
        "line": 2,
        "message": "concepts: expected a list of words",
        "stage": "input",
    }
    assert (bad["raw"], worse["raw"]) == ('{"concepts": 3}', "no JSON")
    (tmp_path / "r.json").write_text('[{"rubric_str": "Is it kind?"}]')
    allowed = cli(*run, "--max-errors", "2", "--rubric", "r.json", "-n", "2")
    assert allowed.returncode == 0, allowed.stderr
    assert read_jsonl(allowed.stdout)[1] == bad


def test_an_imported_file_may_come_from_standard_input(cli: Cli) -> None:
    result = cli("generate-data", "keywords", "--from", "-", stdin='{"concepts": ["dog"]}\n')
    assert result.returncode == 0, result.stderr
    assert "dog" in read_jsonl(result.stdout)[0]["convo"][0]["content"]


def test_n_0_makes_no_rows(cli: Cli) -> None:
    result = cli("generate-data", "addition", "-n", "0")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


ASKED = CHAT["messages"]
ANSWERED = {"messages": [*ASKED, {"role": "assistant", "content": "Jane Austen."}]}
SHAREGPT = {
    "id": "s-1",
    "conversations": [
        {"from": "system", "value": "You are a librarian."},
        {"from": "human", "value": "Who wrote Emma?"},
        {"from": "gpt", "value": "Jane Austen."},
    ],
}


def test_rubric_items_are_added_to_every_datapoint_of_any_task(cli: Cli, tmp_path: Path) -> None:
    rubric = tmp_path / "rubric.toml"
    rubric.write_text('[[rubric_items]]\nrubric_str = "Is it polite?"\nname = "polite"\n')
    write_jsonl(tmp_path / "chats.jsonl", [ANSWERED, SHAREGPT])
    made = cli("generate-data", "chat", "--from", "chats.jsonl", "--rubric", "rubric.toml")
    assert made.returncode == 0, made.stderr
    rows = read_jsonl(made.stdout)
    names = [[item.name for item in as_datapoint(row).rubric_items] for row in rows]
    assert names == [["polite"], ["polite"]]
    made = cli("generate-data", "addition", "-n", "1", "--rubric", "rubric.toml")
    (row,) = read_jsonl(made.stdout)
    assert [item.name for item in as_datapoint(row).rubric_items] == ["item-0", "polite"]


def test_rubric_items_may_come_later_and_make_the_same_datapoint(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "rubric.json").write_text('[{"rubric_str": "Is it polite?"}]')
    write_jsonl(tmp_path / "chats.jsonl", [ANSWERED])
    args = ["generate-data", "chat", "--from", "chats.jsonl", "--with-response"]
    (row,) = read_jsonl(cli(*args).stdout)
    assert row == {"convo": ASKED, "response": "Jane Austen."}
    (row_here,) = read_jsonl(cli(*args, "--rubric", "rubric.json").stdout)
    assert row_here == next(with_rubric([row], [{"rubric_str": "Is it polite?"}], pytest.fail))


def test_a_rubric_that_cannot_grade_alone_is_told_at_the_first_datapoint(
    cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "rubric.json").write_text('[{"rubric_str": "Is it rude?", "weight": -1}]')
    write_jsonl(tmp_path / "chats.jsonl", [ANSWERED])
    result = cli("generate-data", "chat", "--from", "chats.jsonl", "--rubric", "rubric.json")
    assert (result.returncode, result.stdout) == (2, "")
    assert "datapoint 1 with --rubric: rubric_items: no item has a positive weight" in result.stderr


def test_a_rubric_file_that_is_not_there_is_a_usage_error(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "chats.jsonl", [ANSWERED])
    result = cli("generate-data", "chat", "--from", "chats.jsonl", "--rubric", "none.toml")
    assert (result.returncode, result.stdout) == (2, "")
    assert "--rubric none.toml" in result.stderr


def test_a_chat_that_cannot_be_read_is_told_with_file_line_and_field(
    cli: Cli, tmp_path: Path
) -> None:
    write_jsonl(tmp_path / "chats.jsonl", [ANSWERED, {"messages": [{"role": "user"}]}])
    result = cli("generate-data", "chat", "--from", "chats.jsonl", "-o", "out.jsonl")
    assert result.returncode == 2
    assert "chats.jsonl:2: messages[0].content: field required" in result.stderr
    assert not (tmp_path / "out.jsonl").exists()


def test_listing_the_tasks_imports_none_of_them() -> None:
    program = (
        "import sys\n"
        "from refinecli.generators import TASKS\n"
        "assert all(task.summary for task in TASKS.values())\n"
        "print(*[name for name in sys.modules if name.startswith('refinecli.generators.')])\n"
        "print(*[name for name in ('pydantic', 'orjson') if name in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.stdout.split(), run.stderr) == ([], "")


def test_standard_input_can_be_imported() -> None:
    program = (
        "from refinecli.generators.reading import read_entries\n"
        "print([(entry.where, entry.object()) for entry in read_entries('-')])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], input='{"n": 1}\n', capture_output=True, text=True
    )
    assert (run.stdout, run.stderr) == ("[('<stdin>:1', {'n': 1})]\n", "")
