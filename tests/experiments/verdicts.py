"""Do checks decide as the benchmarks that they stand for? Every disagreement is printed.

    python -m tests.experiments.verdicts ifeval --python VENV/bin/python --data DIR
    python -m tests.experiments.verdicts gsm8k --data DIR

`ifeval` compares the checks that `generate-data ifeval` makes with IFEval's own code, which
VENV has from `pip install if-verifiable`: on random texts, put together from what matters to each
instruction, and on each instruction of DIR/ifeval.jsonl with the prompts of the file as responses.
What needs downloads of NLTK's is left out, and counted.

`gsm8k` compares the check `number` with GSM8K's published verdicts on its models' solutions, in
DIR/example_model_solutions.jsonl of github.com/openai/grade-school-math, and with GSM8K's rule
(what stands after `####`) on each answer of DIR/gsm8k.jsonl, judged by its own number and by those
of its neighbours. A file that is absent is said to be, loudly.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import regex

from refinecli.checks.kinds import NumberIs
from tests.unit.generators.test_ifeval import CASES, item, passes

# Reads {"name", "kwargs", "texts"} a line, and writes IFEval's verdicts, or why there are none.
_ORIGINAL = """
import json, sys
from if_verifiable.ifeval.instructions_registry import INSTRUCTION_DICT
for line in sys.stdin:
    asked = json.loads(line)
    try:
        instruction = INSTRUCTION_DICT[asked["name"]](asked["name"])
        instruction.build_description(**asked["kwargs"])
        said = [bool(text.strip() and instruction.check_following(text)) for text in asked["texts"]]
    except Exception as error:
        said = f"{type(error).__name__}: {error}".strip().split(chr(10))[0][:100]
    print(json.dumps(said), flush=True)
"""
# Judged by words of NLTK's, or by a language detector: these items are for a grader, or count
# words otherwise on purpose.
_OTHERS = ("change_case:", "language:", "length_constraints:number_sentences")


def decides(name: str, kwargs: dict[str, Any]) -> bool:
    """Return True where IFEval's code decides by the instruction alone; for a letter that is none
    it takes any by chance."""
    return not name.startswith(_OTHERS) and kwargs.get("letter", "a").isalpha()


class Asked(NamedTuple):
    """An instruction, with its arguments, and the texts that it is to judge."""

    name: str
    kwargs: dict[str, Any]
    texts: list[str]


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.experiments.verdicts")
    parser.add_argument("task", choices=("ifeval", "gsm8k"))
    parser.add_argument("--data", type=Path, metavar="DIR", default=Path())
    parser.add_argument("--python", default=sys.executable, help="one that has if-verifiable")
    parser.add_argument("-n", type=int, default=1000, help="random texts for each instruction")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    disagreements = ifeval(options) if options.task == "ifeval" else gsm8k(options)
    sys.exit(1 if disagreements else 0)


def there(path: Path) -> bool:
    if not path.is_file():
        print(f"NOT TRIED: {path} is absent", file=sys.stderr)
    return path.is_file()


# ------------------------------------------------------------------ IFEval


def ifeval(options: argparse.Namespace) -> int:
    asked = list(made_up(random.Random(options.seed), options.n))
    if there(options.data / "ifeval.jsonl"):
        asked += real(options.data / "ifeval.jsonl")
    counts, differ = Counter[str](), Counter[str]()
    for one, said in zip(asked, originals(options.python, asked), strict=True):
        if isinstance(said, str):
            print(f"NOT TRIED: {one.name}: {said}", file=sys.stderr)
            continue
        check = item(one.name, **one.kwargs)
        for text, follows in zip(one.texts, said, strict=True):
            counts[one.name] += 1
            ours = bool(text.strip()) and passes(check, text)
            if ours != follows:
                differ[one.name] += 1
                print(f"{one.name} {one.kwargs}: ours {ours}, IFEval's {follows}: {text[:200]!r}")
    for name, count in sorted(counts.items()):
        print(f"{count:>10,}  {name}{f': {differ[name]} differ' if differ[name] else ''}")
    print(f"{counts.total():>10,}  texts, {len(counts)} kinds, {differ.total()} disagreements")
    return differ.total()


# A combining mark, such as a vowel of Hindi: by old versions of NLTK it ends a word, by new ones
# it does not.
_MARK = regex.compile(r"\p{M}")


def made_up(draw: random.Random, n: int) -> Iterator[Asked]:
    for name, kwargs, pieces, _ in CASES:
        if decides(name, kwargs):
            texts = ["".join(draw.choices(pieces, k=draw.randrange(15))) for _ in range(n)]
            yield Asked(name, kwargs, [text for text in texts if not _MARK.search(text)])


def real(path: Path) -> Iterator[Asked]:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    texts = [row["prompt"] for row in rows]
    texts += [f'"{text.upper()}"' for text in texts[::9]] + [text.lower() for text in texts[::9]]
    for index, row in enumerate(rows):
        for name, given in zip(row["instruction_id_list"], row["kwargs"], strict=True):
            kwargs = {key: value for key, value in (given or {}).items() if value is not None}
            if decides(name, kwargs):
                yield Asked(name, kwargs, texts[index % 5 :: 5])


def originals(python: str, asked: list[Asked]) -> list[Any]:
    """Return the verdicts of IFEval's code on each."""
    lines = "".join(json.dumps(one._asdict()) + "\n" for one in asked)
    command = [python, "-c", _ORIGINAL]
    done = subprocess.run(command, input=lines, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"NOT TRIED: {python} has no if-verifiable")
    return [json.loads(line) for line in done.stdout.splitlines()]


# ------------------------------------------------------------------ GSM8K


def gsm8k(options: argparse.Namespace) -> int:
    counts, differ = Counter[str](), Counter[str]()
    judged = [*published(options.data), *by_rule(options.data)]
    for source, value, text, right in judged:
        counts[source] += 1
        ours = NumberIs(kind="number", value=float(value)).grade(text).score == 1
        if ours != right:
            differ[source] += 1
            print(f"{source}: ours {ours}, GSM8K's {right}, wanted {value}: …{text[-100:]!r}")
    for source, count in counts.items():
        print(f"{count:>10,}  {source}: {differ[source]} disagreements")
    return differ.total()


Judged = tuple[str, str, str, bool]  # by whom, the number that is right, the answer, the verdict


def published(folder: Path) -> Iterator[Judged]:
    path = folder / "example_model_solutions.jsonl"
    if not there(path):
        return
    for line in path.read_text("utf-8").splitlines():
        row = json.loads(line)
        value = row["ground_truth"].rpartition("A: ")[2].replace(",", "")
        for name, found in row.items():
            if isinstance(found, dict):
                yield f"published, {name}", value, found["solution"], found["is_correct"]


_ANSWER = re.compile(r"#### (-?[0-9.,]+)")


def by_rule(folder: Path) -> Iterator[Judged]:
    path = folder / "gsm8k.jsonl"
    if not there(path):
        return
    answers = [json.loads(line)["answer"] for line in path.read_text("utf-8").splitlines()]
    numbers = [_ANSWER.findall(answer)[0].replace(",", "") for answer in answers]
    for index, answer in enumerate(answers):
        for other in range(index - 5, index + 1):
            yield "by its rule", numbers[other], answer, numbers[other] == numbers[index]


if __name__ == "__main__":
    main()
