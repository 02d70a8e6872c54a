"""OpenAI's files for fine-tuning, which Azure, Fireworks and Together take too."""

from __future__ import annotations

from refinecli.export.formats.lines import JSONFormat, said
from refinecli.export.selection import Example
from refinecli.types import JSONObject


class OpenAI(JSONFormat):
    """Messages for supervised tuning, an input with two outputs for preferences."""

    def problem(self, example: Example) -> str:
        return ""

    def line(self, example: Example) -> JSONObject:
        if example.worse is None:
            return {"messages": [*example.prompt, said(example.answer)]}
        return {
            "input": {"messages": example.prompt, "tools": [], "parallel_tool_calls": True},
            "preferred_output": [said(example.answer)],
            "non_preferred_output": [said(example.worse)],
        }


make = OpenAI
