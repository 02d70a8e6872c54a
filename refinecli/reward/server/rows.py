"""Find the row of the data that a trainer's label names."""

from __future__ import annotations

from collections.abc import Sequence

from refinecli.data.rows import Row, read_row
from refinecli.errors import InputError, UsageError
from refinecli.reward.samples import answer_in
from refinecli.reward.server.payloads import Asked
from refinecli.runs.run import Input
from refinecli.text.json_text import digest, dumps, loads
from refinecli.types import JSONObject

# What an earlier run wrote into a row is not part of the question.
_RESULTS = frozenset({"response", "score", "grading", "refinement", "error"})


class Rows:
    """The rows of DATA by their ids, each as the line that it is: the objects would take ten times
    the memory. Requests may also bring rows of their own, which `rubric` is added to."""

    def __init__(self, data: Input | None, rubric: Sequence[JSONObject]) -> None:
        self._name = data.source.name if data else ""
        self._rubric = rubric
        self._lines: dict[str, bytes] = {}
        for row in data.all_rows() if data else ():
            self._add(row)

    def _add(self, row: Row) -> None:
        if row.datapoint is None:
            return
        label = str(row.datapoint.id)
        line = dumps({key: value for key, value in row.raw.items() if key not in _RESULTS})
        there = self._lines.setdefault(label, line)
        if there != line and digest(loads(there)) != digest(loads(line)):
            raise UsageError(
                f"{self._name}:{row.line}: the id {label!r} is that of another row too",
                "give each row an id of its own: labels name rows by it",
            )

    def __len__(self) -> int:
        return len(self._lines)

    def answered(self, asked: Asked) -> Row:
        """Return the row with the response in it; raise InputError where it cannot be graded."""
        line = self._lines.get(asked.label) if asked.label is not None else None
        if line is not None:
            return self.read({**loads(line), "response": answer_in(asked.response)}, rubric=())
        columns = asked.columns
        if not (columns.get("rubric_items") or (self._rubric and not self._lines)):
            raise self._unknown(asked.label)
        if asked.prompt is None:
            raise InputError("prompt: field required", "send what the response answers")
        response = answer_in(asked.response)
        return self.read({**columns, "prompt": asked.prompt, "response": response})

    def read(self, raw: JSONObject, rubric: Sequence[JSONObject] | None = None) -> Row:
        """Return the row of a request; raise InputError where it cannot be used."""
        row = read_row(dumps(raw), 0, "request", self._rubric if rubric is None else rubric)
        if row.error:
            raise InputError(*row.error.args)
        return row

    def _unknown(self, label: str | None) -> InputError:
        if not self._lines:
            return InputError(
                "there is no rubric for this response",
                "send rubric_items, or start the server with DATA whose ids are the labels",
            )
        if label is None:
            return InputError(
                "label: field required",
                f"send the id of the row in {self._name}; trainers take it from the column that "
                "their label option names",
            )
        return InputError(
            f"label {label!r}: is not an id in {self._name}",
            "serve the data that the trainer trains on",
        )
