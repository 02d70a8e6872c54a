"""Words are found and counted in scripts with spaces and without, and nothing hides them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refinecli.text.words import count_words, has_word

# A text, a word, and whether it stands there.
FOUND: list[tuple[str, str, bool]] = [
    # scripts without spaces: anywhere, but not inside a letter
    ("这里有死锁问题", "死锁", True),
    ("用python写函数", "python", True),
    ("用pythonic写函数", "python", False),
    ("第42章", "42", True),
    ("デッドロックの問題", "デッドロック", True),
    ("データベースエラー", "エラー", True),
    ("私はAIです", "AI", True),
    ("私はAIRです", "AI", False),
    ("ฉันชอบข้าวผัด", "ข้าว", True),
    ("การ", "ก", False),
    ("เกม", "กม", False),
    ("ขา้", "ขา", False),
    ("ខ្ញុំចូលចិត្តបាយ", "បាយ", True),
    ("ຂ້ອຍມັກກິນເຂົ້າ", "ກິນ", True),
    ("น\u0e4d\u0e49\u0e32ตาล", "น้ำ", True),
    ("น้ำตาล", "น\u0e49\u0e4d\u0e32", True),
    ("ນ\u0ecd\u0eb2", "ນຳ", True),
    # Korean: with what is written onto a word, but only particles onto one of a single syllable
    ("코드를 작성했다", "코드", True),
    ("코드를 작성했다", "작성", True),
    ("소스코드를 보자", "코드", False),
    ("나는 간다", "나", True),
    ("나무가 있다", "나", False),
    ("물을 마신다", "물", True),
    ("물론이다", "물", False),
    ("python으로 짠다", "python", True),
    ("AI는 좋다", "AI", True),
    ("코드 리뷰", "코드", True),
    # marks belong to their letter, in all scripts
    ("हिन्दी भाषा", "हिन्दी", True),
    ("हिन्दी भाषा", "हिन", False),
    ("x\u0302 is", "x", False),
    # hyphens that look alike
    ("Send an e\u2011mail.", "e-mail", True),
    ("Send an e\u2010mail.", "e-mail", True),
    ("Send an e–mail.", "e-mail", True),
    ("Send an e-mail.", "e\u2011mail", True),
    ("a−b", "a-b", True),
    ("yes—no", "yes-no", False),
    ("don´t", "don't", True),
    # invisible characters
    ("blan\u00adket", "blanket", True),
    ("blan\u200bket", "blanket", True),
    ("blan\u200dket", "blanket", True),
    ("blan\ufeffket", "blanket", True),
    ("blan\u2060ket", "blanket", True),
    ("blan\u202eket", "blanket", True),
    ("blan\u034fket", "blanket", True),
    ("می\u200cخواهم", "می\u200cخواهم", True),
    ("میخواهم", "می\u200cخواهم", False),
    ("👩\u200d💻 here", "👩\u200d💻", True),
    ("I ❤\ufe0f it", "❤", True),
    ("b\u0336l\u0336a\u0336n\u0336k\u0336e\u0336t\u0336", "blanket", True),
    ("كِتَابٌ جديد", "كتاب", True),
    ("كتـــاب", "كتاب", True),
    ("שָׁלוֹם", "שלום", True),
    ("a\u200bb", "\u200b", True),
    ("ab", "\u200b", False),
    ("a b", " ", False),
    # letters of another script
    ("а b\u0430nana", "banana", True),
    ("pаss", "pass", True),
    ("мама", "mama", False),
    # emphasis
    ("The _moon_ rises.", "moon", True),
    ("The __moon__ rises.", "moon", True),
    ("The _full moon_ rises.", "moon", True),
    ("The _full moon_ rises.", "full", True),
    ("The *moon* and **moon**", "moon", True),
    ("full_moon_phase", "moon", False),
    ("full_moon_phase", "full", False),
    ("full_moon_phase", "full_moon_phase", True),
    ("_full_moon_phase_", "full_moon_phase", True),
    ("_full_moon_phase_", "phase", False),
    (r"full\_moon\_phase", "full_moon_phase", True),
    (r"full\_moon\_phase", "moon", False),
    (r"\_moon\_", "moon", True),
    ("**blan**ket", "blanket", True),
    ("<b>blan</b>ket", "blanket", True),
    ("blan&shy;ket", "blanket", True),
    ("e&#8209;mail", "e-mail", True),
    ("caf&eacute; noir", "café", True),
    ("~~moon~~", "moon", True),
    ("2*3 is", "23", False),
    # case
    ("STRASSE", "straße", True),
    ("ΣΊΣΥΦΟΣ", "σίσυφος", True),
]


@pytest.mark.parametrize(("text", "word", "there"), FOUND)
def test_a_word_is_found_where_a_reader_sees_it(text: str, word: str, there: bool) -> None:
    assert has_word(text, word) is there


@pytest.mark.parametrize("text", ["moon", "Moon", "MOON"])
def test_case_counts_where_it_is_asked_for(text: str) -> None:
    assert has_word(f"The _{text}_ rises", "moon", case=True) is (text == "moon")


HIDDEN = st.sampled_from(["", "\u00ad", "\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u202c"])
LATIN = st.text("abcxyz", min_size=2, max_size=8)


@given(LATIN, st.data())
@settings(deadline=None)
def test_nothing_invisible_hides_a_latin_word(word: str, data: st.DataObject) -> None:
    hidden = "".join(letter + data.draw(HIDDEN) for letter in word)
    for around in ("{}", "_{}_", "**{}**", "“{}”", "中文{}中文", "so {}, then"):
        assert has_word(around.format(hidden), word)


@given(LATIN, LATIN)
@settings(deadline=None)
def test_a_word_in_a_longer_one_is_not_there(word: str, more: str) -> None:
    more = more.translate(str.maketrans("abcxyz", "defghi"))  # or it may stand there once more
    for longer in (f"{word}{more}", f"{more}{word}", f"{more}_{word}_{more}", f"_{more}{word}_"):
        assert not has_word(longer, word)


ANYTHING = st.text(st.characters(exclude_categories=()))
TELLING = st.lists(
    st.sampled_from([*"a_-*&;~<>\\ b가나死ก\u0301\u200b\u0e32\u0e40²", "&shy;", "<b>", "**"])
).map("".join)


@given(ANYTHING | TELLING, (ANYTHING | TELLING).filter(bool), st.booleans())
@settings(deadline=None)
def test_any_word_is_in_any_text_or_not(text: str, word: str, case: bool) -> None:
    assert has_word(text, word, case=case) in (True, False)
    assert count_words(text) <= len(text)


# A text, and how many words it has.
COUNTED = [
    ("one two", 2),
    ("well-known", 1),
    ("请帮我分析这个架构设计的死锁问题", 16),
    ("我喜欢狗。", 4),
    ("用python写函数", 5),
    ("用Python，Java写", 4),
    ("第42章", 3),
    ("私は学生です", 6),
    ("コーヒー", 4),
    ("나는 학생이다", 2),
    ("코드를 작성했다.", 2),
    ("ฉันชอบกินข้าว", 4),
    ("ฉัน ชอบ 3 ตัว", 4),
    ("ខ្ញុំចូលចិត្ត", 2),
    ("हिन्दी भाषा", 2),
    ("blan\u00adket", 1),
    ("。、「」", 0),
    ("🐕", 0),
]


@pytest.mark.parametrize(("text", "count"), COUNTED)
def test_words_are_counted_as_their_readers_count_them(text: str, count: int) -> None:
    assert count_words(text) == count


@given(st.text(st.sampled_from("死锁问题有这里"), min_size=1))
def test_each_chinese_character_is_a_word(text: str) -> None:
    assert count_words(text) == len(text)
    assert count_words(f"{text}, {text}。") == 2 * len(text)
