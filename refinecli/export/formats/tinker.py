"""tinker-cookbook's files: conversations, and comparisons with the label of the better one."""

from __future__ import annotations

from hashlib import blake2b

from refinecli.export.formats.lines import JSONFormat, plain, said
from refinecli.export.selection import Example
from refinecli.types import JSONObject


class Tinker(JSONFormat):
    """The better response is A or B by a digest of the two: a model could learn the place."""

    def problem(self, example: Example) -> str:
        return "attachments" if plain(example.prompt) is None else ""

    def line(self, example: Example) -> JSONObject:
        messages = plain(example.prompt) or []
        if example.worse is None:
            return {"messages": [*messages, said(example.answer)]}
        outputs = [[said(example.answer)], [said(example.worse)]]
        texts = f"{example.answer}\0{example.worse}".encode("utf-8", "surrogatepass")
        if swapped := bool(blake2b(texts, digest_size=1).digest()[0] & 1):
            outputs.reverse()
        return {
            "comparison": {
                "prompt_conversation": messages,
                "completion_A": outputs[0],
                "completion_B": outputs[1],
            },
            "label": "B" if swapped else "A",
        }


make = Tinker
