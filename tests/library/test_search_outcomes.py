"""Search over a small library: what is found, how it ends, and which sentences and pages it gives."""

from __future__ import annotations

import numpy as np
import pytest
from library_stand_ins import HashingEmbedder, add, passage

from t2v_studio.errors import InputError, NotFoundError
from t2v_studio.library import search as search_module
from t2v_studio.library.index_numpy import NumpyIndex
from t2v_studio.library.lexical import LexicalIndex
from t2v_studio.library.passages import Outcome, SearchResult
from t2v_studio.library.search import SearchMemory, search
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

ONE, TWO = "1" * 16, "2" * 16
DESCENT = (
    "Gradient descent moves the parameters against the gradient of the loss. The step size decides how far each move goes. "
    "A large step size makes the iteration diverge, while a small one wastes many evaluations of the gradient."
)
TREES = (
    "Decision trees split the training samples by one feature after another. Each leaf of the tree predicts the majority "
    "class of its samples. Deep trees memorise noise, therefore they are pruned after growing."
)
CROSSING = (
    "Momentum remembers earlier gradients and smooths the path of the iteration. Nesterov evaluates the gradient after the "
    "momentum step has been made already, and so corrects a step that went too far."
)


class Library:
    def __init__(self, workspace: Workspace, settings: Settings) -> None:
        self.workspace, self.settings = workspace, settings
        self.index, self.embedder, self.memory = NumpyIndex(), HashingEmbedder(), SearchMemory()

    def search(self, query: str, **options: object) -> SearchResult:
        settings = options.pop("settings", self.settings)
        return search(
            query, workspace=self.workspace, settings=settings, index=self.index, embedder=self.embedder,
            memory=self.memory, **options,
        )  # type: ignore[arg-type]  # fmt: skip


@pytest.fixture
def library(workspace: Workspace, settings: Settings) -> Library:
    made = Library(workspace, settings)
    crossing = passage(
        ONE, 2, CROSSING, page=7, page_last=8, label="vii", label_last="1", breaks=[CROSSING.index("Nesterov")]
    )
    add(workspace, made.index, made.embedder, [
        passage(ONE, 0, DESCENT, page=3, section="Optimisation > First order"), passage(ONE, 1, TREES, page=5), crossing,
    ], title="Learning")  # fmt: skip
    return made


def test_found_with_page_section_and_whole_sentences(library: Library) -> None:
    result = library.search("How does the step size of gradient descent decide the iteration?", k=1)
    assert result.outcome == Outcome.found
    hit = result.hits[0]
    assert (hit.book, hit.page, hit.label, hit.passage.section) == ("Learning", 3, "3", "Optimisation > First order")
    assert hit.score >= search_module.WEAK_SCORE
    assert hit.quotes
    for quote in hit.quotes:
        assert quote.text in DESCENT
        assert quote.text[0].isupper() and quote.text.endswith(".")
        assert quote.page == 3


def test_a_sentence_after_a_page_break_has_its_own_page(library: Library) -> None:
    result = library.search(
        "Nesterov evaluates the gradient after the momentum step has been made; path of earlier gradients", k=1
    )
    quotes = {quote.text.split()[0]: (quote.page, quote.label) for quote in result.hits[0].quotes}
    assert quotes["Nesterov"] == (8, "1")
    assert quotes["Momentum"] == (7, "vii")
    assert (result.hits[0].page, result.hits[0].label) == (8, "1")


def test_the_word_budget_holds_over_all_hits(library: Library) -> None:
    for budget in (20, 30, 45, 80):
        settings = library.settings.model_copy(update={"rag_max_context_words": budget})
        result = library.search("gradient of the loss, trees, momentum and samples", k=3, settings=settings)
        words = [len(quote.text.split()) for hit in result.hits for quote in hit.quotes]
        assert words and (sum(words) <= budget or len(words) == 1)


def test_nothing_relevant_is_said_with_the_closest_score(library: Library) -> None:
    result = library.search("volcanoes beneath glaciers")
    assert result.outcome == Outcome.nothing_relevant
    assert not result.hits
    assert "0.18" in result.message


def test_a_weak_match_is_called_weak(library: Library) -> None:
    result = library.search("gradient marzipan volcano harvest penguin tractor umbrella", k=1)
    assert result.outcome == Outcome.weak
    assert result.hits and 0.18 <= result.hits[0].score < search_module.WEAK_SCORE


def test_no_book_and_a_missing_index_are_different(workspace: Workspace, settings: Settings) -> None:
    made = Library(workspace, settings)
    empty = made.search("gradient")
    assert (empty.outcome, empty.hits) == (Outcome.no_book, [])
    assert "library add" in empty.message
    add(workspace, made.index, made.embedder, [passage(ONE, 0, DESCENT)], title="Lost", build=False)
    lost = made.search("gradient")
    assert (lost.outcome, lost.hits) == (Outcome.index_missing, [])
    assert '"Lost"' in lost.message


def test_several_books_are_merged_and_can_be_chosen(library: Library) -> None:
    other = (
        "Gradient boosting adds trees that follow the gradient of the loss. Each tree corrects the step before it. " * 2
    )
    add(library.workspace, library.index, library.embedder, [passage(TWO, 0, other, page=2)], title="Boosting")
    both = library.search("gradient of the loss and trees", k=4)
    assert {hit.book for hit in both.hits} == {"Learning", "Boosting"}
    only = library.search("gradient of the loss and trees", k=4, book_ids=[TWO])
    assert {hit.book for hit in only.hits} == {"Boosting"}
    with pytest.raises(NotFoundError):
        library.search("gradient", book_ids=["f" * 16])


def test_one_missing_index_of_two_is_mentioned(library: Library) -> None:
    add(
        library.workspace,
        library.index,
        library.embedder,
        [passage(TWO, 0, TREES + " More.")],
        title="Lost",
        build=False,
    )
    result = library.search("gradient descent step size")
    assert result.outcome == Outcome.found
    assert '"Lost"' in result.message


def test_short_passages_are_no_evidence(library: Library) -> None:
    add(
        library.workspace,
        library.index,
        library.embedder,
        [passage(TWO, 0, "Convolution kernels detect edges of pictures.")],
    )
    result = library.search("convolution kernels detect edges of pictures", k=3)
    assert all(hit.passage.book_id == ONE for hit in result.hits)


def test_the_floor_is_the_setting(library: Library) -> None:
    strict = library.settings.model_copy(update={"rag_min_score": 0.99})
    assert library.search("gradient descent", settings=strict).outcome == Outcome.nothing_relevant


def test_a_readded_book_is_read_anew(library: Library) -> None:
    assert library.search("volcanoes erupt beneath glaciers").outcome == Outcome.nothing_relevant
    text = (
        "Volcanoes erupt beneath glaciers when magma melts the ice above it. The melted water floods the plains below. "
        * 2
    )
    add(
        library.workspace,
        library.index,
        library.embedder,
        [passage(ONE, 0, text, page=4)],
        title="Learning, second edition",
    )
    result = library.search("volcanoes erupt beneath glaciers")
    assert (result.outcome, result.hits[0].book) == (Outcome.found, "Learning, second edition")


def test_the_same_search_gives_the_same_answer(library: Library) -> None:
    twin = (
        "Equal words in equal passages tie in every score of the search. They are told apart by their ids alone. " * 2
    )
    add(library.workspace, library.index, library.embedder, [
        passage(TWO, place, twin, page=place + 1, section="", id=f"{letter * 24}") for place, letter in enumerate("cab")
    ], title="Twins")  # fmt: skip
    first = library.search("equal words tie in every score", k=3)
    library.memory = SearchMemory()
    again = library.search("equal words tie in every score", k=3)
    assert first == again
    assert first.hits[0].passage.id == "a" * 24


@pytest.mark.parametrize(
    ("query", "k", "code"), [("  ", None, "empty_query"), ("x" * 3000, None, "long_query"), ("gradient", 0, "bad_k")]
)
def test_bad_input_is_refused(library: Library, query: str, k: int | None, code: str) -> None:
    with pytest.raises(InputError) as raised:
        library.search(query, k=k)
    assert raised.value.code == code


def test_diversity_drops_a_near_copy(library: Library) -> None:
    near = DESCENT.replace("wastes", "costs")
    add(library.workspace, library.index, library.embedder, [
        passage(TWO, 0, near, page=1), passage(TWO, 1, CROSSING.replace("smooths", "calms"), page=2),
    ], title="Copy")  # fmt: skip
    hits = library.search("gradient descent step size and momentum of the iteration", k=2).hits
    texts = [hit.passage.text.split()[0] for hit in hits]
    assert sorted(texts) == ["Gradient", "Momentum"]


def test_vectors_of_unchanged_passages_are_used_again() -> None:
    from t2v_studio.library.build import build_collection

    index, embedder = NumpyIndex(), HashingEmbedder()
    first = [passage(ONE, 0, DESCENT), passage(ONE, 1, TREES)]
    counts = build_collection(index, embedder, first, "bk-old")
    assert counts["embedded"] == counts["vectors"] == index.count("bk-old")
    embedded = embedder.encoded
    again = build_collection(index, embedder, [*first, passage(ONE, 2, CROSSING)], "bk-new", reuse=["bk-old"])
    assert again["reused"] == counts["vectors"]
    assert embedder.encoded - embedded == again["embedded"] == again["vectors"] - counts["vectors"]
    for entry in index.get("bk-old"):
        assert np.array_equal(index.get("bk-new", [entry.id])[0].embedding, entry.embedding)


def test_a_cancel_while_embedding_leaves_no_new_collection() -> None:
    from t2v_studio.errors import CancelledError
    from t2v_studio.library.build import build_collection

    def cancel(done: int, total: int) -> None:
        raise CancelledError

    index = NumpyIndex()
    with pytest.raises(CancelledError):
        build_collection(index, HashingEmbedder(), [passage(ONE, 0, DESCENT)], "bk-new", cancel)
    assert index.collections() == []


def test_a_term_set_before_a_sentence_and_a_list_mark_are_no_part_of_the_quote(library: Library) -> None:
    text = (
        "Ì Pruning – Pruning removes the branches of a tree that memorise noise.\n"
        "a. Grow the tree until every leaf of it holds one class only."
    )
    listed = passage(TWO, 0, text, page=9)
    add(library.workspace, library.index, library.embedder, [listed], title="Cards")
    hit = next(hit for hit in library.search("pruning the branches of a tree", k=3).hits if hit.book == "Cards")
    assert sorted(quote.text for quote in hit.sentences) == [
        "Grow the tree until every leaf of it holds one class only.",
        "Pruning removes the branches of a tree that memorise noise.",
    ]


def test_the_best_words_come_first_and_equal_ones_by_id() -> None:
    words = LexicalIndex(["c", "a", "b", "d"], ["tree tree leaf", "leaf node", "leaf node", "grass"])
    assert [one for one, _ in words.query("leaf", 2)] == ["a", "b"]
    assert [one for one, _ in words.query("leaf tree", 9)] == ["c", "a", "b"]
    assert words.query("water", 3) == []
