"""A small made-up course book, as the library would give it out, and a search over it by shared words."""

from __future__ import annotations

import re

from t2v_studio.library.passages import Evidence, Outcome, Passage, Quote, SearchResult

BOOK_ID = "0123456789abcdef"
PASSAGES = {
    "Gradient descent > Idea": (
        12,
        "Gradient descent is an iterative method that lowers a cost function step by step. "
        "The gradient of a function points in the direction of its steepest ascent. "
        "This is why the sign of the step is negative. "
        "A cost function assigns one number to every choice of the parameters, as shown in Figure 3.2.",
    ),
    "Gradient descent > Update": (
        13,
        "Each iteration subtracts the gradient, multiplied by the learning rate, from the current parameters. "
        "The iteration stops when the norm of the gradient falls below a tolerance. "
        "With w = w − ηg we obtain (2.14).",
    ),
    "Gradient descent > Learning rate": (
        14,
        "A learning rate that is too large makes the iterates overshoot the minimum and diverge. "
        "A learning rate that is too small wastes many iterations on tiny progress. "
        "Practitioners often halve the learning rate whenever the cost function increases.",
    ),
    "Gradient descent > Several variables": (
        15,
        "In several variables the partial derivatives form a vector that is orthogonal to the contour lines. "
        "Narrow valleys force the path of gradient descent into a zigzag with slow progress along the floor. "
        "Momentum damps the zigzag by averaging successive gradients [7].",
    ),
    "Support vector machines > Margin": (
        40,
        "A support vector machine separates two classes by the hyperplane with the widest margin. "
        "The training points that touch the margin are called support vectors. "
        "Slack variables allow some points to violate the margin at a price.",
    ),
    "Support vector machines > Kernels": (
        41,
        "Kernels let a support vector machine draw curved boundaries without computing the feature vectors. "
        "Support vector machines do not produce probabilities, unlike logistic regression. "
        "Training a support vector machine requires the solution of a quadratic programming problem.",
    ),
}


def passage(section: str, page: int, text: str, ordinal: int) -> Passage:
    return Passage(
        id=f"{BOOK_ID}-{ordinal:05d}", book_id=BOOK_ID, ordinal=ordinal, page=page, page_last=page, label=str(page - 4),
        label_last=str(page - 4), section=section, text=text, words=len(text.split()), content_hash=str(ordinal),
    )  # fmt: skip


def evidence_of(section: str, score: float) -> Evidence:
    ordinal = list(PASSAGES).index(section)
    page, text = PASSAGES[section]
    held = passage(section, page, text, ordinal)
    first = text.split(". ")[0] + "."
    quote = Quote(text=first, page=page, label=held.label, passage_id=held.id, score=score)
    return Evidence(passage=held, book="Lecture Notes", page=page, label=held.label, score=score, quotes=[quote])


def sentence_scores(query: str, held: Passage) -> list[Quote]:
    """Its sentences by the share of words that they and the query have in common (a stand-in for cosines)."""
    wanted = set(re.findall(r"[a-z]{4,}", query.lower()))
    quotes = []
    for text in re.split(r"(?<=\.) ", held.text):
        words = set(re.findall(r"[a-z]{4,}", text.lower()))
        score = 0.4 + len(wanted & words) / max(1, len(wanted | words)) if wanted & words else 0.0
        quotes.append(Quote(text=text, page=held.page, label=held.label, passage_id=held.id, score=round(score, 3)))
    return quotes


def by_shared_words(query: str, k: int) -> SearchResult:
    """Passages ranked by the share of the query's words that they hold."""
    wanted = set(re.findall(r"[a-z]{4,}", query.lower()))
    scored = []
    for section, (_, text) in PASSAGES.items():
        held = set(re.findall(r"[a-z]{4,}", f"{section} {text}".lower()))
        scored.append((round(len(wanted & held) / max(1, len(wanted)), 3), section))
    hits = [
        evidence_of(section, score)
        for score, section in sorted(scored, key=lambda one: (-one[0], one[1]))
        if score >= 0.2
    ]
    hits = [hit.model_copy(update={"sentences": sentence_scores(query, hit.passage)}) for hit in hits]
    outcome = Outcome.found if hits else Outcome.nothing_relevant
    return SearchResult(query=query, outcome=outcome, hits=hits[:k])
