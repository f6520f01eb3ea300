"""Markup of the library: the table of books, a book's figures, its passages, and the hits of a search."""

from __future__ import annotations

import re
from typing import Any

from t2v_studio.library.passages import Evidence, Passage, SearchResult
from t2v_studio.ui import markup

CLAMP_CHARS = 220


def books_table(rows: list[dict[str, Any]], chosen: str) -> str:
    """One row a book; the title is the button that chooses it."""
    cells = (
        (
            f'<button type="button" class="t2-link" data-act="book" data-book="{markup.text(row["book"])}" '
            f'aria-pressed="{str(row["book"] == chosen).lower()}"><strong>{markup.text(row["title"])}</strong>'
            f'<small class="t2-muted">added {markup.text(markup.day(row.get("added_at")))}</small></button>',
            _number(row.get("pages")),
            _number(row.get("kept")),
            _number(row.get("rejected")),
            _number(row.get("words")),
        )
        for row in rows
    )
    return markup.table(
        ("Book", "Pages", "Kept", "Rejected", "Words"), cells, caption="Books in the library", kind="books"
    )


def no_books(sample: bool) -> str:
    action = markup.button("Try the sample book", "sample", kind="primary") if sample else ""
    return markup.empty(
        "Drop a textbook to begin", "A PDF, text or Markdown file. It is read on this machine and stays on it.", action
    )


def about(row: dict[str, Any], sure: bool = False, measuring: bool = False) -> str:
    """Counts, reasons of rejection, retrieval figures, and what can be done with the book; `sure` asks before removal."""
    reasons = sorted((row.get("reasons") or {}).items(), key=lambda pair: -pair[1])
    head = markup.facts(
        [
            ("File", row.get("file_name")),
            ("Pages", _plain(row.get("pages"))),
            ("Passages", f"{_plain(row.get('kept'))} kept, {_plain(row.get('rejected'))} rejected"),
            ("Words", _plain(row.get("words"))),
        ]
    )
    chips = " ".join(markup.chip(f"{reason_words(name)} {count:,}") for name, count in reasons)
    why = f'<p class="t2-muted">Rejected, by reason</p><div class="t2-row">{chips}</div>' if chips else ""
    notes = "".join(markup.notice(str(line), kind="info") for line in row.get("notices") or [])
    return (
        f'<div class="t2-list"><h3 class="t2-h">{markup.text(row["title"])}</h3>{head}{notes}{_actions(sure, measuring)}'
        f"{why}{retrieval(row.get('retrieval'))}</div>"
    )


def _actions(sure: bool, measuring: bool) -> str:
    if sure:
        return (
            '<div class="t2-notice bad" role="alert"><strong>Remove this book and all its passages?</strong>'
            "<p>Videos made from it keep their quotes. This cannot be undone.</p>"
            f'<div class="t2-row t2-answers">{markup.button("Yes, remove it", "remove-now", kind="stop")}'
            f"{markup.button('Keep it', 'keep')}</div></div>"
        )
    if measuring:
        return f'<div>{markup.bar(0, 0, "Measuring")}<p class="t2-stage">Measuring search on this book</p></div>'
    return (
        f'<div class="t2-row">{markup.button("Measure search", "measure")}{markup.button("Export passages", "export")}'
        f"{markup.button('Remove the book', 'remove')}</div>"
    )


SYSTEMS = {
    "shipped": "This search",
    "dense": "Meaning alone",
    "words": "Words alone",
    "rank fusion": "Rank fusion",
    "shuffled": "By chance",
}
"""Names of the compared systems, the one that the studio uses first."""
ASKED = {"index terms": "Terms of the book's own index", "headings": "Headings of the book"}


def retrieval(found: dict[str, Any] | None) -> str:
    """Recall and nDCG of each search on each kind of question; an invitation to measure where there is nothing yet."""
    if not found:
        return (
            '<p class="t2-muted">How well does search work on this book? <em>Measure search</em> asks it the terms of '
            "the book's own index and its headings, and compares the pages found with the right ones.</p>"
        )
    rows = [row for row in found.values() if isinstance(row, dict) and "recall_at_10" in row]
    by_name = {str(row.get("name")): row for row in rows}
    parts = []
    for asked, title in ASKED.items():
        lines = [(name, by_name[f"{asked}, {key}"]) for key, name in SYSTEMS.items() if f"{asked}, {key}" in by_name]
        if not lines:
            continue
        cells = (
            (f"<b>{name}</b>" if place == 0 else name, _share(row, "recall_at_10"), _share(row, "ndcg_at_10"), _share(row, "mrr_at_10"))
            for place, (name, row) in enumerate(lines)
        )  # fmt: skip
        many = markup.plural(int(lines[0][1].get("queries") or 0), "question")
        parts.append(
            f'<p class="t2-muted">{markup.text(title)}: {markup.text(many)}</p>'
            + markup.table(("Search", "recall@10", "nDCG@10", "MRR@10"), cells, caption=title, kind="figures")
        )
    if not parts:
        return markup.notice("This book has too few headings and index terms to measure search on.", kind="info")
    return (
        "".join(parts)
        + '<p class="t2-muted">recall@10: the share of right pages among the first ten. nDCG@10 counts a '
        "right page more the higher it stands; MRR@10 looks at the first right page alone. 1 is perfect.</p>"
    )


def _share(row: dict[str, Any], key: str) -> str:
    value = row.get(key)
    return f'<span class="t2-num">{value:.2f}</span>' if isinstance(value, (int, float)) else "–"


def passages_table(found: list[Passage], chosen: str, offset: int = 0, more: bool = False) -> str:
    """One row a passage, a click shows it in full; below, where in the list this is and the way on."""
    if not found:
        return markup.empty(
            "No passages here", "Nothing matches this filter. Choose another reason or page, or the kept passages."
        )
    cells = (
        (
            _number(one.page),
            f'<span class="t2-muted">{markup.text(one.section.split(" > ")[-1] or "–")}</span>',
            f'<button type="button" class="t2-link" data-act="passage" data-passage="{markup.text(one.id)}" '
            f'aria-pressed="{str(one.id == chosen).lower()}"><span class="t2-clamp">{markup.text(one.text[:CLAMP_CHARS])}</span></button>'
            + (markup.chip(reason_words(one.reason), "warn") if one.reason else ""),
        )
        for one in found
    )
    table = markup.table(("Page", "Section", "Text"), cells, caption="Passages", kind="passages")
    if not more and not offset:
        return table
    earlier = markup.button("Earlier", "turn", by="earlier") if offset else ""
    later = markup.button("Later", "turn", by="later") if more else ""
    place = f'<span class="t2-muted">{offset + 1:,} to {offset + len(found):,}</span>'
    return f'{table}<div class="t2-row t2-pager">{earlier}{place}{later}</div>'


def hits(result: SearchResult, chosen: int = -1) -> str:
    """Outcome in words, then the hits with book, page, section and score; `chosen` is the one whose page is shown."""
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
    cards = "".join(_hit(hit, index, index == chosen, terms) for index, hit in enumerate(result.hits))
    head = f'<p class="t2-muted">{markup.text(message)}</p>' if kind == "good" else markup.notice(message, kind=kind)
    return f'<div class="t2-list">{head}<div class="t2-list t2-hits">{cards}</div></div>'


def _hit(hit: Evidence, index: int, chosen: bool, terms: set[str]) -> str:
    place = markup.pages({"page": hit.page, "label": hit.label})
    section = hit.passage.section.split(" > ")[-1]
    return (
        f'<article class="t2-hit {"chosen" if chosen else ""}"><header><b>{markup.text(place)}</b>'
        f'<span class="t2-grow">{markup.text(" · ".join(part for part in (section, hit.book) if part))}</span>'
        f"{markup.chip(f'score {hit.score:.2f}')}{markup.button('Show page', 'hit', kind='quiet strong', index=index)}</header>"
        f"<p>{marked(_best(hit), terms)}</p></article>"
    )


def marked(sentence: str, terms: set[str]) -> str:
    """`sentence` with the words of `terms` marked; both are text, the answer is markup."""
    parts = re.split(r"(\w+)", sentence)
    return "".join(
        f"<mark>{markup.text(part)}</mark>" if part.lower() in terms else markup.text(part) for part in parts
    )


def _best(hit: Evidence) -> str:
    return " ".join(quote.text for quote in hit.quotes) or hit.passage.text[:400]


def reason_words(name: str) -> str:
    """A reason of rejection as a person reads it."""
    return str(name).replace("_", " ")


def _plain(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value or "")


def _number(value: Any) -> str:
    return f'<span class="t2-num">{markup.text(_plain(value))}</span>'
