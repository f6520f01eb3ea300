"""A text set as markup: what a check found, row by row, and how long its rows are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from t2v_studio.ui import markup
from t2v_studio.ui.components.train_view import size

MOST_FINDINGS = 200
_KINDS = {"error": "bad", "warning": "warn", "note": ""}
NOTHING = markup.empty(
    "No text set yet",
    "Drop a .jsonl, .json or .csv file, or make one with: t2v dataset extract-manim-docs, caption, combine, add.",
)


def listing(rows: Iterable[Mapping[str, Any]], chosen: str) -> str:
    """One row a set."""
    body = [
        [
            f'<button type="button" class="t2-link" data-act="show" data-name="{markup.text(row["name"])}" '
            f'aria-pressed="{str(row["name"] == chosen).lower()}"><strong>{markup.text(row["name"])}</strong></button>',
            markup.text(", ".join(row["files"])),
            f'<span class="t2-num">{size(row["bytes"])}</span>',
            markup.text(markup.day(row["made_at"])),
            _remove(row["name"]),
        ]
        for row in rows
    ]
    return markup.table(("Name", "Files", "Size", "Made", ""), body, caption="Text sets") if body else NOTHING


def _remove(name: str) -> str:
    question = markup.text(f"Delete the text set {name}? The files it was made from stay where they are.")
    return (
        f'<button type="button" class="t2-button quiet" data-act="remove" data-name="{markup.text(name)}" '
        f'data-confirm="{question}">Remove</button>'
    )


def report(name: str, found: Mapping[str, Any]) -> str:
    """The whole report: verdict, figures, lengths, findings."""
    counts = found["counts"]
    verdict = markup.chip("can be trained on", "good") if found["ok"] else markup.chip("has errors", "bad")
    chips = "".join(
        markup.chip(markup.plural(counts[kind], kind), tone if counts[kind] else "") for kind, tone in _KINDS.items()
    )
    facts = markup.facts(
        [
            ("Rows", f"{found['rows']:,}"),
            ("Shapes", _counted(found["shapes"])),
            ("Splits", _counted(found["splits"])),
            ("Licences", _counted(found["licenses"])),
            ("Code", _counted(found["code"])),
        ]
    )
    notes = "".join(
        f"<li>Not checked: {markup.text(what.replace('_', ' '))}, {markup.text(why)}</li>"
        for what, why in (
            (what, why.replace("--", "t2v dataset validate --")) for what, why in found["unchecked"].items()
        )
    )
    notes = f'<ul class="t2-ahead">{notes}</ul>' if notes else ""
    head = f'<header><b>{markup.text(name)}</b><span class="t2-row">{verdict}{chips}</span></header>'
    rows = findings_table(found["findings"]) if found["findings"] else markup.notice("Nothing was found.", kind="good")
    return f'<div class="t2-hit">{head}{facts}{histogram(found["tokens"])}{notes}{rows}</div>'


def findings_table(findings: list[Mapping[str, Any]]) -> str:
    """Severity, row, field, reason, fix: the worst first."""
    body = [
        [
            markup.chip(one["severity"], _KINDS[one["severity"]]),
            markup.text(one["row"]),
            markup.text(one["field"]),
            markup.text(one["reason"]),
            markup.text(one["fix"]),
        ]
        for one in findings[:MOST_FINDINGS]
    ]
    left = len(findings) - len(body)
    more = f'<p class="t2-muted">And {left:,} more: all of them are in the download.</p>' if left else ""
    return markup.table(("", "Row", "Field", "Reason", "Fix"), body, caption="Findings", kind="findings") + more


def histogram(tokens: Mapping[str, Any]) -> str:
    """Rows by their length in tokens, as bars."""
    if not tokens or not tokens.get("available") or not tokens.get("rows"):
        return ""
    most = max(one["rows"] for one in tokens["bins"])
    low, bars = 0, []
    for one in tokens["bins"]:
        over = " over" if one["up_to"] > tokens["max_length"] else ""
        width = 100 * one["rows"] / most
        bars.append(
            f'<dt>to {one["up_to"]:,}</dt><dd class="{over.strip()}"><i style="width:{width:.1f}%"></i>{one["rows"]:,}</dd>'
        )
        low = one["up_to"]
    assert low
    said = (
        f"Tokens a row: {tokens['min']:,} to {tokens['max']:,}, half have {tokens['median']:g} or fewer; "
        f"{markup.plural(tokens['truncated'], 'row')} over {tokens['max_length']:,}."
    )
    return (
        f'<p class="t2-muted">{markup.text(said)}</p><dl class="t2-bars" aria-label="Tokens a row">{"".join(bars)}</dl>'
    )


def _counted(found: Mapping[str, int]) -> str:
    return ", ".join(f"{name or 'none'} {count:,}" for name, count in found.items())
