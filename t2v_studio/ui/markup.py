"""Small pieces of HTML. Every piece escapes what it is given; nothing else in the page builds HTML from text."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from t2v_studio.errors import plural as plural
from t2v_studio.ui.wording import on_page

CLICKS = """
element.addEventListener('click', (event) => {
  const target = event.target.closest('[data-act]');
  if (!target || !element.contains(target) || target.hasAttribute('disabled')) return;
  trigger('click', {...target.dataset});
});
"""
"""Script of an HTML component: a click on anything with data-act becomes an event with its data-* values."""


def text(value: object) -> str:
    """`value` as it may stand in an element or a quoted attribute."""
    return html.escape(str(value), quote=True)


def button(label: str, act: str, *, kind: str = "", hint: str = "", **data: object) -> str:
    """A real button that sends `act` and `data` to the component's click listener."""
    sent = "".join(f' data-{name}="{text(value)}"' for name, value in data.items())
    title = f' title="{text(hint)}"' if hint else ""
    return f'<button type="button" class="t2-button {kind}" data-act="{text(act)}"{sent}{title}>{text(label)}</button>'


OPENING = '<p class="t2-muted t2-opening">Opening the workspace</p>'
"""What stands where rows will be, until they have been read: nothing is claimed about them."""


def chip(label: str, kind: str = "", *, hint: str = "") -> str:
    """A short word about a state; `kind` is good, warn, bad or empty."""
    title = f' title="{text(hint)}"' if hint else ""
    return f'<span class="t2-chip {kind}"{title}>{text(label)}</span>'


def notice(message: str, hint: str = "", kind: str = "bad") -> str:
    """What happened, and what to do about it."""
    message, hint = on_page(message), on_page(hint)
    more = f"<p>{text(hint)}</p>" if hint else ""
    role = "alert" if kind == "bad" else "status"
    return f'<div class="t2-notice {kind}" role="{role}"><strong>{text(message)}</strong>{more}</div>'


def empty(title: str, advice: str, action: str = "") -> str:
    """An empty state: what will stand here, and what to do now. `action` is markup."""
    return f'<div class="t2-empty"><strong>{text(title)}</strong><p>{text(advice)}</p>{action}</div>'


def bar(step: int, total: int, label: str = "Progress") -> str:
    """A progress bar; without a total it moves to and fro."""
    if total <= 0:
        return f'<div class="t2-bar busy" role="progressbar" aria-label="{text(label)}"><i></i></div>'
    share = max(0.0, min(100.0, 100.0 * step / total))
    return (
        f'<div class="t2-bar" role="progressbar" aria-label="{text(label)}" aria-valuemin="0" aria-valuemax="{total}" '
        f'aria-valuenow="{step}"><i style="width:{share:.1f}%"></i></div>'
    )


def facts(rows: Iterable[tuple[str, object]]) -> str:
    """Name and value pairs, the empty ones left out."""
    cells = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in rows if value not in ("", None)
    )
    return f'<dl class="t2-facts">{cells}</dl>'


def table(head: Iterable[str], rows: Iterable[Iterable[str]], *, caption: str, kind: str = "") -> str:
    """A table whose cells are markup already; heads and caption are text.

    kind: classes. `stacked`: in a narrow window each row stands as a list, every cell with its head beside it.
    """
    names = [text(name) for name in head]
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    cell = '<td data-head="{0}">{1}</td>' if "stacked" in kind.split() else "<td>{1}</td>"
    lines = ("".join(cell.format(*pair) for pair in zip(names, row, strict=True)) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f'<div class="t2-scroll"><table class="t2-table {kind}"><caption>{text(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def duration(seconds: float | None) -> str:
    """`75` as "1 min 15 s"."""
    if seconds is None:
        return ""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 and seconds != whole else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(stamp: str | None) -> datetime | None:
    """A time stamp of the database, in UTC."""
    try:
        parsed = datetime.fromisoformat(stamp) if stamp else None
    except ValueError:
        return None
    return parsed.replace(tzinfo=UTC) if parsed and parsed.tzinfo is None else parsed


def day(stamp: str | None) -> str:
    """A time stamp as date and minute, in this machine's time zone."""
    found = moment(stamp)
    return f"{found.astimezone():%d %b %Y, %H:%M}" if found else ""


def pages(row: Mapping[str, Any]) -> str:
    """Words such as "p. 12" or "pp. 12-13", with the printed label where it differs from the PDF's own number."""
    first, last = int(row["page"]), int(row.get("page_last") or row["page"])
    label, label_last = str(row.get("label") or ""), str(row.get("label_last") or "")
    span = f"p. {first}" if first == last else f"pp. {first}–{last}"
    if not label or label == str(first):
        return span
    return f"{span} (printed {label}–{label_last})" if first != last and label_last else f"{span} (printed {label})"
