"""A book comes in whole or not at all, comes in once, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from library_stand_ins import HashingEmbedder

from t2v_studio.errors import CancelledError, InputError, NotFoundError, StudioError
from t2v_studio.library import ingest, store
from t2v_studio.library.export import export_book
from t2v_studio.library.index_chroma import EmbeddedChromaIndex
from t2v_studio.library.index_numpy import NumpyIndex
from t2v_studio.library.pdf import page_picture
from t2v_studio.settings import Settings
from t2v_studio.workspace import REPOSITORY, Workspace

SECRET = "quokkasaurus"


def chapter(word: str, sections: int = 4) -> str:
    parts = [f"# On {word}\n"]
    for number in range(sections):
        sentences = [
            f"The {word} of kind {number} meets case {case} with rule {number * 7 + case} and a reason of its own."
            for case in range(8)
        ]
        parts.append(f"## Part {number}\n\n" + " ".join(sentences) + "\n")
    return "\n".join(parts)


def add(path: Path, workspace: Workspace, settings: Settings, index: Any, **more: Any) -> dict[str, Any]:
    steps = more.pop("report", lambda *_: None)
    embedder = more.pop("embedder", HashingEmbedder())
    return ingest.add_book(
        path, workspace=workspace, settings=settings, index=index, embedder=embedder, report=steps, **more
    )


def state(workspace: Workspace, index: Any) -> tuple[Any, ...]:
    """All that the library holds, for comparison before and after."""
    books = store.books(workspace)
    return (
        books,
        [store.passages(workspace, book.id, state="", limit=None) for book in books],
        [sorted(entry.id for entry in index.get(book.collection)) for book in books],
        sorted(index.collections()),
        sorted(str(path.relative_to(workspace.data)) for path in workspace.books.rglob("*")),
    )


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "notes.md"
    path.write_text(chapter("gradient"))
    return path


def test_a_book_comes_in(source: Path, workspace: Workspace, settings: Settings) -> None:
    index, steps = NumpyIndex(), []
    outcome = add(source, workspace, settings, index, report=lambda *step: steps.append(step))
    assert set(outcome) == {"book", "title", "pages", "kept", "rejected", "unchanged", "notices"}
    assert outcome["title"] == "On gradient" and outcome["kept"] == 4 and not outcome["unchanged"]
    stages = list(dict.fromkeys(step[0] for step in steps))
    assert stages == ["Reading pages", "Cleaning", "Embedding", "Saving"]
    book = store.book(workspace, outcome["book"])
    assert index.count(book.collection) >= 4
    kept = store.passages(workspace, book.id)
    assert [passage.section for passage in kept] == [f"On gradient > Part {n}" for n in range(4)]
    assert store.reasons(workspace, book.id) == {"heading": outcome["rejected"]}
    assert [row["kept"] for row in store.sections(workspace, book.id)] == [0, 1, 1, 1, 1]
    assert (workspace.book(book.id) / "source.md").read_bytes() == source.read_bytes()


def test_the_same_bytes_change_nothing(source: Path, workspace: Workspace, settings: Settings, tmp_path: Path) -> None:
    index, embedder = NumpyIndex(), HashingEmbedder()
    first = add(source, workspace, settings, index, embedder=embedder)
    before, encoded = state(workspace, index), embedder.encoded
    again = add(source, workspace, settings, index, embedder=embedder)
    renamed = shutil.copy(source, tmp_path / "other name.md")
    other = add(Path(renamed), workspace, settings, index, embedder=embedder)
    assert again["unchanged"] and other["unchanged"] and again["book"] == other["book"] == first["book"]
    assert state(workspace, index) == before and embedder.encoded == encoded


def test_other_limits_build_the_book_anew(source: Path, workspace: Workspace, settings: Settings) -> None:
    index = NumpyIndex()
    first = add(source, workspace, settings, index)
    second = add(source, workspace, settings, index, max_words=60, min_words=20)
    assert second["book"] == first["book"] and second["kept"] > first["kept"] and not second["unchanged"]
    assert len(index.collections()) == len(store.books(workspace)) == 1


def test_other_windows_build_the_book_anew(
    source: Path, workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = NumpyIndex()
    add(source, workspace, settings, index)
    assert add(source, workspace, settings, index)["unchanged"]
    monkeypatch.setattr(ingest, "VECTOR_LAYOUT", "windows of another size")
    assert not add(source, workspace, settings, index)["unchanged"]


def test_a_changed_file_replaces_its_own_book(source: Path, workspace: Workspace, settings: Settings) -> None:
    index = NumpyIndex()
    old = add(source, workspace, settings, index)["book"]
    kept = {passage.text for passage in store.passages(workspace, old)}
    source.write_text(source.read_text().replace("Part 3", "Part three").replace("rule 27", "rule twenty-seven"))
    new = add(source, workspace, settings, index)["book"]
    assert [book.id for book in store.books(workspace)] == [new] and new != old
    assert len(kept & {passage.text for passage in store.passages(workspace, new)}) == 3
    assert not workspace.book(old).exists() and len(index.collections()) == 1


def test_rejected_text_need_not_be_saved(source: Path, workspace: Workspace, settings: Settings) -> None:
    outcome = add(source, workspace, settings, NumpyIndex(), save_rejected=False)
    assert outcome["rejected"] > 0 and store.passages(workspace, outcome["book"], state="rejected") == []


@pytest.mark.parametrize("stage", [ingest.READING, ingest.CLEANING, ingest.EMBEDDING, ingest.SAVING])
def test_cancel_leaves_the_library_as_it_was(
    stage: str, source: Path, workspace: Workspace, settings: Settings
) -> None:
    index = NumpyIndex()
    add(source, workspace, settings, index)
    before = state(workspace, index)
    source.write_text(chapter("momentum"))

    def report(at: str, step: int, total: int, message: str) -> None:
        if at == stage:
            raise CancelledError

    with pytest.raises(CancelledError):
        add(source, workspace, settings, index, report=report)
    ingest.recover(workspace, index)
    assert state(workspace, index) == before


def test_bad_input_leaves_the_library_as_it_was(
    source: Path, workspace: Workspace, settings: Settings, tmp_path: Path
) -> None:
    index = NumpyIndex()
    add(source, workspace, settings, index)
    before = state(workspace, index)
    short, broken = tmp_path / "short.txt", tmp_path / "broken.pdf"
    short.write_text("Only a few words stand here.")
    broken.write_bytes(b"%PDF-1.4 nothing more")
    for path, code in ((short, "nothing_kept"), (broken, "damaged_pdf")):
        with pytest.raises(StudioError) as caught:
            add(path, workspace, settings, index)
        assert caught.value.code == code
    with pytest.raises(InputError, match="min_words"):
        add(short, workspace, settings, index, min_words=50, max_words=40)
    assert state(workspace, index) == before


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[4])
from library_stand_ins import HashingEmbedder
from t2v_studio.library import build, ingest, store
from t2v_studio.library.index_chroma import EmbeddedChromaIndex
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

def here(*_, **__):
    print("here", flush=True)
    time.sleep(600)

settings = Settings(home=Path(sys.argv[1]), _env_file=None)
workspace = Workspace.at(settings.home)
moment = sys.argv[3]
if moment == "built":
    ingest._keep_source = here
elif moment == "in the transaction":
    store._page_kind = here
elif moment == "switched":
    ingest._forget = here
def report(stage, *_):
    if stage == moment:
        here()
ingest.add_book(Path(sys.argv[2]), workspace=workspace, settings=settings, index=EmbeddedChromaIndex(workspace.chroma),
                embedder=HashingEmbedder(), report=report)
"""


@pytest.mark.parametrize("moment", ["Embedding", "built", "in the transaction", "switched"])
def test_a_kill_leaves_the_library_whole(moment: str, source: Path, workspace: Workspace, settings: Settings) -> None:
    index = EmbeddedChromaIndex(workspace.chroma)
    old = add(source, workspace, settings, index)["book"]
    before = state(workspace, index)
    index.close()
    source.write_text(chapter("momentum"))
    arguments = [sys.executable, "-c", KILLED, str(settings.home), str(source), moment, str(Path(__file__).parent)]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=environment)
    assert child.stdout and child.stdout.readline() == "here\n"
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()

    index = EmbeddedChromaIndex(workspace.chroma)
    ingest.recover(workspace, index)
    if moment == "switched":
        (book,) = store.books(workspace)
        assert book.id != old and index.collections() == [book.collection] and not workspace.book(old).exists()
    else:
        assert state(workspace, index) == before
    again = add(source, workspace, settings, index)
    assert [book.id for book in store.books(workspace)] == [again["book"]]
    index.close()


def test_removal_erases_the_text_from_the_disk(workspace: Workspace, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "secret.md"
    path.write_text(chapter(SECRET))
    index = EmbeddedChromaIndex(workspace.chroma)
    book = add(path, workspace, settings, index)["book"]
    assert holding(workspace), "the word must be on the disk before it can be erased"
    outcome = ingest.remove_book(book, workspace=workspace, index=index)
    index.close()
    assert outcome["erased"] and outcome["book"] == book
    assert holding(workspace) == []
    assert store.books(workspace) == []
    with pytest.raises(NotFoundError):
        ingest.remove_book(book, workspace=workspace, index=NumpyIndex())


def test_a_replaced_text_is_erased_too(workspace: Workspace, settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "secret.md"
    path.write_text(chapter(SECRET))
    index = EmbeddedChromaIndex(workspace.chroma)
    add(path, workspace, settings, index)
    path.write_text(chapter("gradient"))
    add(path, workspace, settings, index)
    index.close()
    assert holding(workspace) == []


def holding(workspace: Workspace) -> list[str]:
    return [
        str(path)
        for path in workspace.data.rglob("*")
        if path.is_file() and SECRET.encode() in path.read_bytes().lower()
    ]


def test_export_has_the_fields_of_the_documents(
    source: Path, workspace: Workspace, settings: Settings, tmp_path: Path
) -> None:
    book = add(source, workspace, settings, NumpyIndex())["book"]
    kept, rejected = export_book(workspace, book, tmp_path / "out")
    assert (kept.name, rejected.name) == ("book_chunks.jsonl", "book_chunks.rejected.jsonl")
    rows = [json.loads(line) for line in kept.read_text().splitlines()]
    fields = {"chunk_id", "source", "chunk_index", "start_word", "end_word", "approx_tokens", "text"}
    assert set(rows[0]) == fields | {"page", "page_last", "section", "passage_id"}
    assert [row["chunk_index"] for row in rows] == [0, 1, 2, 3]
    assert all(row["end_word"] - row["start_word"] == len(row["text"].split()) for row in rows)
    refused = [json.loads(line) for line in rejected.read_text().splitlines()]
    assert {"chunk_id", "source", "reason", "text", "page", "section"} <= set(refused[0])
    assert not {row["chunk_id"] for row in rows} & {row["chunk_id"] for row in refused}


def test_a_pdf_with_its_page_pictures(shared_data: Path, workspace: Workspace, settings: Settings) -> None:
    index = NumpyIndex()
    outcome = add(shared_data / "hard" / "sf-multicolumn.pdf", workspace, settings, index)
    book = store.book(workspace, outcome["book"])
    picture = page_picture(workspace, settings, book.id, 2, pages=book.pages)
    assert picture.is_relative_to(workspace.cache) and picture.read_bytes().startswith(b"\x89PNG")
    stamp = picture.stat().st_mtime_ns
    assert page_picture(workspace, settings, book.id, 2, pages=book.pages).stat().st_mtime_ns == stamp
    with pytest.raises(NotFoundError, match="no page 9"):
        page_picture(workspace, settings, book.id, 9, pages=book.pages)
    ingest.remove_book(book.id, workspace=workspace, index=index)
    assert not picture.exists()


def test_a_text_book_has_no_page_pictures(source: Path, workspace: Workspace, settings: Settings) -> None:
    book = add(source, workspace, settings, NumpyIndex())["book"]
    with pytest.raises(NotFoundError, match="PDF"):
        page_picture(workspace, settings, book, 1, pages=1)
