"""The voice: docstrings, comments and messages keep to plain English; each rule's count is zero."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import pytest

from tests.architecture.source import PACKAGE, modules, nodes

Kind = Literal["module", "class", "function", "property", "comment", "message"]

# Files whose string literals are words that a model reads or that become data: they may not
# change, so they are not counted. Their docstrings and comments are.
EXEMPT_LITERALS = (
    "prompts/",  # every word that a model reads
    "completers.py",  # problems that a retry names to the model
    "grading/by_json.py",  # the same
    "grading/scoring.py",  # the same
    "refining/selecting.py",  # the same
    "generators/rubric_writer.py",  # the same
    "generators/criterion_faults.py",  # the same
    "generators/email/",  # sentences, names and instructions of the generated emails
    "generators/ifeval_instructions.py",  # IFEval's instructions as rubric items
    "models/cache/file.py",  # its tables, in SQL
    "report/html/page.py",  # the page's content security policy
    "checks/",  # a check's feedback is read by the model that rewrites
)


class Text(NamedTuple):
    kind: Kind
    place: str
    words: str


Rule = Callable[[Text], bool]


def docstrings(place: str, nodes: Iterable[ast.AST]) -> Iterator[Text]:
    """Yield the docstrings of the module, its classes, functions and properties."""
    for node in nodes:
        kind: Kind
        if isinstance(node, ast.Module):
            kind = "module"
        elif isinstance(node, ast.ClassDef):
            kind = "class"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names = {ast.unparse(one).rpartition(".")[2] for one in node.decorator_list}
            kind = "property" if names & {"property", "cached_property"} else "function"
        else:
            continue
        if found := ast.get_docstring(node):
            line = getattr(node, "lineno", 1)
            yield Text(kind, f"{place}:{line}", " ".join(found.split()))


def messages(place: str, nodes: Sequence[ast.AST]) -> Iterator[Text]:
    """Yield the string literals, an f-string as one with `{}` for its values."""
    skipped = {
        id(inner)
        for node in nodes
        if isinstance(node, ast.JoinedStr)
        or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
        for inner in ast.iter_child_nodes(node)
    }
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            parts = [
                str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values
            ]
            yield Text("message", f"{place}:{node.lineno}", "".join(parts))
        elif (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in skipped
        ):
            yield Text("message", f"{place}:{node.lineno}", node.value)


def comments(place: str, code: str) -> Iterator[Text]:
    """Yield the comments, those of consecutive lines as one."""
    block: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type != tokenize.COMMENT:
            continue
        line = token.start[0]
        if block and line != last + 1:
            yield Text("comment", f"{place}:{last}", " ".join(block))
            block = []
        block.append(token.string.removeprefix("#").strip())
        last = line
    if block:
        yield Text("comment", f"{place}:{last}", " ".join(block))


def texts() -> list[Text]:
    """Collect everything that a reader of the code or of its output meets."""
    found: list[Text] = []
    for path in modules().values():
        place = path.relative_to(PACKAGE).as_posix()
        found += docstrings(place, nodes(path))
        found += comments(place, path.read_text("utf-8"))
        if not place.startswith(EXEMPT_LITERALS):
            found += messages(place, nodes(path))
    return found


def matching(pattern: str, *, ignore_case: bool = True) -> Rule:
    """Return a rule that is broken by texts in which the pattern is found."""
    compiled = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    return lambda text: compiled.search(text.words) is not None


def starting(pattern: str, *kinds: Kind) -> Rule:
    """Return a rule that is broken by docstrings of these kinds whose first word matches."""
    compiled = re.compile(rf"(?:{pattern})(?![\w'-])")
    return lambda text: text.kind in kinds and compiled.match(text.words) is not None


# How a function's docstring does not begin: with a question, an article, a pronoun, a number, a
# preposition or a name. What is left is nearly always a verb; nouns pass, and a reader sees them.
NOT_A_VERB = (
    r"The|An?|All|Another|Any|Both|Each|Every|No|None|Nothing|Not|One|Other|Several|Single|Some"
    r"|Something|Anything|Such|Two|Three|It|Its|They|Those|These|This|That|Who|Whom|Whose|Why|Where"
    r"|When|Whatever|After|As|Before|By|For|From|In|Of|On|To|With|Without|Returns|Raises|Reads"
    r"|Reports|Writes|Yields|Bytes|Calls|Characters|Completers|Datapoints|Fields|Headers|Labels"
    r"|Lines?|Messages|Options|Pairs|Pieces|Seconds|Sentences|Successes|Text|Tokens|Wins"
    r"|[A-Z]{2,}\w*|[\w-]+['\u2019]s|[^\w\s].*|\d.*|[a-z]\w*"
)

RULES: dict[str, Rule] = {
    "a docstring begins with a question word": starting(
        "What|Whether|How|Which", "module", "class", "function", "property"
    ),
    "a function's docstring begins with no verb": starting(NOT_A_VERB, "function"),
    "is no, for is not a": matching(
        r"(?<!there )\b(?:is|are|was|were|be) no (?!(?:longer|more|less|fewer|better|wider)\b)"
    ),
    "tell, for say or show": matching(r"\b(?:tell|tells|telling|told)\b"),
    "afresh, for again": matching(r"\b(?:afresh|anew)\b"),
    "beside, for besides or next to": matching(r"\bbeside\b"),
    "meanwhile, for while": matching(r"\bmeanwhile\b"),
    "of itself, for by itself": matching(r"\bof (?:itself|themselves)\b"),
    "goes on, for continues": matching(r"\b(?:go|goes|going|gone|went) on\b"),
    "for ever, for forever": matching(r"\bfor ever\b"),
    "so many, for N": matching(r"\bso many\b"),
    "two semicolons in a sentence": matching(r";[^.;:!?]+;"),
    # `plural` knows better; "these" comes with a case of its own for one.
    "a count that may be one, of a noun in the plural": matching(
        r"(?<!these )\{\} (?:more )?(?:calls|completions|datapoints|items|labels|lines|parts"
        r"|prompts|requests|responses|rows)\b"
    ),
}


@pytest.fixture(scope="module")
def everything() -> list[Text]:
    return texts()


@pytest.mark.parametrize("rule", RULES)
def test_no_text_breaks_the_rule(everything: list[Text], rule: str) -> None:
    found = [f"{text.place}: {text.words[:90]}" for text in everything if RULES[rule](text)]
    assert not found, "\n".join([rule, *found])


@pytest.mark.parametrize(
    ("rule", "kind", "words"),
    [
        ("a docstring begins with a question word", "class", "What a run left."),
        ("a docstring begins with a question word", "property", "Whether it is over."),
        ("a function's docstring begins with no verb", "function", "The score."),
        ("a function's docstring begins with no verb", "function", "`before`, and then the rest."),
        ("is no, for is not a", "message", "{} is no number"),
        ("tell, for say or show", "comment", "the user is told"),
        ("two semicolons in a sentence", "comment", "one; two; three"),
        ("a count that may be one, of a noun in the plural", "message", "{} of {} rows failed"),
    ],
)
def test_a_rule_sees_what_breaks_it(rule: str, kind: Kind, words: str) -> None:
    assert RULES[rule](Text(kind, "here.py:1", words))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("function", "Return the score."),
        ("property", "The number of rows."),
        ("message", "There is no such file."),
        ("message", "The endpoint is no longer asked; it may have no more than {}."),
        ("comment", "What a comment says, it may begin as it likes."),
        ("comment", "Besides, one clause; another."),
    ],
)
def test_good_english_breaks_no_rule(kind: Kind, words: str) -> None:
    assert not [name for name, rule in RULES.items() if rule(Text(kind, "here.py:1", words))]


def test_messages_and_comments_are_found_as_a_reader_sees_them() -> None:
    code = 'def f(n):\n    """Say it."""\n    # Why\n    # so.\n    return f"{n} rows"\n'
    inside = list(ast.walk(ast.parse(code)))
    assert list(docstrings("a.py", inside)) == [Text("function", "a.py:1", "Say it.")]
    assert list(messages("a.py", inside)) == [Text("message", "a.py:5", "{} rows")]
    assert list(comments("a.py", code)) == [Text("comment", "a.py:4", "Why so.")]
