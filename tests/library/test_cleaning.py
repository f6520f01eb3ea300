"""Characters, hyphens, running heads and sentence ends."""

from __future__ import annotations

import pytest

from t2v_studio.library.cleaning import fold, joined, title_key, vocabulary
from t2v_studio.library.paragraphs import atoms
from t2v_studio.library.reading import Line, OutlineEntry, Page
from t2v_studio.library.running import running_lines
from t2v_studio.library.scripts import main_type, position, script
from t2v_studio.library.sections import Placed
from t2v_studio.library.sentences import split


def test_fold_opens_ligatures_and_keeps_exponents() -> None:
    assert fold("ﬁnite  diﬀerence") == "finite difference"
    assert fold("x² + ½") == "x² + ½"
    assert fold("soft\u00adhyphen\u200b") == "softhyphen"
    assert fold("a\x1cb") == "a\ufffdb"


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("a paramet-", "ric family", "a parametric family"),
        ("the well-", "known rule", "the well-known rule"),
        ("Crank-", "Nicolson", "Crank-Nicolson"),
        ("the order-", "disorder line", "the order-disorder line"),
        ("plain", "text", "plain text"),
    ],
)
def test_hyphens_follow_the_book(left: str, right: str, expected: str) -> None:
    known = vocabulary(["a parametric rule", "a well-known rule", "order of order", "disorder and disorder"])
    assert joined(left, right, known) == expected


def book(count: int = 12) -> list[Page]:
    pages = []
    for number in range(1, count + 1):
        head = Line(f"{number} 2 Methods" if number % 2 else f"2.{number // 4} Part {number}", y=700.0)
        body = [Line(f"Text {word * number} here.", y=600.0 - 14 * i) for i, word in enumerate(["one", "two", "six"])]
        pages.append(Page(number, str(number), [head, *body, Line("© 2020 The Press", y=40.0)]))
    return pages


def test_running_heads_and_feet_are_found_and_text_is_not() -> None:
    found = running_lines(book(), [])
    assert {index for _, index in found} == {0, 4}
    assert len([spot for spot in found if spot[1] == 0]) == 12


def test_the_title_of_a_section_on_its_own_page_is_no_running_head() -> None:
    pages = book()
    for page in pages:
        page.lines[0].text = "Methods"
    found = running_lines(pages, [OutlineEntry("2 Methods", 0, 5)])
    assert (5, 0) not in found and (6, 0) in found


@pytest.mark.parametrize("text", ["2.1 The Method", "The method", "Chapter 2: The Method", "A.3 The Method"])
def test_titles_compare_without_their_numbers(text: str) -> None:
    assert title_key(text) == "themethod"


def test_a_title_that_is_a_year_keeps_it() -> None:
    assert title_key("1984") == "1984"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("See Fig. 3 for details. It shows more.", 2),
        ("Use e.g. Newton's method. Then stop.", 2),
        ("By Eq. (2) it holds. Done now.", 2),
        ("H. P. Langtangen wrote it. It is free.", 2),
        ("The value is 3.14 here. Next one.", 2),
        ("Is it so? Yes! It is.", 3),
        ("1. First point of the list", 1),
        ("Smith et al. Show that.", 2),
        ("it runs in O(n log n). We stop", 2),
        ("first line without end\nSecond line.", 2),
    ],
)
def test_sentence_ends(text: str, count: int) -> None:
    assert len(split(text)) == count, split(text)


def test_small_raised_type_becomes_an_exponent() -> None:
    from collections import Counter

    size, baseline = main_type(Counter({(11.0, 600.0): 3, (7.0, 604.0): 4}))
    assert (size, baseline) == (11.0, 600.0)
    assert script("n+1", position(7.0, 604.0, size, baseline)) == "ⁿ⁺¹"
    assert script("i", position(7.0, 598.0, size, baseline)) == "ᵢ"
    assert script("word", position(11.0, 600.0, size, baseline)) == "word"


def test_signs_that_no_reader_knows_become_gaps_and_broken_words_do_not() -> None:
    known = vocabulary(["published in the year and runs fast"])
    lines = [
        "\ufffd\ufffdThe puzzle was first published in \ufffd\ufffd\ufffd\ufffd, long before computers.",
        "The \ufffdrst rotation of the array takes linear time in all.",
    ]
    placed = [Placed(Line(text), text, 1, "Hanoi") for text in lines]
    whole, broken = atoms(placed, 0.0, known)
    assert (whole.text, whole.reason) == ("The puzzle was first published in […], long before computers.", "")
    assert broken.reason == "unreadable" and "\ufffdrst" in broken.text
