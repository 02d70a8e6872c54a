"""LLaMA-Factory's data sets in OpenAI's formatting, with the `dataset_info.json` that it reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from refinecli.export.formats.lines import JSONFormat, plain, said
from refinecli.export.selection import Example
from refinecli.text.json_text import dumps
from refinecli.types import JSONObject

_TAGS = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "function_call",
    "system_tag": "system",
}


class LLaMAFactory(JSONFormat):
    """It empties every example whose turns do not alternate, and only logs a warning: such examples
    are left out here, and counted."""

    def problem(self, example: Example) -> str:
        if (messages := plain(example.prompt)) is None:
            return "attachments"
        if any(message.get("tool_calls") or message["role"] == "tool" for message in messages):
            return "tools"
        return "" if _alternates(messages) else "roles"

    def line(self, example: Example) -> JSONObject:
        messages = [
            {"role": message["role"], "content": message["content"]}
            for message in plain(example.prompt) or ()
        ]
        if example.worse is not None:
            rejected = said(example.worse)
            return {"messages": messages, "chosen": said(example.answer), "rejected": rejected}
        row = {"messages": [*messages, said(example.answer)]}
        return row | ({"label": example.label} if self.kind == "kto" else {})

    def more_files(self) -> Mapping[str, bytes]:
        paired = self.kind in ("dpo", "reward")
        columns = {"messages": "messages"}
        if paired:
            columns |= {"chosen": "chosen", "rejected": "rejected"}
        if self.kind == "kto":
            columns |= {"kto_tag": "label"}
        about = {
            "formatting": "openai",
            **({"ranking": True} if paired else {}),
            "columns": columns,
            "tags": _TAGS,
        }
        info = {
            f"{self.kind}_{side}": {"file_name": f"{side}.jsonl", **about}
            for side in ("train", "test")
        }
        return {"dataset_info.json": dumps(info) + b"\n"}


def _alternates(messages: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a system prompt is first or absent, and then user and assistant take turns, up
    to the user's last."""
    turns = [message["role"] for message in messages]
    if turns[:1] == ["system"]:
        turns = turns[1:]
    wanted = [("user", "assistant")[at % 2] for at in range(len(turns))]
    return turns == wanted and len(turns) % 2 == 1


make = LLaMAFactory
