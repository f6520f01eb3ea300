"""A study as its author sees it before it is closed: checks, topics, examiners and counts; never a mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from t2v_studio.ui import markup

CLICKS = """
element.addEventListener('click', async (event) => {
  const target = event.target.closest('[data-act], [data-copy]');
  if (!target || !element.contains(target) || target.hasAttribute('disabled')) return;
  if (target.dataset.copy) {
    const field = element.querySelector('#' + target.dataset.copy);
    field.select();
    try { await navigator.clipboard.writeText(field.value); } catch (error) { document.execCommand('copy'); }
    target.textContent = 'Copied';
    return;
  }
  if (target.dataset.confirm && !window.confirm(target.dataset.confirm)) return;
  trigger('click', {...target.dataset});
});
"""
"""As `markup.CLICKS`, with a question first where a step cannot be taken back, and with copying."""

STATES = {
    "draft": ("draft", ""),
    "locked": ("locked", "run"),
    "collecting": ("collecting", "run"),
    "closed": ("closed", "good"),
    "unblinded": ("unblinded", "good"),
}
NO_STUDY = markup.empty(
    "No study yet",
    "Make some pairs in Generate, or run a pack. Then choose them here: examiners score each pair without knowing "
    "which video was made with your books.",
)


def chip(state: str) -> str:
    label, kind = STATES[state]
    return markup.chip(label, kind)


def shelf(rows: Sequence[Mapping[str, Any]], chosen: str) -> str:
    """All studies, newest first; one can be chosen."""
    if not rows:
        return ""
    body = [
        (
            f'<button type="button" class="t2-link" data-act="study" data-id="{markup.text(row["id"])}" '
            f'aria-pressed="{str(row["id"] == chosen).lower()}"><strong>{markup.text(row["title"])}</strong></button>',
            chip(row["state"]),
            f'<span class="t2-num">{row["topics"]}</span>',
            f'<span class="t2-num">{row["done"]} of {row["screens"]}</span>' if row["screens"] else "",
        )
        for row in rows
    ]
    return markup.table(("Study", "State", "Topics", "Screens done"), body, caption="Studies", kind="studies")


def overview(study: Mapping[str, Any], link: str = "") -> str:
    """Everything about one study. link: markup of an invitation that was just made."""
    parts = [f'<h2 class="t2-title">{markup.text(study["title"])}</h2>', _facts(study), link]
    if study["state"] == "draft":
        parts += [_checks(study), _topics(study, draft=True)]
    else:
        parts += [_raters(study), _steps(study), _topics(study, draft=False), _hash(study)]
    return f'<div class="t2-list">{"".join(parts)}</div>'


def _facts(study: Mapping[str, Any]) -> str:
    words = [chip(study["state"]), markup.chip(markup.plural(len(study["topics"]), "topic"))]
    if study["state"] != "draft":
        words.append(markup.chip(f"{study['done']} of {study['screens']} screens done"))
        words.append(markup.chip(f"{study['places']} of {study['raters_locked']} places free"))
    return f'<div class="t2-row">{"".join(words)}</div>'


def _checks(study: Mapping[str, Any]) -> str:
    if not study["checks"]:
        return markup.notice("Nothing stands in the way of locking.", "", "good")
    titles = {topic["key"]: topic["title"] for topic in study["topics"]}
    rows = [
        (
            markup.chip("stops" if row["level"] == "block" else "warns", "bad" if row["level"] == "block" else "warn"),
            markup.text(titles.get(row["topic"], row["topic"]) or "the whole study"),
            markup.text(row["message"]) + (" <em>May stay with a reason.</em>" if row["can_override"] else ""),
        )
        for row in study["checks"]
    ]
    return '<h3 class="t2-h">Before it is locked</h3>' + markup.table(("", "Where", "What"), rows, caption="Checks")


def _topics(study: Mapping[str, Any], *, draft: bool) -> str:
    rows = []
    for topic in study["topics"]:
        cells = [
            f"<strong>{markup.text(topic['title'])}</strong>",
            f'<span class="t2-muted">{markup.text(topic["objective"])}</span>',
        ]
        if draft:
            cells.append(markup.button("Take out", "remove", key=topic["key"]))
        rows.append(cells)
    head = ("Topic", "Objective (as examiners read it)", *([""] if draft else []))
    return '<h3 class="t2-h">Topics</h3>' + markup.table(head, rows, caption="Topics")


def draft_steps() -> str:
    """What ends a draft; stands below what is still to be filled in."""
    return (
        '<p class="t2-muted">Locking freezes topics, videos, rubric, orders and rules for exclusion under one design hash. '
        "It cannot be taken back.</p>"
        '<div class="t2-row">'
        '<button type="button" class="t2-button primary" data-act="lock" '
        'data-confirm="Lock this study? Its topics, videos and rules cannot be changed afterwards.">Lock the study</button>'
        '<button type="button" class="t2-button quiet" data-act="delete" data-confirm="Remove this draft?">Remove the draft</button>'
        "</div>"
    )


def _raters(study: Mapping[str, Any]) -> str:
    is_open = study["state"] in ("locked", "collecting")
    rows = []
    for rater in study["raters"]:
        if not rater["invited"]:
            continue
        progress = markup.bar(rater["done"], rater["screens"], f"{rater['pseudonym']}: screens done")
        state = "finished" if rater["finished"] else markup.day(rater["last_seen"]) or "not yet"
        again = (
            f'<button type="button" class="t2-button quiet" data-act="again" data-name="{markup.text(rater["pseudonym"])}" '
            'data-confirm="Make a new link? The old one stops working; all scores stay.">New link</button>'
        )
        rows.append(
            (
                f"<strong>{markup.text(rater['pseudonym'])}</strong>",
                f'{progress}<span class="t2-muted">{rater["done"]} of {rater["screens"]}</span>',
                markup.text(state),
                again if is_open else "",
            )
        )
    if not rows:
        return markup.empty(
            "Nobody is invited yet", "Each examiner gets a link of their own. Invite the first one below."
        )
    return '<h3 class="t2-h">Examiners</h3>' + markup.table(
        ("Examiner", "Done", "Last seen", ""), rows, caption="Examiners"
    )


def _steps(study: Mapping[str, Any]) -> str:
    state = study["state"]
    if state in ("locked", "collecting"):
        return (
            '<p class="t2-muted">Scores and means stay hidden until the study is closed, so that nobody stops early because '
            "of what they see.</p>"
            '<div class="t2-row"><button type="button" class="t2-button" data-act="close" '
            'data-confirm="Close the study? Examiners can change nothing afterwards, and it cannot be opened again.">'
            "Close the study</button></div>"
        )
    words = "The key is revealed: which side was which arm stands in the export."
    step = ""
    if state == "closed":
        words = "The study is closed. Its numbers are in Results."
        step = (
            '<button type="button" class="t2-button" data-act="unblind" '
            'data-confirm="Unblind the study? The key of sides and arms is shown, and this is written into its log.">Unblind</button>'
        )
    results = f'<button type="button" class="t2-button primary" data-act="results" data-id="{markup.text(study["id"])}">Open the results</button>'
    return f'<p class="t2-muted">{words}</p><div class="t2-row">{results}{step}</div>'


def _hash(study: Mapping[str, Any]) -> str:
    return markup.facts(
        (
            ("Design hash", study["design_sha256"]),
            ("Locked", markup.day(study["locked_at"])),
            ("Closed", markup.day(study.get("closed_at"))),
        )
    )


def invitation(pseudonym: str, address: str, *, local: bool) -> str:
    """A link that is shown this once, with a button that copies it."""
    where = (
        "This studio answers on this computer alone: the link works in its own browsers. For other computers start it with "
        "T2V_HOSTED=1 and T2V_AUTH."
        if local
        else "Send it to this examiner alone."
    )
    return (
        f'<div class="t2-notice info" role="status"><strong>Link for {markup.text(pseudonym)}</strong>'
        "<p>It is shown this once. Whoever has it scores as this examiner.</p>"
        '<div class="t2-row" style="margin-top:8px;flex-wrap:nowrap">'
        f'<input id="t2-invitation" class="t2-invitation" readonly aria-label="Invitation link" value="{markup.text(address)}">'
        '<button type="button" class="t2-button primary" data-copy="t2-invitation">Copy</button></div>'
        f"<p>{markup.text(where)}</p></div>"
    )


def power_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Power over topics (rows) and examiners (columns)."""
    raters = sorted({row["raters"] for row in rows})
    topics = sorted({row["topics"] for row in rows})
    found = {(row["topics"], row["raters"]): row for row in rows}
    body = [
        [
            f"<strong>{count}</strong>",
            *(
                f'<span class="t2-num">{_power(found[count, rater]["power"])}</span>' if (count, rater) in found else ""
                for rater in raters
            ),
        ]
        for count in topics
    ]
    gap = rows[0]["seen_gap"] if rows else 0.0
    notes = "".join(
        f'<p class="t2-muted">{markup.text(note)}</p>' for note in dict.fromkeys(row["note"] for row in rows) if note
    )
    head = ("Topics", *(markup.plural(rater, "examiner") for rater in raters))
    return (
        markup.table(head, body, caption="Power")
        + '<p class="t2-muted">Share of simulated studies in which a criterion comes out as significant after Holm’s correction over '
        f"five. 80 % or more is the usual aim. On the scale the gap shows as about {gap:.2f}.</p>{notes}"
    )


def _power(share: float) -> str:
    return markup.chip(f"{100 * share:.0f} %", "good" if share >= 0.8 else "warn" if share >= 0.5 else "")
