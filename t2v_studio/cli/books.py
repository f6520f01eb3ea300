"""`t2v library`: books in, passages and evidence out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from t2v_studio.cli.output import JsonFlag, follow, note, print_json, say, table
from t2v_studio.errors import InputError, plural
from t2v_studio.library.passages import Evidence, SearchResult
from t2v_studio.studio import Studio

app = typer.Typer(help="Books: add, list, show, passages, search, evaluate, export, remove.", no_args_is_help=True)

Book = Annotated[str, typer.Argument(help="Id of a book, as `t2v library list` prints it.")]


@app.command("add")
def add(
    path: Annotated[Path, typer.Argument(help="A .pdf, .txt or .md file.")],
    min_words: Annotated[int | None, typer.Option(help="Fewest words in a passage.")] = None,
    max_words: Annotated[int | None, typer.Option(help="Most words in a passage.")] = None,
    save_rejected: Annotated[bool, typer.Option(help="Keep rejected passages for checking.")] = True,
    title: Annotated[str, typer.Option(help="Title, where the file's own is wrong.")] = "",
    password: Annotated[str, typer.Option(help="Password of an encrypted PDF.", envvar="T2V_PDF_PASSWORD")] = "",
    json: JsonFlag = False,
) -> None:
    """Add a book, or replace the one of the same file name."""
    studio = Studio()
    job = studio.submit_book(
        path, title=title, password=password, min_words=min_words, max_words=max_words, save_rejected=save_rejected
    )
    result = follow(studio, job, json)
    if json:
        print_json(result)
        return
    state = "is already in the library" if result.get("unchanged") else "added"
    say(f"{result['title']} {state} as {result['book']}.")
    say(f"{plural(result['pages'], 'page')}, {plural(result['kept'], 'passage')} kept, {result['rejected']} rejected.")
    for notice in result.get("notices", []):
        note(f"note: {notice}")


@app.command("list")
def list_books(json: JsonFlag = False) -> None:
    """The books of this workspace."""
    books = Studio().books()
    if json:
        print_json({"books": books})
    elif not books:
        say("No book yet. Add one with: t2v library add BOOK.pdf")
    else:
        table(books, ("book", "title", "pages", "kept", "rejected", "added_at"))


@app.command("show")
def show(book: Book, json: JsonFlag = False) -> None:
    """One book: its counts, its sections, and why passages were rejected."""
    row = Studio().book(book)
    if json:
        print_json(row)
        return
    say(f"{row['title']} ({row['file_name']})")
    say(f"{plural(row['pages'], 'page')}, {plural(row['kept'], 'passage')} kept, {row['rejected']} rejected")
    for reason, count in sorted(row.get("reasons", {}).items(), key=lambda pair: -pair[1]):
        say(f"  {count:5d}  {reason}")


@app.command("passages")
def passages(
    book: Book,
    rejected: Annotated[bool, typer.Option("--rejected", help="The rejected ones, each with its reason.")] = False,
    reason: Annotated[str, typer.Option(help="Only this reason.")] = "",
    offset: Annotated[int, typer.Option(min=0)] = 0,
    limit: Annotated[int, typer.Option(min=1, max=100000)] = 100,
    json: JsonFlag = False,
) -> None:
    """The passages of a book, kept or rejected."""
    found = Studio().passages(book, state="rejected" if rejected else "kept", reason=reason, offset=offset, limit=limit)
    if json:
        print_json({"book": book, "passages": [passage.model_dump() for passage in found]})
        return
    for passage in found:
        why = f" [{passage.reason}]" if passage.reason else ""
        say(f"p. {passage.label or passage.page}  {passage.section}{why}\n  {passage.text}\n")


@app.command("search")
def search(
    query: Annotated[str, typer.Argument(help="What to look for.")] = "",
    k: Annotated[int, typer.Option("-k", "--k", min=1, max=200, help="Hits.")] = 10,
    book: Annotated[list[str] | None, typer.Option(help="Only this book; may be given more than once.")] = None,
    queries: Annotated[Path | None, typer.Option(help="A file with one query a line.")] = None,
    json: JsonFlag = False,
) -> None:
    """Passages for a query, best first, each with book, page, section and score."""
    if bool(query) == bool(queries):
        raise InputError(
            "usage", "search: give either a query or --queries FILE.", 'For example: t2v library search "overfitting"'
        )
    lines = [query] if queries is None else _lines(queries)
    studio = Studio()
    raw = follow(studio, studio.submit_search(lines, k=k, book_ids=book or None), json)["results"]
    results = [SearchResult.model_validate(one) for one in raw]
    if json:
        shaped = [_shape(result) for result in results]
        print_json({"results": shaped} if queries else shaped[0])
        return
    for result in results:
        say(f"{result.query}: {result.message or result.outcome.value}")
        for hit in result.hits:
            say(f"  {hit.score:.2f}  {hit.book}, p. {hit.label or hit.page}  {hit.passage.section}")
            say(f"        {' '.join(quote.text for quote in hit.quotes) or hit.passage.text}")


def _lines(path: Path) -> list[str]:
    try:
        found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "queries_unreadable", f"--queries: {path} cannot be read ({error}).", "Name a UTF-8 text file."
        ) from error
    if not found:
        raise InputError("queries_empty", f"--queries: {path} holds no query.", "Write one query a line.")
    return found


def _shape(result: SearchResult) -> dict[str, Any]:
    """A result with the keys that stay stable."""
    return {
        "query": result.query,
        "outcome": result.outcome.value,
        "message": result.message,
        "hits": [_hit(hit) for hit in result.hits],
    }


def _hit(hit: Evidence) -> dict[str, Any]:
    passage = hit.passage
    return {
        "book": passage.book_id,
        "title": hit.book,
        "page": passage.page,
        "page_last": passage.page_last,
        "label": passage.label,
        "section": passage.section,
        "score": round(hit.score, 4),
        "text": passage.text,
        "passage": passage.id,
        "quotes": [{"text": quote.text, "page": quote.page, "label": quote.label} for quote in hit.quotes],
    }


@app.command("evaluate")
def evaluate(book: Book, json: JsonFlag = False) -> None:
    """How well search finds the pages that the book's own index and outline name."""
    studio = Studio()
    result = follow(studio, studio.submit_evaluation(book), json)
    if json:
        print_json(result)
        return
    say(result.get("message", ""))
    rows = [row for row in result.get("sets", []) if row.get("queries")]
    if rows:
        table(rows, ("name", "queries", "recall_at_10", "ndcg_at_10", "mrr_at_10"))


@app.command("remove")
def remove(
    book: Book,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: JsonFlag = False,
) -> None:
    """Erase a book: passages, index, stored file and page pictures."""
    studio = Studio()
    row = studio.book(book)
    if not yes and not json and not typer.confirm(f"Erase {row['title']} from this library?"):
        raise typer.Exit(1)
    result = follow(studio, studio.submit_removal(book), json)
    if json:
        print_json(result)
    else:
        say(f"{row['title']} is erased.")


@app.command("export")
def export(
    book: Book,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="As JSON lines (the only format).")] = True,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write into.")] = Path(),
    json: JsonFlag = False,
) -> None:
    """Write book_chunks.jsonl and book_chunks.rejected.jsonl."""
    paths = Studio().export_book(book, output)
    if json:
        print_json({"book": book, "files": [str(path) for path in paths]})
    else:
        for path in paths:
            say(str(path))
