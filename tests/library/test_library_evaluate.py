"""The evaluation of a book: what is asked, what is counted, and that chance scores near nothing."""

from __future__ import annotations

import numpy as np
import pytest
from library_stand_ins import HashingEmbedder, add, passage

from t2v_studio.errors import NotFoundError
from t2v_studio.library.evaluate import _arrays, _rankings, evaluate_book, heading_queries, index_terms, page_ranking
from t2v_studio.library.index_numpy import NumpyIndex
from t2v_studio.library.lexical import LexicalIndex
from t2v_studio.library.retrieve import BookIndex, candidates, searched_text
from t2v_studio.workspace import Workspace

ONE = "1" * 16
LABELS = {str(number): number + 14 for number in range(1, 240)}


def test_index_lines_become_terms_with_pdf_pages() -> None:
    lines = [
        "226 INDEX\nEPS plot, 36\nerror\namplification factor, 59\nexplicit schemes, 91, 95",
        "finite difference operator notation,\n17\nBackward Euler scheme,\n9, 10\nradioactive decay, 2–4\nGitHub, 194\nL-stable methods, 999",
    ]
    terms = dict(index_terms(lines, LABELS))
    assert terms["EPS plot"] == [50]
    assert terms["explicit schemes"] == [105, 109]
    assert terms["finite difference operator notation"] == [31]
    assert terms["Backward Euler scheme"] == [23, 24]
    assert terms["radioactive decay"] == [16, 17, 18]
    assert "GitHub" not in terms
    assert "L-stable methods" not in terms
    assert index_terms([], LABELS) == []


def test_headings_name_the_pages_below_them() -> None:
    passages = [
        passage(ONE, 0, "Text one.", page=3, section="1 Decay > 1.1 The Forward Euler scheme"),
        passage(ONE, 1, "Text two.", page=3, page_last=4, section="1 Decay > 1.1 The Forward Euler scheme"),
        passage(ONE, 2, "Text three.", page=9, section="2 Growth > Summary"),
        passage(ONE, 3, "Text four.", page=12, section=""),
    ]
    assert heading_queries(passages) == [("The Forward Euler scheme", [3, 4])]


def test_pages_are_ranked_once_each() -> None:
    passages = [passage(ONE, 0, "a", page=5, page_last=6), passage(ONE, 1, "b", page=5), passage(ONE, 2, "c", page=2)]
    assert page_ranking([1, 0, 2], passages) == [5, 6, 2]
    assert page_ranking([1, 0, 2], passages, depth=2) == [5, 6]


SUBJECTS = [
    "kernel",
    "momentum",
    "entropy",
    "pruning",
    "convolution",
    "attention",
    "boosting",
    "bagging",
    "dropout",
    "regression",
    "clustering",
    "sampling",
]


def many_passages(with_index: bool = True) -> list:
    found, lines = [], []
    for place, subject in enumerate(SUBJECTS):
        text = (
            f"The {subject} method improves the model in its own way. A {subject} step takes the data and changes the state. "
            f"After that the result of {subject} is compared with the plain answer, which costs little time at all."
        )
        found.append(passage(ONE, place, text, page=place + 1, section=f"Part > All about {subject}"))
        lines.append(f"{subject} method, {place + 1}")
    if with_index:
        found.append(passage(ONE, 99, "\n".join(lines), page=13, state="rejected", reason="index", kind="index"))
    return found


@pytest.fixture
def parts() -> tuple[NumpyIndex, HashingEmbedder]:
    return NumpyIndex(), HashingEmbedder()


def test_a_book_that_answers_its_own_index(workspace: Workspace, parts: tuple[NumpyIndex, HashingEmbedder]) -> None:
    index, embedder = parts
    add(workspace, index, embedder, many_passages())
    seen: list[tuple[int, int]] = []
    found = evaluate_book(
        ONE, workspace=workspace, index=index, embedder=embedder, report=lambda *step: seen.append(step)
    )
    assert found["index_terms"]["queries"] == len(SUBJECTS)
    assert found["outline"]["queries"] == len(SUBJECTS)
    for kind in ("index_terms", "outline"):
        figures = found[kind]["figures"]
        assert figures["shipped"]["ndcg@10"]["mean"] == pytest.approx(1.0)
        assert figures["shuffled"]["mrr@10"]["mean"] < 0.6
        assert set(figures) == {"dense", "words", "rank fusion", "shipped", "shuffled"}
    assert seen[-1] == (24, 24)


def test_a_book_without_an_index_says_so(workspace: Workspace, parts: tuple[NumpyIndex, HashingEmbedder]) -> None:
    index, embedder = parts
    add(workspace, index, embedder, many_passages(with_index=False))
    found = evaluate_book(ONE, workspace=workspace, index=index, embedder=embedder)
    assert not found["index_terms"]["available"]
    assert "no back-of-book index" in found["index_terms"]["message"]
    assert found["outline"]["available"]


def test_unknown_book_and_missing_index(workspace: Workspace, parts: tuple[NumpyIndex, HashingEmbedder]) -> None:
    index, embedder = parts
    with pytest.raises(NotFoundError):
        evaluate_book(ONE, workspace=workspace, index=index, embedder=embedder)
    add(workspace, index, embedder, many_passages(), build=False)
    with pytest.raises(NotFoundError) as raised:
        evaluate_book(ONE, workspace=workspace, index=index, embedder=embedder)
    assert raised.value.code == "index_missing"


def test_what_is_measured_is_what_is_shipped(workspace: Workspace, parts: tuple[NumpyIndex, HashingEmbedder]) -> None:
    index, embedder = parts
    passages = [one for one in many_passages() if one.state == "kept"]
    add(workspace, index, embedder, passages)
    collection = index.collections()[0]
    arrays = _arrays(index, collection, passages)
    words = LexicalIndex([one.id for one in passages], [searched_text(one) for one in passages])
    book = BookIndex(ONE, "A book", collection, {one.id: one for one in passages}, words)
    for query in ("kernel method and entropy", "state of the model after sampling", "plain answer of dropout"):
        vector = embedder.encode_query(query)
        measured = _rankings(arrays, query, vector, bare=False)["shipped"]
        scores = {one.passage.page: one.score for one in candidates([book], query, vector, index, candidate_k=24)}
        assert np.allclose([scores[page] for page in measured], sorted(scores.values(), reverse=True)[:10], atol=1e-5)
