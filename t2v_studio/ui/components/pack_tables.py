"""Markup of packs: what a pack will make, which runs there are, and what came of one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from t2v_studio.ui import markup
from t2v_studio.ui.components.scene_details import verdict_chip

STATUS = {
    "ok": ("made", "good"),
    "refused": ("refused", "warn"),
    "failed": ("failed", "bad"),
    "open": ("not yet", ""),
}
STATES = {"running": ("running", "run"), "unfinished": ("unfinished", "warn"), "finished": ("finished", "good")}
NO_RUN = markup.empty(
    "No run of a pack yet",
    "Choose a pack and press Run the pack. Each topic is made twice, with and without your books; a run that is "
    "stopped goes on where it stood.",
)


def topics(pack: dict[str, Any], seed_offset: int = 0) -> str:
    """What a pack is, with its topics and seeds as they will be."""
    if pack["error"]:
        return markup.notice(pack["error"], "Correct the file, then reload this page.")
    rows = (
        (markup.text(topic["topic"]), markup.text(topic["template"]), _number(topic["seed"] + seed_offset))
        for topic in pack["topics"]
    )
    arms = "each twice, without and with retrieval" if len(pack["variants"]) == 2 else pack["variants"][0]
    count = markup.plural(len(pack["topics"]), "topic")
    return (
        f'<p class="t2-muted">{markup.text(pack["description"])}</p><br>'
        + markup.table(("Topic", "Template", "Seed"), rows, caption=f"{count}, {arms}")
        + f'<p class="t2-stage">{markup.text(f"{count}, {arms}.")}</p>'
    )


def runs(found: list[dict[str, Any]], chosen: str) -> str:
    """One line a run, newest first; a click chooses it."""
    if not found:
        return NO_RUN
    rows = (
        (
            f'<button type="button" class="t2-link" data-act="run" data-run="{markup.text(row["run"])}" '
            f'aria-pressed="{str(row["run"] == chosen).lower()}"><strong>{markup.text(row["title"])}</strong></button>',
            markup.text(row["tag"]),
            markup.chip(*STATES[row["state"]]),
            markup.text(f"{row['counts']['ok']} of {row['counts']['topics']}"),
            markup.text(markup.day(row["created_at"])),
        )
        for row in found
    )
    return markup.table(("Pack", "Run", "State", "Made", "Started"), rows, caption="Runs")


def results(run: dict[str, Any], shown: str = "") -> str:
    """The table of a run: a row a topic, with both verdicts, what retrieval brought, and a button that plays the pair."""
    number = run["counts"]
    chips = [
        markup.chip(*STATES[run["state"]]),
        markup.chip(f"{number['ok']} of {number['topics']} made", "good" if run["ok"] else ""),
        markup.chip(f"{number['refused']} refused", "warn") if number["refused"] else "",
        markup.chip(f"{number['failed']} failed", "bad") if number["failed"] else "",
        markup.chip(f"seed offset {run['seed_offset']}") if run["seed_offset"] else "",
        markup.chip("strict") if run["strict"] else "",
    ]
    head = ("Topic", "Seed", "Status", "Without retrieval", "With retrieval", "Words", "")
    return (
        f'<h2 class="t2-title">{markup.text(run["title"])}</h2><div class="t2-row">{"".join(chips)}</div><br>'
        + markup.table(head, _topic_rows(run, shown), caption=f"Results of {run['run']}")
        + f'<p class="t2-stage">Words: how many retrieved words reached the plan. Tables and folders: {markup.text(run["folder"])}</p>'
        + "".join(f"<br>{markup.notice(*reason, kind='warn')}" for reason in _reasons(run))
    )


def _topic_rows(run: dict[str, Any], shown: str) -> Iterator[tuple[str, ...]]:
    for slug, group in groupby(run["rows"], key=lambda row: row["topic_slug"]):
        rows = {row["variant"]: row for row in group}
        first, treated = next(iter(rows.values())), rows.get("rag_semantic", {})
        status = markup.chip(*STATUS[first["status"]])
        pair = first["pair_id"]
        play = (
            f'<button type="button" class="t2-button" data-act="pair" data-pair="{markup.text(pair)}" '
            f'aria-pressed="{str(pair == shown).lower()}" aria-label="Play the pair on {markup.text(slug)}">Play</button>'
            if pair
            else ""
        )
        words = markup.text(treated.get("retrieved_words", ""))
        yield (
            f"<strong>{markup.text(slug.replace('_', ' '))}</strong>",
            _number(first["seed"]),
            status,
            _verdict(rows.get("no_rag", {})),
            _verdict(treated),
            f'<span class="t2-num">{words}</span>',
            play,
        )


def _reasons(run: dict[str, Any]) -> list[tuple[str, str]]:
    """Topic and why it is not there, or not quite."""
    found = {row["topic_slug"]: (row["status"], row["reason"]) for row in run["rows"] if row["reason"]}
    return [
        (f"{slug.replace('_', ' ').capitalize()}: {STATUS[status][0]}.", reason)
        for slug, (status, reason) in found.items()
    ]


def _verdict(row: dict[str, Any]) -> str:
    return verdict_chip(row["verdict"]) if row.get("verdict") else "–"


def _number(value: object) -> str:
    return f'<span class="t2-num">{markup.text(value)}</span>'
