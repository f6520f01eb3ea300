"""How fast a book is read and cut, and what memory it takes.

python tests/benchmarks/bench_ingest.py [BOOK.pdf...] [--embed]    (--embed: with the real embedder and Chroma, into a scratch folder)
Without a book: the sample book, and the books beside the checkout where they are.
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from t2v_studio.library.chunking import passages
from t2v_studio.library.passages import Passage
from t2v_studio.library.reading import admit, read
from t2v_studio.settings import Settings
from t2v_studio.workspace import REPOSITORY, Workspace

SAMPLE = REPOSITORY / "data" / "sample" / "six-ideas-of-machine-learning.pdf"
BESIDE = REPOSITORY.parent / "shared" / "data" / "books"
NOT_BODY = ("contents", "index", "bibliography", "code", "running_head", "page_number")
NOT_PROSE = ("formula", "table", "caption", "heading", "footnote")


def peak_mb(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def row(path: Path, settings: Settings) -> list[str]:
    source = admit(path, settings)
    start = time.perf_counter()
    reading = read(source, settings)
    read_s = time.perf_counter() - start
    start = time.perf_counter()
    found = passages(reading, source.book_id, min_words=settings.min_words, max_words=settings.max_words)
    cut_s = time.perf_counter() - start
    size: Counter[str] = Counter()
    for passage in found:
        size[passage.reason or "kept"] += passage.words
    body = sum(size.values()) - sum(size[reason] for reason in NOT_BODY)
    prose = body - sum(size[reason] for reason in NOT_PROSE)
    kept = sum(passage.state == "kept" for passage in found)
    return [
        path.name[:34], str(len(reading.pages)), f"{len(reading.pages) / read_s:.0f}", str(kept), f"{kept / cut_s:.0f}",
        f"{size['kept'] / body:.3f}", f"{size['kept'] / prose:.3f}", f"{peak_mb(resource.RUSAGE_CHILDREN):.0f}",
        f"{peak_mb(resource.RUSAGE_SELF):.0f}", reasons(found),
    ]  # fmt: skip


def reasons(found: list[Passage]) -> str:
    counts = Counter(passage.reason for passage in found if passage.reason)
    return " ".join(f"{reason}:{count}" for reason, count in counts.most_common())


def embedded(path: Path, folder: Path) -> str:
    """Seconds of a whole ingest with the real embedder and the embedded Chroma."""
    from t2v_studio.library.embedder import open_embedder
    from t2v_studio.library.index import open_index
    from t2v_studio.library.ingest import add_book

    settings = Settings(home=folder, _env_file=None)
    workspace = Workspace.at(folder)
    index, embedder = open_index(workspace, settings), open_embedder(settings)
    start = time.perf_counter()
    out = add_book(path, workspace=workspace, settings=settings, index=index, embedder=embedder, report=lambda *_: None)
    seconds = time.perf_counter() - start
    index.close()
    return f"{path.name}: {out['pages']} pages, {out['kept']} passages in {seconds:.1f} s, {out['kept'] / seconds:.1f} passages/s"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("books", nargs="*", type=Path, default=[SAMPLE, *sorted(BESIDE.glob("*.pdf"))])
    parser.add_argument("--embed", action="store_true")
    arguments = parser.parse_args()
    settings = Settings(_env_file=None)
    titles = ["book", "pages", "pages/s", "kept", "cut/s", "of body", "of prose", "child MB", "MB", "rejected"]
    print("\t".join(titles))
    for path in arguments.books:
        print("\t".join(row(path, settings)), flush=True)
    for path in arguments.books if arguments.embed else []:
        with tempfile.TemporaryDirectory() as folder:
            print(embedded(path, Path(folder)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
