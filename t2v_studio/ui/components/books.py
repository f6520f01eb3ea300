"""Markup of the library: the table of books, a book's figures, its passages, and the hits of a search."""

from __future__ import annotations

import re
from typing import Any

from t2v_studio.library.passages import Passage, SearchResult
from t2v_studio.ui import markup

CLAMP_CHARS = 220


def books_table(rows: list[dict[str, Any]], chosen: str) -> str:
    """One row a book; the title is the button that chooses it."""
    cells = (
        (
            f'<button type="button" class="t2-link" data-act="book" data-book="{markup.text(row["book"])}" '
            f'aria-pressed="{str(row["book"] == chosen).lower()}"><strong>{markup.text(row["title"])}</strong></button>',
            _number(row.get("pages")),
            _number(row.get("kept")),
            _number(row.get("rejected")),
            _number(row.get("words")),
            f'<span class="t2-muted">{markup.text(markup.day(row.get("added_at")))}</span>',
        )
        for row in rows
    )
    return markup.table(
        ("Title", "Pages", "Kept", "Rejected", "Words", "Added"), cells, caption="Books in the library", kind="books"
    )


def no_books(sample: bool) -> str:
    action = markup.button("Try the sample book", "sample", kind="primary") if sample else ""
    return markup.empty(
        "Drop a textbook to begin", "A PDF, text or Markdown file. It is read on this machine and stays on it.", action
    )


def about(row: dict[str, Any]) -> str:
    """Counts by rejection reason and the retrieval figures, where they have been measured."""
    reasons = sorted((row.get("reasons") or {}).items(), key=lambda pair: -pair[1])
    head = markup.facts(
        [
            ("Pages", _plain(row.get("pages"))),
            ("Passages kept", _plain(row.get("kept"))),
            ("Passages rejected", _plain(row.get("rejected"))),
            ("Words", _plain(row.get("words"))),
            ("File", row.get("file_name")),
        ]
    )
    chips = " ".join(markup.chip(f"{_reason(name)} {count:,}") for name, count in reasons)
    why = f'<p class="t2-muted">Rejected, by reason:</p><div class="t2-row">{chips}</div>' if chips else ""
    return f'<div class="t2-list">{head}{why}{retrieval(row.get("retrieval"))}</div>'


def retrieval(found: dict[str, Any] | None) -> str:
    """Recall and nDCG with what they mean; an invitation to measure where there is nothing yet."""
    figures = _figures(found or {})
    if not figures:
        return '<p class="t2-muted">How well does search work on this book? <em>Measure search</em> asks it the terms of the book\'s own index and headings.</p>'
    rows = (
        (markup.text(name), f'<span class="t2-num">{recall}</span>', f'<span class="t2-num">{ndcg}</span>')
        for name, recall, ndcg in figures
    )
    shown = markup.table(("Search", "recall@10", "nDCG@10"), rows, caption="Retrieval figures")
    asked = (found or {}).get("queries") or (found or {}).get("query_count")
    many = f" Measured on {asked:,} questions from the book's own index and headings." if isinstance(asked, int) else ""
    return (
        f'{shown}<p class="t2-muted">recall@10: the share of right pages among the first ten hits. '
        f"nDCG@10: the same, counting a right page more the higher it stands. 1 is perfect.{markup.text(many)}</p>"
    )


def _figures(found: dict[str, Any], name: str = "this book") -> list[tuple[str, str, str]]:
    def pick(row: dict[str, Any], *keys: str) -> Any:
        return next((row[key] for key in keys if isinstance(row.get(key), (int, float))), None)

    recall, ndcg = pick(found, "recall_at_10", "recall@10", "recall"), pick(found, "ndcg_at_10", "ndcg@10", "ndcg")
    own = [(name, f"{recall:.2f}", f"{ndcg:.2f}")] if recall is not None and ndcg is not None else []
    nested = [
        line
        for key, row in found.items()
        if isinstance(row, dict)
        for line in _figures(row, str(key).replace("_", " "))
    ]
    return own + nested


def passages_table(found: list[Passage], chosen: str) -> str:
    """One row a passage; a click shows it in full."""
    if not found:
        return markup.empty(
            "No passages here", "Nothing matches this filter. Choose another reason, or show the kept passages."
        )
    cells = (
        (
            _number(one.page),
            f'<span class="t2-muted">{markup.text(one.section.split(" > ")[-1] or "–")}</span>',
            f'<button type="button" class="t2-link" data-act="passage" data-passage="{markup.text(one.id)}" '
            f'aria-pressed="{str(one.id == chosen).lower()}"><span class="t2-clamp">{markup.text(one.text[:CLAMP_CHARS])}</span></button>'
            + (markup.chip(_reason(one.reason), "warn") if one.reason else ""),
        )
        for one in found
    )
    return markup.table(("Page", "Section", "Text"), cells, caption="Passages", kind="passages")


def hits(result: SearchResult) -> str:
    """Outcome in words, then the hits with book, page, section and score."""
    words = {
        "found": (markup.plural(len(result.hits), "hit"), "good"),
        "weak": ("Only weak hits: near the lowest score that counts.", "warn"),
        "nothing_relevant": ("Nothing in the library is close enough to this question.", "warn"),
        "no_book": ("There is no book to search yet. Add one above.", "info"),
        "index_missing": ("The search index is missing. Add the book again to rebuild it.", "bad"),
    }
    message, kind = words.get(str(result.outcome), (str(result.outcome), "warn"))
    message = result.message or message
    terms = set(re.findall(r"\w{4,}", result.query.lower()))
    cards = "".join(
        f'<article class="t2-hit"><header><b>{markup.text(hit.book)}</b><span>{markup.text(_where(hit))}</span>'
        f"{markup.chip(f'score {hit.score:.2f}')}"
        f"{markup.button('Show page', 'hit', index=index)}</header><p>{marked(_best(hit), terms)}</p></article>"
        for index, hit in enumerate(result.hits)
    )
    head = f'<p class="t2-muted">{markup.text(message)}</p>' if kind == "good" else markup.notice(message, kind=kind)
    return f'<div class="t2-list">{head}{cards}</div>'


def marked(sentence: str, terms: set[str]) -> str:
    """`sentence` with the words of `terms` marked; both are text, the answer is markup."""
    parts = re.split(r"(\w+)", sentence)
    return "".join(
        f"<mark>{markup.text(part)}</mark>" if part.lower() in terms else markup.text(part) for part in parts
    )


def _best(hit: Any) -> str:
    return " ".join(quote.text for quote in hit.quotes) or hit.passage.text[:400]


def _where(hit: Any) -> str:
    place = markup.pages({"page": hit.page, "label": hit.label})
    return f"{place} · {hit.passage.section}" if hit.passage.section else place


def _reason(name: str) -> str:
    return str(name).replace("_", " ")


def _plain(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value or "")


def _number(value: Any) -> str:
    return f'<span class="t2-num">{markup.text(_plain(value))}</span>'
