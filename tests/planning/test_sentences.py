"""Only sentences that stand on their own are said, whole or cut at a clause border."""

from __future__ import annotations

import pytest

from t2v_studio.planning.sentences import (
    clean,
    content_stems,
    garbled,
    refusal,
    run_in,
    section_label,
    sentences_of,
    stem,
    term,
    trim,
)


@pytest.mark.parametrize(
    ("sentence", "reason"),
    [
        ("This is why the step has a negative sign.", "dangling start"),
        ("It overshoots the minimum of the cost function.", "dangling start"),
        ("The latter converges much faster on smooth functions.", "dangling start"),
        ("We will return to kernels after the discussion of margins.", "leans on its place"),
        ("Convergence is easy to prove, as shown below in more detail.", "leans on its place"),
        ("The update rule follows from (2.14) by one more differentiation.", "numbered reference"),
        ("Figure 3.2 shows how the iterates approach the minimum.", "dangling start"),
        ("The update w = w − ηg is repeated until nothing changes.", "formula"),
        ("The function solver(a) returns u_exact for every mesh point.", "code"),
        ("Call plot() to draw the curve of the numerical solution.", "code"),
        ("and therefore the method converges for every starting point.", "fragment"),
        ("The steps of the method are these", "no end"),
        ("The value uⁿ⁺¹ at the next point follows from the value before.", "formula"),
        ("The lower left plot is stuck on the horizontal axis.", "dangling start"),
        ("Short but sweet.", "too short"),
        ("The gradient (which is a vector points uphill at every point.", "unbalanced"),
        ("Values at xi and yj and zk must agree with each other.", "formula"),
        ("The parame- ters are updated once in every single iteration.", "broken hyphen"),
        ("Stability properties The method is stable for small time steps.", "heading"),
        ("Fulfilling the equation at discrete time points of the mesh.", "heading"),
        ("Contrary to the simple tree, it is highly uninterpretable.", "carries over"),
        ("The stability of the scheme demands ∆t ≤ 1 for all modes.", "formula"),
    ],
)
def test_refused(sentence: str, reason: str) -> None:
    assert refusal(clean(sentence)) == reason
    assert trim(sentence) == ""


@pytest.mark.parametrize(
    ("sentence", "said"),
    [
        ("However, the method converges for every convex function.", "The method converges for every convex function."),
        ("Note that gradients vanish in very deep networks.", "Gradients vanish in very deep networks."),
        ("Momentum damps the zigzag by averaging gradients [7].", "Momentum damps the zigzag by averaging gradients."),
        ("The margin is the gap between the classes (see Figure 3.2).", "The margin is the gap between the classes."),
        ("The margin was introduced long ago (Vapnik 1995).", "The margin was introduced long ago."),
        (
            "It is important to standardize the data before training.",
            "It is important to standardize the data before training.",
        ),
        ("Merge sort runs in O(n log n) time on every input.", "Merge sort runs in O(n log n) time on every input."),
        (
            "The solution oscillates if ∆t is too large for the decay.",
            "The solution oscillates if ∆t is too large for the decay.",
        ),
        (
            "Now that the centers are chosen, run the usual method.",
            "Now that the centers are chosen, run the usual method.",
        ),
    ],
)
def test_cleaned(sentence: str, said: str) -> None:
    assert trim(sentence) == said


def test_long_sentences_are_cut_at_a_clause_border_only() -> None:
    long = (
        "The support vector machine chooses the hyperplane with the widest margin between two classes, "
        "which can be found by quadratic programming with one constraint for each of the training points in the data set."
    )
    assert trim(long) == "The support vector machine chooses the hyperplane with the widest margin between two classes."


def test_a_contrast_is_never_cut_off() -> None:
    long = (
        "The method converges to the global minimum from every starting point in the whole domain of the function, "
        "which is true only if the function is convex and the learning rate does not exceed a bound that depends on it."
    )
    assert trim(long) == ""


def test_a_subordinate_clause_does_not_stand_alone() -> None:
    long = (
        "When the learning rate is far too large for the curvature of the function at hand; the iterates jump from one side "
        "of the valley to the other and grow in size with every further step that the method takes from there on."
    )
    assert not trim(long).startswith(
        "When the learning rate is far too large for the curvature of the function at hand."
    )


def test_one_symbol_is_allowed_but_not_where_glyphs_are_broken() -> None:
    sentence = "The parameter C controls how much a violation of the margin costs."
    assert trim(sentence, symbols=1) == sentence
    assert trim(sentence, symbols=0) == ""
    assert garbled("where \ufffd denotes the rate") and garbled("x ≜ y") and not garbled("a plain passage")


def test_bullets_and_abbreviations_split_well() -> None:
    text = "Kernels, e.g. the Gaussian one, bend boundaries. • Margins matter most. • Slack helps a bit."
    assert sentences_of(text) == [
        "Kernels, e.g. the Gaussian one, bend boundaries.",
        "Margins matter most.",
        "Slack helps a bit.",
    ]


def test_a_term_stands_in_the_passage_more_than_once() -> None:
    sentence = "The training points that touch the margin are called support vectors."
    passage = f"{sentence} Without support vectors there is no margin."
    assert term(sentence, passage, set(), set()) == "Support vectors"
    assert term(sentence, passage, set(), {"support vectors"}) == ""
    assert term(sentence, passage, set(content_stems("support vectors")), set()) == ""
    assert term(sentence, sentence, set(), set()) == ""


@pytest.mark.parametrize(
    "sentence",
    [
        "When it is too large, the steps jump across the whole valley.",
        "Adding the gradient instead would climb the hill again.",
        "For a network with many weights the second way needs many passes.",
    ],
)
def test_what_leans_on_the_sentence_before_is_refused(sentence: str) -> None:
    assert refusal(clean(sentence)) == "carries over"


def test_a_list_is_not_cut_before_its_last_item() -> None:
    listed = (
        "For squared error the expected test error at one point of the input space is the sum of three terms of different "
        "origin: the squared bias, the variance of the fitted model, and the noise of the measured data itself."
    )
    assert not trim(listed).endswith("the variance of the fitted model.")


def test_run_in_headings_and_connectives_go() -> None:
    assert trim("Sparse: Support vector machines use only a subset of the examples.") == (
        "Support vector machines use only a subset of the examples."
    )
    assert trim("Very different scores therefore lead to attention that selects.") == (
        "Very different scores lead to attention that selects."
    )


def test_stems_join_inflections() -> None:
    assert stem("gradients") == stem("gradient")
    assert stem("minimizing") == stem("minimized") == stem("minimizes")
    assert stem("stopped") == stem("stops")
    assert "the" not in content_stems("the margin of the classes")


def test_labels_from_the_book() -> None:
    passage = "It has two parts. ❒ Optimal margin – The widest street wins. It is unique."
    assert run_in("The widest street wins.", passage, set(), set()) == "Optimal margin"
    assert run_in("The widest street wins.", passage, set(), {"optimal margin"}) == ""
    assert run_in("It is unique.", passage, set(), set()) == ""
    assert section_label("14 Kernels > 14.5.3 Choosing C", {"svm"}) == "Choosing C"
    assert section_label("14 Kernels > 14.5 Support vector machines (SVMs)", {"support", "vector", "machin"}) == ""
    assert section_label("3 ODEs > 3.2.10 Example: Runge-Kutta methods", set()) == ""
