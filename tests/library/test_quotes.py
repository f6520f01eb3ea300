"""Sentences that may be quoted, and those that may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2v_studio.library.quotes import is_exercise, is_quotable, quality
from t2v_studio.library.sentences import split

GOOD = [
    "Gradient descent moves the parameters against the gradient of the loss.",
    "A greedy method expands the node that seems closest to the goal, and may therefore miss the shortest path.",
    "The k-means algorithm assigns each point to the nearest centre (measured by Euclidean distance).",
    "In the words of its author, “a kernel is an inner product in a space that we never write down.”",
    "Newton's method converges fast near a minimum, but each step needs the Hessian.",
]
BAD = {
    "fragment without an end": "and the step size decides how far each of the moves will go",
    "starts in the middle": "descent moves the parameters against the gradient of the loss.",
    "too short": "This works well.",
    "caption": "Figure 3.2: The loss falls quickly in the first hundred steps of training.",
    "caption, short form": "Fig. 7 The loss falls quickly in the first hundred steps of training.",
    "table": "Table 2.1. Values of the loss after each of the first ten epochs of training.",
    "heading with number": "3.2.1 Forward Euler schemes and their behaviour for large time steps in practice.",
    "title case heading": "Methods For The Solution Of Ordinary Differential Equations In Science And Engineering.",
    "symbols": "Then u n + 1 = u n − a ∆ t u n and A = 1 − a ∆ t for all n > 0.",
    "formula was cut out": "The update of the weights is […] where the step size decides how far to go.",
    "open bracket": "The gradient (which points uphill is subtracted from the parameters in every step.",
    "unreadable": "The gradient points uph\ufffdll and is subtracted from the parameters in every step.",
    "exercise": "Exercise 4.1: Derive the update rule of gradient descent for the squared loss by hand.",
    "too long": " ".join(["The method", *["goes on and"] * 20, "ends."]),
}


@pytest.mark.parametrize("sentence", GOOD)
def test_prose_may_be_quoted(sentence: str) -> None:
    assert is_quotable(sentence)


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_prose_may_not(name: str) -> None:
    assert not is_quotable(BAD[name])


def test_a_list_item_without_a_full_stop_does_not_stick_to_the_next_sentence() -> None:
    text = "There are two kinds of search.\n• blind search without an estimate\nGuided search asks an estimate which node to open next."
    assert split(text) == text.split("\n")
    assert [sentence for sentence in split(text) if is_quotable(sentence)] == [text.split("\n")[2]]


@pytest.mark.parametrize(
    ("section", "expected"),
    [("1 Descent > 1.8 Exercises", True), ("4.14 Exercises and problems", True), ("Models > Exercise 4.2", True),
     ("3 Eigenvalue problems in physics", False), ("5 The exercise of power", False), ("6 Boundary value problems", False)],
)  # fmt: skip
def test_exercises_are_known_by_their_section(section: str, expected: bool) -> None:
    assert is_exercise(section) is expected


def test_explaining_beats_pointing_elsewhere() -> None:
    explains = quality("A gradient is a vector that points in the direction of steepest ascent.")
    plain = quality("Small steps cost many evaluations and large steps overshoot the minimum.")
    leans = quality("Therefore they overshoot the minimum in every second step of the run.")
    points = quality("Gradients of the loss are plotted as arrows, see the next section for details.")
    assert explains > plain > leans > points


def test_no_bad_sentence_of_a_real_book_gets_through(shared_data: Path) -> None:
    """On the raw text of two books, captions, formulas and headings stay out, and most running prose stays in."""
    import pypdfium2

    path = shared_data / "books" / "decay-book-4print.pdf"
    if not path.is_file():
        pytest.skip(f"{path.name} is not there")
    document = pypdfium2.PdfDocument(path)
    quotable = []
    for number in range(15, 75):
        text = " ".join(document[number].get_textpage().get_text_bounded().split())
        quotable += [sentence for sentence in split(text) if is_quotable(sentence)]
    assert len(quotable) > 200
    for sentence in quotable:
        assert not sentence.startswith(("Fig.", "Table", "Terminal"))
        letters = sum(letter.isalpha() or letter == " " for letter in sentence)
        assert letters > 0.85 * len(sentence), sentence
