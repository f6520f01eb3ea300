"""Measuring, wrapping and fitting, and what happens to letters that no font has."""

from __future__ import annotations

import pytest

from t2v_studio.engines.local import fonts
from t2v_studio.engines.local.display import MIN_TEXT
from t2v_studio.engines.local.formula import measure_formula, outline
from t2v_studio.engines.local.text import ELLIPSIS, balanced, fit, measure, shorten, wrap

SENTENCE = "The support vector machine looks for the hyperplane that leaves the widest margin between two classes."


def test_width_is_proportional_to_size_and_bold_is_wider() -> None:
    assert measure(SENTENCE, 48) == pytest.approx(2 * measure(SENTENCE, 24))
    assert measure(SENTENCE, 24, "bold") > measure(SENTENCE, 24)


@pytest.mark.parametrize("width", [90.0, 233.0, 700.0])
def test_wrapped_lines_keep_every_word_and_the_width(width: float) -> None:
    for lines in (wrap(SENTENCE, 26, width), balanced(SENTENCE, 26, width)):
        assert all(measure(line, 26) <= width + 0.01 for line in lines)
        assert "".join(lines).replace(" ", "") == SENTENCE.replace(" ", "")
    assert len(balanced(SENTENCE, 26, width)) == len(wrap(SENTENCE, 26, width))


def test_balanced_lines_break_no_word_that_fits() -> None:
    words = set(SENTENCE.split())
    for width in range(160, 800, 40):
        assert {word for line in balanced(SENTENCE, 30, width, "bold") for word in line.split()} <= words


@pytest.mark.parametrize(
    "text", ["short", SENTENCE, SENTENCE * 6, "x" * 300, "Donaudampfschifffahrtsgesellschaft " * 4]
)
@pytest.mark.parametrize(("width", "height"), [(120.0, 40.0), (300.0, 90.0), (1100.0, 50.0)])
def test_fitted_text_never_overflows(text: str, width: float, height: float) -> None:
    fitted = fit(text, width, height, 40)
    assert MIN_TEXT <= fitted.size <= 40
    assert all(measure(line, fitted.size) <= width + 0.01 for line in fitted.lines)
    assert len(fitted.lines) == 1 or fitted.height - 0.28 * fitted.size <= height + 0.01
    assert fitted.cut == fitted.lines[-1].endswith(ELLIPSIS)


def test_fit_keeps_the_largest_size_that_fits() -> None:
    assert fit("short", 400, 60, 40).size == 40
    long = fit(SENTENCE, 400, 120, 40)
    assert MIN_TEXT <= long.size < 40
    assert not long.cut


def test_shorten_ends_in_an_ellipsis_only_when_it_must() -> None:
    assert shorten("a few words", 24, 500) == "a few words"
    cut = shorten(SENTENCE, 24, 200)
    assert cut.endswith(ELLIPSIS) and SENTENCE.startswith(cut[:-1])
    assert measure(cut, 24) <= 200


def test_symbols_of_lectures_are_drawn_and_missing_letters_are_named() -> None:
    assert fonts.undrawable("∇f(θ) → αβγ ≤ ∞ ∈ ℝ, Łódź, Привет, naïve, ₁²") == []
    assert fonts.undrawable("支持 vector") == ["支", "持"]
    assert "".join(run.text for run in fonts.shape("支a").runs) == "?a"


def test_a_second_font_stands_in_where_the_first_has_no_glyph() -> None:
    runs = fonts.shape("∇ loss").runs
    assert len({run.font_file for run in runs}) == 2
    assert runs[0].x == 0 and runs[1].x == pytest.approx(runs[0].width)


def test_right_to_left_words_are_put_in_visual_order() -> None:
    assert fonts.visual_order("abc") == "abc"
    assert fonts.visual_order("שלום") == "םולש"
    assert fonts.visual_order("go שלום now").startswith("go ")


@pytest.mark.parametrize(
    ("latex", "setter"),
    [
        (r"x_{t+1} = x_t - \eta \nabla f(x_t)", "ziamath"),
        (r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", "ziamath"),
        (r"\text{softmax}\left(\frac{QK^\top}{\sqrt{d_k}}\right) V", "ziamath"),
        (r"\lVert w \rVert_2", "ziamath"),
    ],
)
def test_formulas_are_typeset(latex: str, setter: str) -> None:
    assert outline(latex).setter == setter
    width, height = measure_formula(latex, 30)
    assert width > 20 and height > 10
    assert measure_formula(latex, 60) == pytest.approx((2 * width, 2 * height))


def test_a_fraction_is_taller_than_a_letter_and_has_its_bar() -> None:
    assert measure_formula(r"\frac{a}{b}", 30)[1] > 1.8 * measure_formula("a", 30)[1]


@pytest.mark.parametrize("latex", [r"\frac{a", r"\begin{nonsense} x", "}{", "%", ""])
def test_a_formula_that_cannot_be_set_still_gives_something_to_draw(latex: str) -> None:
    drawn = outline(latex)
    assert drawn.width > 0 and drawn.height > 0
