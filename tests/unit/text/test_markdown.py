"""Untrusted text in Markdown: it reads as it is, and does nothing."""

from __future__ import annotations

import pytest

from refinecli.text.markdown import code, fenced, inline

JOINT = "\u200b"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("out.jsonl scores +0.1 (95%: -0.1 to +0.3).", None),
        ("snake_case_name and 3 < 4", r"snake_case_name and 3 \< 4"),
        ("run `refinecli grade` again", None),
        ("*bold* _it_ ~~no~~ $x$", r"\*bold\* \_it\_ \~\~no\~\~ \$x\$"),
        ("![a](b) <img src=x>", r"!\[a\](b) \<img src=x\>"),
        ("# a heading", r"\# a heading"),
        ("1. a list", r"1\. a list"),
        ("- a list\n\n> a quote", r"\- a list \> a quote"),
        ("a | b &lt; c \\", r"a \| b \&lt; c " + "\\\\"),
        ("ask @octocat, see #12 and gh-3", f"ask @{JOINT}octocat, see #{JOINT}12 and gh-{JOINT}3"),
        ("https://a.example www.b.example", f"https:{JOINT}//a.example www{JOINT}.b.example"),
    ],
)
def test_a_sentence_shows_its_characters_and_no_more(text: str, written: str | None) -> None:
    assert inline(text) == (text if written is None else written)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", "`plain`"),
        ("a `b` c", "``a `b` c``"),
        ("`b`", "`` `b` ``"),
        ("``` fence", "```` ``` fence ````"),
        ("two\n\nlines @octocat", "`two lines @octocat`"),
        ("a | b", "`a ¦ b`"),
        ("\\|", "`\\¦`"),
        ("", ""),
    ],
)
def test_code_in_a_line_cannot_be_left(text: str, written: str) -> None:
    assert code(text) == written


def test_code_in_a_line_is_cut() -> None:
    assert code("word " * 20, 11) == "`word word…`"


def test_a_block_of_code_is_fenced_by_more_ticks_than_it_has() -> None:
    assert fenced("a\n````\nb") == "`````text\na\n````\nb\n`````"
