"""The planner over a real library: a small book is read, indexed, searched and cited."""

from __future__ import annotations

from pathlib import Path

from small_book import PASSAGES

from t2v_studio.library.embedder import open_embedder
from t2v_studio.library.index_numpy import NumpyIndex
from t2v_studio.library.ingest import add_book
from t2v_studio.library.passages import SearchResult
from t2v_studio.library.search import SearchMemory, search
from t2v_studio.planning.grounding import require_grounded
from t2v_studio.planning.lesson import LessonRequest
from t2v_studio.planning.planner import plan_topic
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace


def test_a_small_book_is_cited(settings: Settings, workspace: Workspace, tmp_path: Path) -> None:
    book = tmp_path / "notes.md"
    chapters = [f"# {section.replace(' > ', ': ')}\n\n{text}\n" for section, (_, text) in PASSAGES.items()]
    book.write_text("\n".join(chapters), encoding="utf-8")
    settings = settings.model_copy(update={"min_words": 15, "rag_min_chunk_words": 10, "embedding_dtype": "float32"})
    index, embedder, memory = NumpyIndex(), open_embedder(settings), SearchMemory()
    add_book(
        book,
        workspace=workspace,
        settings=settings,
        index=index,
        embedder=embedder,
        report=lambda *_: None,
        min_words=15,
    )

    def ask(query: str, k: int) -> SearchResult:
        return search(query, workspace=workspace, settings=settings, index=index, embedder=embedder, k=k, memory=memory)

    made = plan_topic(LessonRequest(topic="gradient descent", use_rag=True), settings, ask)
    assert made.grounding is not None
    require_grounded(made.grounding)
    by_id = {source.id: source for source in made.plan.sources}
    rates = next(scene for scene in made.plan.scenes if scene.id == "rates")
    quotes = " ".join(by_id[cite].quote for step in rates.steps for cite in step.cites)
    assert "learning rate" in quotes
    for source in made.plan.sources:
        hit = next(hit for hits in made.evidence.values() for hit in hits if hit.passage.id == source.passage_id)
        assert all(part.strip() in hit.passage.text for part in source.quote.split(". ")[:1])
