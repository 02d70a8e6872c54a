"""Turn IFEval's instructions into checks or words; `ifeval.py` says where they differ.

To add an instruction: write its function, add a line to the table at the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from refinecli.generators.reading import Columns, present
from refinecli.types import JSONObject


@dataclass(frozen=True, slots=True)
class Part:
    """One demand of an instruction, in words, and as a check where one can express it."""

    words: str
    check: JSONObject | None = None
    name: str = ""  # added to the instruction's name if it makes several items


def parts_of(instruction: str, arguments: Columns) -> tuple[Part, ...]:
    """Return the parts of an instruction, nearly always one, each of which becomes an item."""
    make = _INSTRUCTIONS.get(instruction)
    parts = _unknown(instruction, arguments) if make is None else make(arguments)
    return (parts,) if isinstance(parts, Part) else parts


def _unknown(instruction: str, arguments: Columns) -> Part:
    """Put an instruction that is not IFEval's own into words, from its name and arguments."""
    given = ", ".join(f"{key}: {value}" for key, value in present(arguments.row).items())
    named = instruction.replace(":", ": ").replace("_", " ")
    words = f'The response follows the instruction of the request about "{named}"'
    return Part(f"{words} ({given})" if given else words)


# ------------------------------------------------------------------ arguments


def texts(columns: Columns, name: str) -> list[str]:
    texts = columns.row.get(name)
    if not isinstance(texts, list) or not texts:
        problem = "field required" if texts is None else "expected a list of strings"
        raise columns.fault(name, problem)
    for index, text in enumerate(texts):
        if not isinstance(text, str) or not text.strip():
            raise columns.fault(f"{name}[{index}]", "expected a string")
    return texts


def _number(columns: Columns, name: str) -> int:
    """Read a count, which tables write as 3.0."""
    number = columns.row.get(name)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or not 0 < number <= _MOST:
        raise columns.fault(name, f"expected a whole number from 1 to {_MOST}")
    return number


_MOST = 100_000  # more is a slip, and a pattern with as many repeats does not compile


def _bounds(columns: Columns, relation: str, number: str) -> tuple[str, dict[str, int]]:
    """Return "at least 3" or "fewer than 3", in words and as the bounds of a count."""
    wanted, given = _number(columns, number), columns.text(relation)
    if given == "at least":
        return f"at least {wanted}", {"min": wanted}
    if given == "less than":
        return f"fewer than {wanted}", {"max": wanted - 1}
    raise columns.fault(relation, 'expected "at least" or "less than"')


# ------------------------------------------------------------------ checks


def _literal(text: str) -> str:
    return re.escape(text).replace("\\ ", " ")


def _regex(pattern: str) -> JSONObject:
    return {"kind": "regex", "pattern": pattern}


def _count(pattern: str, bounds: dict[str, int]) -> JSONObject:
    return {"kind": "count", "pattern": pattern, **bounds}


def _times(number: str, bounds: dict[str, int]) -> str:
    one = bounds in ({"min": 1}, {"max": 0})
    return f"{number} time" if one else f"{number} times"


# ------------------------------------------------------------------ keywords, letters, punctuation


def _existence(columns: Columns) -> Part:
    words = texts(columns, "keywords")
    quoted = ", ".join(f'"{word}"' for word in words)
    return Part(f"The response contains each of these: {quoted}", _contains("all", words, "text"))


def _forbidden_words(columns: Columns) -> Part:
    words = texts(columns, "forbidden_words")
    quoted = ", ".join(f'"{word}"' for word in words)
    # Not contains_none: it also finds words in italics and in Chinese, and IFEval does not.
    either = "|".join(map(_bounded, dict.fromkeys(words)))
    return Part(
        f"The response contains none of these: {quoted}", _count(f"(?i:{either})", {"max": 0})
    )


def _bounded(word: str) -> str:
    """Return a pattern of the word between word boundaries as `re` defines them."""

    def side(character: str, behind: str) -> str:
        inside = character.isalnum() or character == "_"
        return rf"(?{behind}{'!' if inside else '='}[\p{{L}}\p{{N}}_])"

    return f"{side(word[0], '<')}{_literal(word)}{side(word[-1], '')}"


def _contains(which: str, words: list[str], match: str) -> JSONObject:
    own = {} if match == "word" else {"match": match}
    return {"kind": f"contains_{which}", "words": list(dict.fromkeys(words)), **own}


def _frequency(columns: Columns) -> Part:
    keyword = columns.text("keyword").strip()
    number, bounds = _bounds(columns, "relation", "frequency")
    words = f'"{keyword}" appears {_times(number, bounds)} in the response'
    return Part(words, _count(f"(?i:{_literal(keyword)})", bounds))


# What else is that letter once it is made lowercase, as IFEval does: the Kelvin sign, a dotted I.
_LOWERED = MappingProxyType({"k": "\u212a", "i": "\u0130"})


def _letter_frequency(columns: Columns) -> Part:
    letter = columns.text("letter").strip().lower()
    if len(letter) != 1:
        raise columns.fault("letter", "expected one letter")
    number, bounds = _bounds(columns, "let_relation", "let_frequency")
    # Not (?i:k), which would match other look-alikes too.
    either = f"[{letter}{letter.upper()}{_LOWERED.get(letter, '')}]"
    either = either if letter.isalpha() else _literal(letter)
    words = f'The letter "{letter}" appears {_times(number, bounds)} in the response'
    return Part(words, _count(either, bounds))


def _no_comma(_: Columns) -> Part:
    return Part("The response contains no commas", _contains("none", [","], "text"))


# ------------------------------------------------------------------ lengths


def _number_words(columns: Columns) -> Part:
    number, bounds = _bounds(columns, "relation", "num_words")
    # The \w of re: the regex library's also takes combining marks.
    return Part(f"The response has {number} words", _count(r"[\p{L}\p{N}_]+", bounds))


def _number_sentences(columns: Columns) -> Part:
    number, bounds = _bounds(columns, "relation", "num_sentences")
    return Part(f"The response has {number} sentences", {"kind": "sentences", **bounds})


def _number_paragraphs(columns: Columns) -> Part:
    number = _number(columns, "num_paragraphs")
    # A paragraph holds no divider and is not blank; dividers before the first one and after the
    # last one are allowed.
    paragraph = r"\s*(?!\*{3})\S(?:(?!\*{3}).)*"
    rest = rf"(?:\*{{3}}{paragraph}){{{number - 1}}}"
    return Part(
        f"The response has exactly {number} paragraphs, divided from each other by ***",
        _regex(rf"\A(?:\s*\*{{3}})?{paragraph}{rest}(?:\*{{3}}\s*)?\Z"),
    )


def _nth_paragraph_first_word(columns: Columns) -> Part:
    number, nth = _number(columns, "num_paragraphs"), _number(columns, "nth_paragraph")
    word = columns.text("first_word").strip()
    inside = r"(?:(?!\n\n).)"
    blank, text = r"(?:(?!\n\n)\s)*", rf"(?:(?!\n\n)\s)*(?!\n\n)\S{inside}*"
    rest = rf"(?:\n\n(?:{blank}\n\n)*{text}){{{number - 1}}}"
    whole = rf"(?=(?:{blank}\n\n)*{text}{rest}(?:\n\n{blank})*\Z)"
    # The word may stand in quotation marks, and ends at a space or at one of these signs.
    first = rf"(?:(?!\n\n)\s)*'*\"*(?i:{_literal(word)})(?=[\s.,?!'\"]|\Z)"
    return Part(
        f"The response has exactly {number} paragraphs, divided from each other by a blank line, "
        f'and paragraph {nth} starts with the word "{word}"',
        _regex(rf"\A{whole}(?:{inside}*\n\n){{{nth - 1}}}{first}"),
    )


# ------------------------------------------------------------------ content and format


def _number_placeholders(columns: Columns) -> Part:
    number = _number(columns, "num_placeholders")
    return Part(
        f"The response has at least {number} placeholders in square brackets, such as [address]",
        _count(r"\[[^\n]*?\]", {"min": number}),
    )


def _postscript(columns: Columns) -> Part:
    marker = columns.text("postscript_marker").strip()
    known = {"P.S.": r"[pP]\.\s?[sS]\.", "P.P.S": r"[pP]\.\s?[pP]\.\s?[sS]"}
    pattern = known.get(marker) or f"(?i:{_literal(marker)})"
    return Part(f"The response has a postscript that starts with {marker}", _regex(pattern))


def _number_bullet_lists(columns: Columns) -> Part:
    number = _number(columns, "num_bullets")
    # Lines that start with * or -. A star alone on its line takes the next line as its text,
    # unless that starts with -: then it is a bullet too.
    star = r"\*(?:[^*\n][^\n]*|(?=\n[^\S\n]*-)|\n[^\n]*)"
    return Part(
        f"The response has exactly {number} bullet points, as in markdown (* or -)",
        _count(rf"(?m:^[^\S\n]*+(?:{star}|-[^\n]*))", {"min": number, "max": number}),
    )


def _constrained_response(_: Columns) -> Part:
    return Part(
        'The response contains "My answer is yes.", "My answer is no." or "My answer is maybe."',
        _regex(r"My answer is (?:yes|no|maybe)\."),
    )


def _number_highlighted_sections(columns: Columns) -> Part:
    number = _number(columns, "num_highlights")
    # Count *these* and **these**, from left to right in each line, each sort separately. The two
    # sorts never start at the same star.
    filled = r"[^*\n]*[^*\s][^*\n]*"
    single = rf"\*(?={filled}\*)(?<=^[^*\n]*(?:\*[^*\n]*\*[^*\n]*)*\*)"
    pair = r"\*\*[^*\n]*\*\*"
    double = rf"\*(?=\*{filled}\*\*)(?<=^(?:{pair}|(?!{pair})[^\n])*\*)"
    return Part(
        f"The response has at least {number} sections *highlighted* as in markdown",
        _count(rf"(?m:{single}|{double})", {"min": number}),
    )


def _multiple_sections(columns: Columns) -> Part:
    number, splitter = _number(columns, "num_sections"), columns.text("section_spliter").strip()
    return Part(
        f"The response has at least {number} sections, which start with "
        f'"{splitter} 1", "{splitter} 2" …',
        _count(rf"{_literal(splitter)}\s?\d+", {"min": number}),
    )


def _json_format(_: Columns) -> Part:
    return Part("The whole response is JSON, if need be in a ``` code block", _regex(_FENCED_JSON))


# JSON as Python's json reads it. Unlike in the check `json`, it may stand in a code fence.
_FENCED_JSON = (
    r"(?(DEFINE)(?<w>[ \t\n\r]*+)"
    r'(?<s>"(?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*+")'
    r"(?<n>-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][-+]?[0-9]++)?)"
    r"(?<v>(?&w)(?:(?&s)|(?&n)|true|false|null|NaN|-?Infinity"
    r"|\[(?:(?&v)(?:,(?&v))*+|(?&w))\]"
    r"|\{(?:(?&w)(?&s)(?&w):(?&v)(?:,(?&w)(?&s)(?&w):(?&v))*+|(?&w))\})(?&w)))"
    r"\A\s*+(?:```json)?(?:```Json)?(?:```JSON)?(?:```)?\s*+(?&v)\s*+(?:```)?\s*+\Z"
)


def _title(_: Columns) -> Part:
    # The title stands between the outermost angle brackets: it may hold some, and is not blank.
    inner = r"[^\n]*?(?:[^\s>]|>[^\n]*?[^>\n])[^\n]*?"
    return Part(
        "The response contains a title in double angular brackets, such as <<poem of joy>>",
        _regex(rf"<<<*+{inner}>>"),
    )


# ------------------------------------------------------------------ the whole response


def _two_responses(_: Columns) -> Part:
    divider = r"\*{6}"
    text = rf"(?!{divider})\S(?:(?!{divider}).)*?"
    end = rf"(?:{divider}\s*)?\Z"
    return Part(
        "The response consists of two different responses, divided by ******",
        _regex(
            rf"\A\s*(?:{divider}\s*)?(?>({text})\s*{divider})"
            rf"(?!\s*\1\s*{end})\s*{text}\s*{end}"
        ),
    )


def _repeat_prompt(columns: Columns) -> Part:
    prompt = columns.text("prompt_to_repeat").strip()
    return Part(
        f"The response starts with the request, word for word: {prompt}",
        _regex(rf"\A\s*(?i:{_literal(prompt)})"),
    )


def _end_checker(columns: Columns) -> Part:
    phrase = columns.text("end_phrase").strip()
    return Part(
        f"The response ends with this exact phrase, and nothing follows it: {phrase}",
        _regex(rf'(?i:{_literal(phrase)})"*\s*\Z'),
    )


def _quotation(_: Columns) -> Part:
    return Part(
        "The whole response is wrapped in double quotation marks", _regex(r'\A\s*".*"\s*\Z')
    )


def _english_capital(_: Columns) -> tuple[Part, ...]:
    letters = "The response is in capital letters throughout"
    return Part(letters, _regex(r"\A(?!.*[\p{Lowercase}\p{Lt}]).*\p{Uppercase}")), _ENGLISH


def _english_lowercase(_: Columns) -> tuple[Part, ...]:
    letters = "The response is in lowercase letters throughout, with no capital letter in it"
    return Part(letters, _regex(r"\A(?!.*[\p{Uppercase}\p{Lt}]).*\p{Lowercase}")), _ENGLISH


_ENGLISH = Part("The whole response is in English", name=":english")


def _capital_word_frequency(columns: Columns) -> Part:
    number, bounds = _bounds(columns, "capital_relation", "capital_frequency")
    # Digits and -, . or / may stand in a word (WELL-BEING, U.S.), an apostrophe separates two.
    word = (
        r"(?<![\p{L}\p{N}_-]|[\p{L}\p{N}_-][./])(?=[\p{N}_-]*\p{Lu})"
        r"[\p{Lu}\p{N}_-]+(?:[./][\p{Lu}\p{N}_-]+)*(?![\p{L}\p{N}_-]|[./]\p{L})"
    )
    words = f"Words in all capital letters appear {_times(number, bounds)} in the response"
    return Part(words, _count(word, bounds))


def _response_language(columns: Columns) -> Part:
    code = columns.text("language").strip()
    language = _LANGUAGES.get(code, f'the language with the code "{code}"')
    return Part(f"The whole response is in {language}, and in no other language")


_LANGUAGES = MappingProxyType(
    {
        "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "de": "German", "en": "English",
        "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fr": "French", "gu": "Gujarati",
        "he": "Hebrew", "hi": "Hindi", "it": "Italian", "ja": "Japanese", "kn": "Kannada",
        "ko": "Korean", "ml": "Malayalam", "mr": "Marathi", "ne": "Nepali", "pa": "Punjabi",
        "pl": "Polish", "pt": "Portuguese", "ru": "Russian", "sw": "Swahili", "ta": "Tamil",
        "te": "Telugu", "th": "Thai", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese",
    }
)  # fmt: skip


_INSTRUCTIONS: Mapping[str, Callable[[Columns], Part | tuple[Part, ...]]] = MappingProxyType(
    {
        "change_case:capital_word_frequency": _capital_word_frequency,
        "change_case:english_capital": _english_capital,
        "change_case:english_lowercase": _english_lowercase,
        "combination:repeat_prompt": _repeat_prompt,
        "combination:two_responses": _two_responses,
        "detectable_content:number_placeholders": _number_placeholders,
        "detectable_content:postscript": _postscript,
        "detectable_format:constrained_response": _constrained_response,
        "detectable_format:json_format": _json_format,
        "detectable_format:multiple_sections": _multiple_sections,
        "detectable_format:number_bullet_lists": _number_bullet_lists,
        "detectable_format:number_highlighted_sections": _number_highlighted_sections,
        "detectable_format:title": _title,
        "keywords:existence": _existence,
        "keywords:forbidden_words": _forbidden_words,
        "keywords:frequency": _frequency,
        "keywords:letter_frequency": _letter_frequency,
        "language:response_language": _response_language,
        "length_constraints:nth_paragraph_first_word": _nth_paragraph_first_word,
        "length_constraints:number_paragraphs": _number_paragraphs,
        "length_constraints:number_sentences": _number_sentences,
        "length_constraints:number_words": _number_words,
        "punctuation:no_comma": _no_comma,
        "startend:end_checker": _end_checker,
        "startend:quotation": _quotation,
    }
)
