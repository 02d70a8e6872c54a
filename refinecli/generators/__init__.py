"""Make datapoints: the tasks of `refinecli generate-data TASK`.

A task is one module of this package, named like the task (`_` for `-`). A seeded task invents its
datapoints and has `generate(n, seed)`; an importing one turns the rows of another project's file
into datapoints and has `read(rows, with_response)`. A task may be both. A task that asks a model is
a run of its own (`cli/generate_rubrics.py`), and its module reads the rows. The table below holds
all that `--help` needs, so that a task's module is imported only when the task is used.

To add a task: write the module, add a line to the table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import MappingProxyType, ModuleType
from typing import TYPE_CHECKING, NoReturn

from refinecli.errors import UsageError, option

if TYPE_CHECKING:
    from refinecli.types import JSONObject


@dataclass(frozen=True, slots=True)
class Task:
    """A task's description, which needs no import, and its functions, which import it."""

    name: str
    summary: str
    seeded: bool = False  # works without a file
    imports: bool = False  # works with --from FILE
    asks: bool = False  # asks a model about each row of FILE
    file: str = ""  # describes FILE in hints

    def generate(self, n: int, seed: int) -> Iterator[JSONObject]:
        """Yield datapoints 0 to n - 1 of this seed; each is the same for any n."""
        if not self.seeded:
            self.missing_file()
        rows: Iterator[JSONObject] = self._module().generate(n, seed)
        return rows

    def read(
        self, rows: Iterable[tuple[str, JSONObject]], with_response: bool
    ) -> Iterator[JSONObject]:
        """Yield the datapoint of each row, in order; raise InputError at the first unusable row.

        `rows` are objects with their places, as `reading.read_entries` finds them. Answers in the
        rows are kept as `response` only if `with_response`.
        """
        self.check_imports()
        datapoints: Iterator[JSONObject] = self._module().read(rows, with_response)
        return datapoints

    def check_imports(self) -> None:
        """Raise UsageError for a task that reads no file."""
        if not self.imports:
            raise UsageError(
                f"{self.name}: takes no {option('from')}",
                f"use {option('seed')} instead",
            )

    def missing_file(self) -> NoReturn:
        raise UsageError(f"{self.name}: needs {option('from', 'FILE')}", f"name {self.file}")

    def _module(self) -> ModuleType:
        return import_module(f"{__name__}.{self.name.replace('-', '_')}")


TASKS: Mapping[str, Task] = MappingProxyType(
    {
        task.name: task
        for task in (
            Task("addition", "sums of two numbers up to 1000, graded by a model", seeded=True),
            Task(
                "keywords",
                "short texts that must use given words, graded by code",
                seeded=True,
                imports=True,
                file='JSON or JSONL with the words in "concepts" (CommonGen)',
            ),
            Task(
                "prometheus",
                "instructions, each with its own 1-5 rubric, from the Feedback-Collection or judge "
                "prompts",
                imports=True,
                file="the Feedback-Collection's JSON or JSONL (orig_instruction, orig_criteria, …) "
                "or judge prompts (instruction, gpt4_score)",
            ),
            Task(
                "biggen",
                "many kinds of tasks, each with its own 1-5 rubric, from BiGGen-Bench",
                imports=True,
                file="BiGGen-Bench's JSON or JSONL (input, score_rubric, …)",
            ),
            Task("email", "customers' emails, to be answered by a shop's policies", seeded=True),
            Task(
                "ifeval",
                "prompts with instructions that code can verify, from IFEval",
                imports=True,
                file="IFEval's JSONL (prompt, instruction_id_list, kwargs)",
            ),
            Task(
                "healthbench",
                "health conversations with weighted criteria, from HealthBench or its "
                "meta-evaluation",
                imports=True,
                file="HealthBench's JSONL (prompt, rubrics, …) or its meta-evaluation's (prompt, "
                "completion, rubric, binary_labels)",
            ),
            Task(
                "rubrics-as-rewards",
                "questions with weighted criteria of their own, from RaR-Medicine or RaR-Science",
                imports=True,
                file="JSON or JSONL of Rubrics as Rewards (question, reference_answer, rubric)",
            ),
            Task(
                "chat",
                f"plain conversations, to be given criteria with {option('rubric')}",
                imports=True,
                file="chats in JSON or JSONL: OpenAI's (messages) or ShareGPT's (conversations)",
            ),
            Task(
                "rubrics",
                "prompts that have no rubric: a model writes one for each",
                asks=True,
                file="prompts in JSONL: datapoints without rubric_items, or chats",
            ),
        )
    }
)
