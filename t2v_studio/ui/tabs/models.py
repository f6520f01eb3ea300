"""Models and LoRAs: what there is, what is here, what to fetch or add; and what they take on the disk."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import gradio as gr

from t2v_studio.errors import InputError
from t2v_studio.jobs.model import Job
from t2v_studio.studio import Studio
from t2v_studio.ui import markup
from t2v_studio.ui.components import adapter_list, job_card
from t2v_studio.ui.notices import guarded
from t2v_studio.ui.page import QUIET, Page, busy

NAME, LABEL, ORDER = "models", "Models", 80
KINDS = ("download", "convert_model")
NO_PLAN: dict[str, str] = {}
OLD = timedelta(days=1)
"""A failure is told until then, unless something comes after it."""
TO_QUESTION = """() => document.querySelector("#models-question .t2-notice")?.scrollIntoView({block: "center"})"""
"""Script that shows what was asked, however far down its button stands."""
INTRO = (
    '<p class="t2-muted">Diffusion needs a model on this disk, and a graphics card to run it in a useful time. '
    "The tiny models need neither: they show the whole path in seconds, with pictures that mean nothing.</p>"
)


def build(page: Page) -> None:
    with gr.Tabs(elem_id="model-kinds"):
        with gr.Tab("Base models", id="models-all"):
            _build_models(page)
        with gr.Tab("LoRAs", id="models-loras"):
            names = [row["name"] for row in page.studio.models.rows()]
            adapter_list.build(page, "models", names)


def _build_models(page: Page) -> None:
    studio = page.studio
    gr.HTML(INTRO, apply_default_css=False)
    status = gr.HTML("", js_on_load=markup.CLICKS, elem_id="models-status", apply_default_css=False)
    question = gr.HTML("", js_on_load=markup.CLICKS, elem_id="models-question", apply_default_css=False)
    table = gr.HTML(markup.OPENING, js_on_load=markup.CLICKS, elem_id="models-table", apply_default_css=False)
    with gr.Accordion("Disk", open=True, elem_id="models-disk"):
        cache = gr.HTML(markup.OPENING, js_on_load=markup.CLICKS, elem_id="models-cache", apply_default_css=False)
    shown_plan = gr.State(NO_PLAN)
    following, read = gr.State(""), gr.State("")
    outputs = [following, status, table, cache, shown_plan]

    def look(plan: dict[str, str], read_id: str = "") -> tuple[Any, ...]:
        """Values of `outputs`. A plan that a person reads stays on show, whatever else has changed.

        read_id: the ended job whose failure the person has read, and gone on.
        """
        job = newest(studio)
        told = "" if job and (job.id == read_id or is_over(studio, job)) else status_of(job)
        disk = (gr.skip(), gr.skip()) if plan else (cache_of(studio), NO_PLAN)
        return (job.id if job and not job.ended else "", told, table_of(studio), *disk)

    @guarded
    def act(plan: dict[str, str], event: gr.EventData) -> Any:
        """A button of the table, or of the question that one of its buttons asks."""
        sent = event._data or {}
        name, what = str(sent.get("model", "")), str(sent.get("act", ""))
        before, asked = newest(studio), ""
        if what == "download":
            asked = question_of(studio, name)
        elif what == "fetch":
            studio.models.submit_download(name)
        elif what == "convert":
            studio.models.submit_convert(name)
        elif what in ("pin", "unpin"):
            studio.models.pin(name, what == "pin")
        elif what != "later":
            raise InputError("unknown_act", "That button is not known.", "Reload the page.")
        gone_by = before.id if before and before.ended else ""
        return (*look(plan, gone_by), asked, gone_by, busy(), "")

    @guarded
    def clean(plan: dict[str, str], read_id: str, event: gr.EventData) -> Any:
        """The disk panel: show a plan, drop it, or carry out the one on show."""
        sent = str((event._data or {}).get("act", ""))
        if sent in ("prune", "purge", "doubles"):
            found = studio.models.cache_plan(sent)  # type: ignore[arg-type]
            kept = {"token": found["token"], "depth": sent} if found["goes"] else NO_PLAN
            return (*[gr.skip()] * 3, plan_of(found), kept)
        if sent == "delete" and plan:
            studio.models.cache_delete(plan["token"], plan["depth"])  # type: ignore[arg-type]
            gr.Info("Deleted. The space is free again.")
        return look(NO_PLAN, read_id)

    @guarded
    def cancel(event: gr.EventData) -> str:
        return status_of(studio.cancel(str((event._data or {}).get("job", ""))))

    @guarded
    def follow(job_id: str, plan: dict[str, str], read_id: str) -> Any:
        if not job_id:
            return gr.skip()
        job = studio.job(job_id)
        return look(plan, read_id) if job.ended else (job_id, status_of(job), *[gr.skip()] * 3)

    in_turn = {**QUIET, "concurrency_id": "models", "concurrency_limit": 1}
    acted = [*outputs, question, read, page.timer, page.rows]
    table.click(act, shown_plan, acted, trigger_mode="once", **in_turn).then(None, None, None, js=TO_QUESTION)
    question.click(act, shown_plan, acted, trigger_mode="once", **in_turn)
    cache.click(clean, [shown_plan, read], outputs, trigger_mode="once", **in_turn)
    status.click(cancel, None, status, **QUIET)
    page.rows.change(follow, [following, shown_plan, read], outputs, trigger_mode="once", **in_turn)
    page.on_load(guarded(look), [shown_plan, read], outputs)
    if page.tab is not None:
        page.tab.select(guarded(look), [shown_plan, read], outputs, **in_turn)


def newest(studio: Studio) -> Job | None:
    """The download or conversion that runs, else the last one that failed or was cancelled."""
    jobs = [job for job in studio.jobs(limit=100) if job.kind in KINDS]
    return next((job for job in jobs if not job.ended), jobs[0] if jobs else None)


def is_over(studio: Studio, job: Job) -> bool:
    """Whether how a job ended is of no interest any more: what it was to bring is here, or it is long ago."""
    if not job.ended or job.state == "succeeded":
        return False
    rows = [*studio.models.rows(), *studio.models.chat_rows()]
    row: dict[str, Any] = next((row for row in rows if row["name"] == job.spec.get("model")), {})
    ended = markup.moment(job.ended_at)
    old = ended is not None and datetime.now(UTC) - ended > OLD
    return old or bool(row.get("here" if job.kind == "download" else "converted"))


def question_of(studio: Studio, name: str) -> str:
    """Size and free disk, before anything is fetched; no way on where it would not fit."""
    found = studio.models.to_fetch(name)
    size, free, needs = (f"{found[key] / 1e9:.1f} GB" for key in ("bytes", "free", "needs"))
    later = markup.button("Not now", "later", model=found["name"])
    if found["free"] < found["needs"] and not found["begun"]:
        lacking = f"{needs} must be free on the disk of {found['folder']}, and {free} are. Free some below, or take a smaller model."
        return markup.notice(f"{found['title']} does not fit.", lacking, "warn") + f'<p class="t2-under">{later}</p>'
    begun = " A part of it is here already, and is not fetched again." if found["begun"] else ""
    facts = f"It takes up to {size} in {found['folder']}; {free} are free on that disk.{begun}"
    sure = markup.button(f"Fetch {size}", "fetch", kind="primary", model=found["name"])
    return markup.notice(f"Fetch {found['title']}?", facts, "info") + f'<p class="t2-row t2-under">{sure}{later}</p>'


def status_of(job: Job | None) -> str:
    if job is None or job.state == "succeeded":
        return ""
    if not job.ended:
        return job_card.live(job)
    if job.state == "cancelled":
        return markup.notice("Cancelled.", "What was fetched is kept: the next download goes on from there.", "info")
    return job_card.failure(job)


# --- the table ---------------------------------------------------------------------------------
def table_of(studio: Studio) -> str:
    head = ("Model", "State", "To fetch", "As bf16", "Made for", "Licence", "")
    rows, problem = studio.models.rows(), studio.models.problem()
    said = markup.notice(problem.message, problem.hint, "warn") if problem else ""
    video = markup.table(head, [_cells(row) for row in rows], caption="Video models", kind="models stacked")
    return said + video + _chat_table(studio)


def _chat_table(studio: Studio) -> str:
    """Language models, with one way to fetch them."""
    rows = []
    for row in studio.models.chat_rows():
        state = markup.chip("Ready", "good") if row["here"] else markup.chip("Not here")
        state = markup.chip("At work", "run") if row["job"] else state
        size = f"{row['download_gb']:g}\u00a0GB"
        fetch = markup.button("Fetch", "download", model=row["name"], hint=f"About {size}")
        name = f"<strong>{markup.text(row['repo_id'].rpartition('/')[2])}</strong><br><code>{markup.text(row['name'])}</code>"
        cells = [name, state, markup.text(size), markup.text(row["license"])]
        rows.append([*cells, "" if row["here"] or row["job"] else fetch])
    head = ("Model", "State", "To fetch", "Licence", "")
    words = '<h3 class="t2-h">Language models</h3><p class="t2-muted">They may plan, write prompts and Manim scenes, and be trained on.</p>'
    return words + markup.table(head, rows, caption="Language models", kind="models stacked")


def _cells(row: dict[str, Any]) -> list[str]:
    low, high = row["trained_frames"]
    frames = f"{low}" if low == high else f"{low} to {high}"
    size = [f"{row[key]:g}\u00a0GB" if row["repo_id"] else "" for key in ("gigabytes", "bf16_gigabytes")]
    about = f"<strong>{markup.text(row['title'])}</strong><br><code>{markup.text(row['name'])}</code>"
    return [
        f'{about}<p class="t2-muted">{markup.text(row["about"])}</p>{_fault(row)}',
        _state(row),
        markup.text(size[0]),
        markup.text(size[1]),
        markup.text(f"{frames} frames at {row['trained_fps']:g} fps"),
        markup.text(row["license"]),
        _buttons(row),
    ]


def _fault(row: dict[str, Any]) -> str:
    """What is wrong with a model of one's own, or with files that were fetched; what is still to be fetched is no fault."""
    wrong = row["damaged"] or (not row["here"] and not row["repo_id"])
    return markup.notice(row["message"], row["hint"], "warn") if wrong else ""


def _state(row: dict[str, Any]) -> str:
    chips = [markup.chip("Ready", "good") if row["here"] else markup.chip("Not here")]
    held = list(row["parts"].values())
    if not row["here"] and any(part != "missing" for part in held):
        chips = [markup.chip(f"{sum(part != 'missing' for part in held)} of {len(held)} parts", "warn")]
    if row["damaged"]:
        chips = [markup.chip("Damaged", "bad")]
    if row["job"]:
        chips = [markup.chip("At work", "run")]
    chips += [markup.chip("Default")] if row["default"] else []
    chips += [markup.chip("bf16 copy")] if row["converted"] else []
    chips += [markup.chip("Kept")] if row["pinned"] else []
    return " ".join(chips)


def _buttons(row: dict[str, Any]) -> str:
    if not row["repo_id"] or row["job"]:
        return ""
    name, made = row["name"], []
    if not row["here"]:
        made.append(
            markup.button(
                "Fetch again" if row["damaged"] else "Fetch",
                "download",
                model=name,
                hint=f"About {row['gigabytes']:g} GB",
            )
        )
    elif row["gigabytes"] > 1.2 * row["bf16_gigabytes"] and not row["converted"]:
        saves = row["gigabytes"] - row["bf16_gigabytes"]
        made.append(
            markup.button("Copy in bf16", "convert", model=name, hint=f"Takes {saves:.0f} GB less, loads faster")
        )
    if row["here"]:
        pin = ("No longer keep", "unpin") if row["pinned"] else ("Keep", "pin")
        made.append(markup.button(*pin, model=name, hint="A kept model is never pruned or purged"))
    return " ".join(made)


# --- the disk ----------------------------------------------------------------------------------
def cache_of(studio: Studio) -> str:
    """What is there, and what could go; the first of two steps."""
    if problem := studio.models.problem():
        return markup.notice("What may go cannot be said.", f"{problem.message} {problem.hint}", "warn")
    report = studio.models.cache_report()
    facts = markup.facts(
        [
            ("Folder", report["root"]),
            ("Models take", f"{report['bytes'] / 1e9:.2f} GB"),
            ("Free on its disk", f"{report['free'] / 1e9:.1f} GB"),
        ]
    )
    if not report["items"]:
        return facts + markup.empty("No model is on this disk", "Fetch one above, or try a tiny one: it is ready.")
    doubles = studio.models.cache_plan("doubles")["freed"]
    buttons = [
        markup.button(f"{label} ({freed / 1e9:.2f} GB)", act, hint=hint)
        for label, act, freed, hint in (
            ("Free double files", "doubles", doubles, "Wide files of which a bf16 copy is here"),
            ("Prune", "prune", report["prune"], "What no kept model needs"),
            ("Remove all", "purge", report["purge"], "Everything that the studio fetched"),
        )
        if freed
    ]
    return facts + _items(report["items"], "What is there") + f"<p>{' '.join(buttons)}</p>"


def plan_of(found: dict[str, Any]) -> str:
    """A plan with its reasons, and the second step."""
    if not found["goes"]:
        return markup.notice("Nothing would go.", "", "info") + f"<p>{markup.button('Back', 'back')}</p>"
    stays = _items(found["stays"], "What stays") if found["stays"] else ""
    sure = markup.button(f"Delete {found['freed'] / 1e9:.2f} GB", "delete", kind="stop")
    title = f"<p><strong>This would go, {found['freed'] / 1e9:.2f} GB in all. Nothing is deleted yet.</strong></p>"
    rest = f"<p><strong>This stays</strong></p>{stays}" if stays else ""
    return (
        title + _items(found["goes"], "What goes") + rest + f"<p>{sure} {markup.button('Keep everything', 'back')}</p>"
    )


def _items(items: list[dict[str, Any]], caption: str) -> str:
    rows = [
        [
            markup.text(f"{item['bytes'] / 1e9:.2f}\u00a0GB"),
            f"{markup.text(item['name'])}<br><code>{markup.text(item['revision'][:12])}</code>",
            markup.text(", ".join(item["models"])),
            markup.text(item["why"]),
        ]
        for item in items
    ]
    return markup.table(("Size", "What", "For", "Why"), rows, caption=caption, kind="cache")
