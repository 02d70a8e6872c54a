"""TRL's conversational data sets, as its 1.16 documents them."""

from __future__ import annotations

from refinecli.export.formats.lines import JSONFormat, plain, said
from refinecli.export.selection import Example
from refinecli.types import JSONObject


class TRL(JSONFormat):
    """Every row has the same columns, and every message the same keys, those of any message: the
    reader settles types by the first rows."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self._keys = {"role": None, "content": None}
        self._references = False

    def problem(self, example: Example) -> str:
        if (messages := plain(example.prompt)) is None:
            return "attachments"
        for message in messages:
            self._keys |= dict.fromkeys(message)
        self._references |= bool(example.task and example.task["reference"])
        return ""

    def line(self, example: Example) -> JSONObject:
        messages = [self._keys | message for message in plain(example.prompt) or ()]
        if self.kind == "prompts":
            task = dict(example.task or {})
            if not self._references:
                del task["reference"]
            return {"prompt": messages, **task}
        answer = [said(example.answer)]
        if self.kind in ("dpo", "reward"):
            row = {"prompt": messages, "chosen": answer, "rejected": [said(example.worse or "")]}
            return row | ({"margin": example.margin} if self.kind == "reward" else {})
        row = {"prompt": messages, "completion": answer}
        return row | ({"label": example.label} if self.kind == "kto" else {})


make = TRL
