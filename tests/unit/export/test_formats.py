"""The formats, each held against the rules that its reader documents."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from refinecli.errors import UsageError
from refinecli.export.formats import FORMATS, format_for
from refinecli.export.kinds import KINDS
from tests.support.exports import Exported, exported
from tests.support.report_files import row

TOOL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": [{"type": "text", "text": "Bye"}, {"type": "text", "text": "?"}]},
]
TOOLS = [
    {"role": "user", "content": "Hi", "name": "Ann"},
    {"role": "assistant", "content": None, "tool_calls": [TOOL]},
    {"role": "tool", "content": "1", "tool_call_id": "c"},
]
IMAGE = [
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a/b.png"}}]}
]
TWICE = [{"role": "user", "content": "One."}, {"role": "user", "content": "Two."}]


def run(*convos: Any) -> list[dict[str, Any]]:
    """Rows with a good and a bad response to each conversation, and the feedback between them."""
    rows = [
        row(n, [0.0, 1.0], texts=(f"bad {n}", f"good {n}")) | ({"convo": convo} if convo else {})
        for n, convo in enumerate(convos)
    ]
    for made in rows:
        made["refinement"]["iterations"][0]["feedback"] = "Do better."
    return rows


def keys(value: Any) -> Any:
    """The keys and types of a JSON value; of a list, those that all its members have."""
    if isinstance(value, dict):
        return {key: keys(entry) for key, entry in value.items()}
    if isinstance(value, list):
        kinds = [keys(entry) for entry in value]
        assert all(kind == kinds[0] for kind in kinds), value
        return kinds[:1]
    return type(value).__name__


@pytest.mark.parametrize("kind", FORMATS["trl"])
def test_trl_every_row_has_the_same_columns_and_types(tmp_path: Path, kind: str) -> None:
    made = exported(tmp_path, kind, run(CHAT, None, TWICE))
    shapes = [keys(row) for row in made.rows]
    assert len(shapes) > 2
    assert all(shape == shapes[0] for shape in shapes)
    columns = {
        "dpo": {"prompt", "chosen", "rejected"},
        "reward": {"prompt", "chosen", "rejected", "margin"},
        "kto": {"prompt", "completion", "label"},
        "prompts": {"prompt", "id", "rubric_items"},
    }
    assert shapes[0].keys() == columns.get(kind, {"prompt", "completion"})
    for name in {"chosen", "rejected", "completion"} & shapes[0].keys():
        assert all([m["role"] for m in row[name]] == ["assistant"] for row in made.rows)


def test_trl_messages_have_the_keys_of_all_messages_where_some_have_more(tmp_path: Path) -> None:
    made = exported(tmp_path, "sft", run(CHAT, TOOLS))
    wanted = {"role", "content", "name", "tool_calls", "tool_call_id"}
    assert all(message.keys() == wanted for row in made.rows for message in row["prompt"])
    assert made.rows[0]["prompt"][-1]["content"] == "Bye\n?"
    assert made.rows[1]["prompt"][1]["tool_calls"] == [TOOL]


def test_trl_prompts_hold_what_a_reward_needs(tmp_path: Path) -> None:
    rows = [row(1, [1.0]), row(2, [0.0], reference="Seven."), row(2, [1.0], reference="Seven.")]
    rows[1]["id"] = 17
    made = exported(tmp_path, "prompts", rows)
    assert [(row["id"], row["reference"]) for row in made.rows] == [("dp-1", ""), ("17", "Seven.")]
    items = json.loads(made.rows[0]["rubric_items"])
    assert items[0]["rubric_str"] == "Is it good in way 0?"
    assert {"extraction_regex", "grader_output_format_instruction"} <= items[0].keys()
    assert made.dropped == {"duplicate": 1}


def test_prompts_may_come_from_a_file_that_nobody_has_answered(tmp_path: Path) -> None:
    plain = [{"convo": "Hi?", "rubric_items": [{"rubric_str": "Is it kind?"}]}]
    made = exported(tmp_path, "prompts", plain)
    assert made.rows[0]["prompt"] == [{"role": "user", "content": "Hi?"}]


# ------------------------------------------------------------------ others


def test_openai_supervised_rows_are_messages_that_end_with_the_assistant(tmp_path: Path) -> None:
    made = exported(tmp_path, "sft", run(CHAT, TOOLS, IMAGE), form="openai")
    for convo, line in zip((CHAT, TOOLS, IMAGE), made.rows, strict=True):
        assert line.keys() == {"messages"}
        assert line["messages"][:-1] == convo
        assert line["messages"][-1]["role"] == "assistant"


def test_openai_preferences_have_an_input_and_one_message_on_each_side(tmp_path: Path) -> None:
    (line,) = exported(tmp_path, "dpo", run(CHAT), form="openai").rows
    assert line == {
        "input": {"messages": CHAT, "tools": [], "parallel_tool_calls": True},
        "preferred_output": [{"role": "assistant", "content": "good 0"}],
        "non_preferred_output": [{"role": "assistant", "content": "bad 0"}],
    }


def emptied(line: dict[str, Any], about: dict[str, Any]) -> bool:
    """Whether LLaMA-Factory 0.9.5 would empty a row of this `dataset_info.json`."""
    messages = list(line[about["columns"]["messages"]])
    if messages and messages[0]["role"] == "system":
        messages.pop(0)
    turns = [message["role"] for message in messages]
    alternate = all(role == ("user", "assistant")[at % 2] for at, role in enumerate(turns))
    return not alternate or len(turns) % 2 != bool(about.get("ranking"))


@pytest.mark.parametrize("kind", FORMATS["llamafactory"])
def test_llamafactory_gets_nothing_that_it_would_empty(tmp_path: Path, kind: str) -> None:
    convos: Sequence[Any] = (CHAT, None, TWICE, TOOLS, IMAGE)
    made = exported(tmp_path, kind, run(*convos), form="llamafactory", test_share=0.5)
    info = json.loads((made.folder / "dataset_info.json").read_text())
    assert {about["file_name"] for about in info.values()} == {"train.jsonl", "test.jsonl"}
    for about in info.values():
        assert about["formatting"] == "openai"
        for line in made.side(about["file_name"].partition(".")[0]):
            assert not emptied(line, about)
            assert set(about["columns"].values()) == line.keys()
            if about.get("ranking"):
                assert line["chosen"]["role"] == line["rejected"]["role"] == "assistant"
            if kind == "kto":
                assert isinstance(line["label"], bool)


def test_llamafactory_what_it_would_empty_is_counted(tmp_path: Path) -> None:
    made = exported(tmp_path, "dpo", run(CHAT, TWICE, TOOLS, IMAGE), form="llamafactory")
    assert (len(made.rows), made.dropped) == (1, {"roles": 1, "tools": 1, "attachments": 1})


def test_tinker_conversations_and_comparisons(tmp_path: Path) -> None:
    (tmp_path / "sft").mkdir()
    made = exported(tmp_path / "sft", "sft", run(CHAT), form="tinker")
    assert [message["role"] for message in made.rows[0]["messages"]] == [
        *("system", "user", "assistant", "user", "assistant")
    ]
    made = exported(tmp_path, "dpo", run(*[None] * 40), form="tinker")
    labels = [row["label"] for row in made.rows]
    assert 8 <= labels.count("A") <= 32
    for n, line in enumerate(made.rows):
        compared = line["comparison"]
        better = compared[f"completion_{line['label']}"]
        assert better == [{"role": "assistant", "content": f"good {n}"}]
        assert compared["prompt_conversation"][0]["role"] == "user"
        assert compared.keys() == {"prompt_conversation", "completion_A", "completion_B"}


def test_verls_parquet_has_its_columns_and_the_rubric_as_json(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [*run(CHAT, None, TOOLS), row(9, [1.0], reference="Seven."), row(8, [1.0], id="\ud800")]
    folder = exported(tmp_path, "prompts", rows, form="verl", test_share=0.3).folder
    train = parquet.read_table(folder / "train.parquet").to_pylist()
    test = parquet.read_table(folder / "test.parquet").to_pylist()
    assert (len(train), len(test)) == (2, 1)  # one has tool calls, one half a character
    every = [*train, *test]
    assert sorted(line["extra_info"]["index"] for line in every) == [0, 1, 2]
    for line in every:
        assert {"data_source", "prompt", "ability", "reward_model", "extra_info"} == line.keys()
        assert all(message.keys() == {"role", "content"} for message in line["prompt"])
        assert line["reward_model"].keys() == {"style", "ground_truth"}
        assert json.loads(line["extra_info"]["rubric_items"])[0]["rubric_str"]
        assert json.loads(line["extra_info"]["convo"])[0]["role"] in ("user", "system")
    assert sorted(line["reward_model"]["ground_truth"] for line in every) == ["", "", "Seven."]


def test_without_pyarrow_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setattr("refinecli.export.formats.verl.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="needs pyarrow") as caught:
        format_for("verl", "prompts")
    assert "pip install" in caught.value.hint


def test_a_format_without_the_kind_names_those_that_have_it() -> None:
    with pytest.raises(UsageError, match="the format verl has nothing for sft") as caught:
        format_for("verl", "sft")
    assert "trl or " in caught.value.hint.replace("format=", "")


def test_every_kind_has_a_format_and_every_format_kinds_that_exist() -> None:
    assert set(FORMATS["trl"]) == set(KINDS)
    assert {kind for kinds in FORMATS.values() for kind in kinds} <= set(KINDS)


def test_no_other_format_has_trls_configuration(tmp_path: Path) -> None:
    made: Exported = exported(tmp_path, "sft", run(CHAT), form="openai")
    names = {path.name for path in made.folder.iterdir()}
    assert names == {"train.jsonl", "test.jsonl", "manifest.json", "README.md"}
