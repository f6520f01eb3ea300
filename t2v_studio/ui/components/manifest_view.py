"""Markup of a training set: its splits, its clips with captions to edit, and what was left out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t2v_studio.studio import Studio
from t2v_studio.ui import markup
from t2v_studio.ui.components import player
from t2v_studio.ui.components.result_view import ARMS
from t2v_studio.ui.components.scene_details import verdict_chip

PAGE = 48
"""Clips that are shown before "Show more"."""
SPLITS = {"train": ("training", "run"), "val": ("validation", "good"), "test": ("test", "warn")}
REASONS = {
    "fallback": "drawn by another engine",
    "gif": "a GIF",
    "degenerate": "degenerate picture",
    "open_study": "in a study that is still blind",
    "test_study": "kept for tests",
    "missing_file": "file gone",
    "hash_mismatch": "file changed",
    "duplicate": "same pictures",
    "no_record": "no record",
    "not_scored": "not scored",
    "low_score": "score too low",
    "engine": "other engine",
    "topic": "other topic",
    "verdict": "other verdict",
}
NO_VIDEOS = markup.empty(
    "No clips yet",
    "Go to Packs and run one, let examiners score it in Study, close the study: the clips and their scores then "
    "stand here, ready to train on.",
)
LOOKING = '<p class="t2-muted t2-opening">Reading every clip and what examiners gave it. Later looks are quick.</p>'

EDITS = """
element.addEventListener('change', (event) => {
  const field = event.target.closest('textarea[data-clip]');
  if (field) trigger('click', {act: 'caption', clip: field.dataset.clip, text: field.value});
});
"""
CLICKS = markup.CLICKS + EDITS
"""Buttons of the gallery, and captions that are sent when the field is left."""

STYLE = """
.m-clips { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 12px; }
.m-clip { border: 1px solid var(--border-color-primary); border-radius: 8px; overflow: hidden; background: var(--block-background-fill);
  display: flex; flex-direction: column; color: var(--body-text-color); }
.t2-table.splits th:nth-child(-n+4):nth-child(n+2) { text-align: right; }
.m-clip video, .m-clip img, .m-clip .m-nofilm { width: 100%; aspect-ratio: 16 / 9; background: #0e141a; display: block; object-fit: contain; }
.m-clip .m-nofilm { display: grid; place-items: center; color: #a3b1bd; font-size: 12px; }
.m-clip > div { padding: 8px 10px 10px; display: flex; flex-direction: column; gap: 6px; flex: 1; }
.m-clip b { font-size: 14px; overflow-wrap: anywhere; }
.m-clip label { font-size: 12px; color: var(--body-text-color-subdued); display: flex; flex-direction: column; gap: 3px; flex: 1; }
.m-clip textarea { font: inherit; font-size: 13px; line-height: 1.4; min-height: 112px; flex: 1; resize: vertical; padding: 6px 8px; border-radius: 6px;
  border: 1px solid var(--border-color-primary); background: var(--input-background-fill); color: var(--body-text-color); }
.m-more { display: flex; justify-content: center; margin-top: 12px; }
.m-head { display: flex; flex-direction: column; gap: 8px; }
"""


def head(found: dict[str, Any], *, saved: bool) -> str:
    """Counts, splits, leak check and notices. found: a summary, or a saved manifest."""
    leaks = found["leaks"]
    chips = [
        markup.chip(markup.plural(found["clips"], "clip"), "good" if found["clips"] else "warn"),
        markup.chip(f"{found['excluded']:,} left out") if found["excluded"] else "",
        markup.chip("leak check passed", "good")
        if leaks["ok"]
        else markup.chip(markup.plural(len(leaks["leaks"]), "leak"), "bad"),
        markup.chip(f"saved {markup.day(found['created_at'])}", "run") if saved else markup.chip("not saved yet"),
    ]
    rows = (
        (
            markup.chip(*SPLITS[row["split"]]),
            _number(f"{row['clips']:,}"),
            _number(f"{row['families']:,}"),
            _number(markup.duration(row["seconds"])),
            markup.text(", ".join(f"{name.replace('_', ' ')} {count}" for name, count in row["topics"].items()) or "–"),
        )
        for row in found["splits"]
    )
    table = markup.table(("Split", "Clips", "Families", "Length", "Topics"), rows, caption="Splits", kind="splits")
    told = [markup.notice(text, kind="warn") for text in found["warnings"]]
    told += [markup.notice(_leak(leak)) for leak in leaks["leaks"]]
    notes = "".join(f"<li>{markup.text(text)}</li>" for text in [*found["notices"], *leaks["notes"]])
    listed = f'<ul class="t2-notes">{notes}</ul>' if notes else ""
    family = "A family holds the clips of one topic and seed, both arms of a pair; it is never split."
    asked = f"Built with: {markup.text(_asked(found['spec']))}. " if saved else ""
    return (
        f'<div class="m-head"><div class="t2-row">{"".join(chips)}</div>{table}'
        f'<p class="t2-muted">{asked}{family}</p>{"".join(told)}{listed}</div>'
    )


def _asked(spec: dict[str, Any]) -> str:
    """What a saved manifest was built with, in a few words."""
    parts = [f"a score of {spec['min_score']:g} and more" if spec["min_score"] else "any score"]
    parts += [", ".join(spec[name]) for name in ("criterion", "topic", "engine", "verdict") if spec[name]]
    parts += [f"also {', '.join(spec['include'])}"] if spec["include"] else []
    shares = "/".join(f"{share:g}" for share in spec["split"])
    return "; ".join([*parts, f"a row for each {spec['unit']}", f"splits {shares}, seed {spec['seed']}"])


def _leak(leak: dict[str, Any]) -> str:
    return f"The {leak['kind']} {leak['what']} stands in {' and '.join(leak['splits'])}."


def gallery(studio: Studio, rows: Sequence[dict[str, Any]], trigger: str, shown: int = PAGE) -> str:
    """A card a clip: player, facts, and its caption to edit. trigger: stands before each caption and is not edited."""
    if not rows:
        return markup.empty("No clip is left", "Loosen the filters. What was left out, and why, stands below.")
    cards = "".join(_card(studio, row, trigger) for row in rows[:shown])
    more = (
        f'<div class="m-more">{markup.button(f"Show {min(PAGE, len(rows) - shown)} more of {len(rows) - shown}", "more")}</div>'
        if len(rows) > shown
        else ""
    )
    return f'<div class="m-clips">{cards}</div>{more}'


def _card(studio: Studio, row: dict[str, Any], trigger: str) -> str:
    name = row["topic"] or row["topic_tag"]
    score = f"{row['score']:.1f} of 5" if row["score"] is not None else "not scored"
    chips = [
        markup.chip(*SPLITS[row["split"]]),
        markup.chip(score, _grade(row["score"])),
        verdict_chip(row["verdict"]) if row["verdict"] != "ok" else "",
        markup.chip("fallback", "warn") if row["fallback"] else "",
    ]
    facts = " · ".join(
        part
        for part in (
            markup.duration(row["duration_s"]),
            markup.plural(row["frames"], "frame"),
            row["engine"],
            ARMS.get(row["arm"], row["arm"]),
            f"scene {row['scene']}" if row["scene"] else "",
        )
        if part
    )
    caption = row["caption"].removeprefix(f"{trigger}, ") if trigger else row["caption"]
    label = f"Caption, after {trigger}" if trigger else "Caption"
    return (
        f'<article class="m-clip">{_film(studio, row, name)}<div><b>{markup.text(name)}</b>'
        f'<span class="t2-row">{"".join(chips)}</span><small class="t2-muted">{markup.text(facts)}</small>'
        f'<label>{markup.text(label)}<textarea data-clip="{markup.text(row["id"])}" spellcheck="true" maxlength="2000" '
        f'aria-label="Caption of {markup.text(name)}, {markup.text(row["id"])}">{markup.text(caption)}</textarea></label></div></article>'
    )


def _grade(score: float | None) -> str:
    if score is None:
        return ""
    return "good" if score >= 4 else "warn" if score < 3 else ""


def _film(studio: Studio, row: dict[str, Any], name: str) -> str:
    """The player; only files of the videos' own folder are served."""
    video, poster = served(studio, row["video"]), served(studio, row["poster"])
    if not video or video.endswith(".gif"):
        return (
            '<div class="m-nofilm">No player for this file</div>'
            if not video
            else f'<img alt="" src="{markup.text(video)}">'
        )
    part = ""
    if row["scene"]:
        start = row["start_frame"] / row["fps"]
        part = f"#t={start:.3f},{start + row['duration_s']:.3f}"
    picture = f' poster="{markup.text(poster)}"' if poster and not row["start_frame"] else ""
    load = "none" if picture else "metadata"
    return f'<video controls muted playsinline preload="{load}"{picture} src="{markup.text(video)}{part}" aria-label="{markup.text(name)}"></video>'


def served(studio: Studio, path: str) -> str:
    """The address of a file of outputs/videos, "" for any other."""
    file = Path(path).resolve() if path else None
    return (
        player.address(file)
        if file and file.is_file() and file.is_relative_to(studio.workspace.videos.resolve())
        else ""
    )


def left_out(exclusions: Sequence[dict[str, Any]]) -> str:
    """Every clip that is not in the set, with each of its reasons."""
    if not exclusions:
        return '<p class="t2-muted">Nothing was left out.</p>'
    rows = (
        (
            f"<strong>{markup.text(one['topic'] or 'no topic')}</strong>",
            f'<span class="t2-row">{"".join(markup.chip(REASONS.get(reason["code"], reason["code"]), "warn") for reason in one["reasons"])}</span>',
            markup.text(" ".join(reason["message"] for reason in one["reasons"])),
            f"<small>{markup.text(one['id'])}</small>",
        )
        for one in exclusions
    )
    return markup.table(("Topic", "Reason", "In words", "Clip"), rows, caption="Left out")


def _number(value: object) -> str:
    return f'<span class="t2-num">{markup.text(value)}</span>'
