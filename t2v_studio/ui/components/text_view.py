"""The training of a language model as markup: what a dry run says, its adapters, their evaluation, their files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from t2v_studio.jobs.model import Job
from t2v_studio.ui import markup
from t2v_studio.ui.components import job_card, player, text_set_view
from t2v_studio.ui.components.train_view import number, size

NOTHING = markup.empty(
    "No training of a language model yet",
    "Choose a recipe and a text set, look at the dry run, then start. text_smoke shows the whole way in seconds, without a download.",
)


# --- dry run -----------------------------------------------------------------------------------
def dry_run(found: Mapping[str, Any]) -> str:
    """What a training would need, and three rows as the model gets them, before a weight is loaded."""
    rows, parameters, disk = found["rows"], found["parameters"], found["disk"]
    facts = markup.facts(
        [
            ("Rows", f"{rows['train']:,} to train on, {rows['test']:,} held out, {rows['refused']:,} refused"),
            ("Length", f"{found['steps']:,} optimiser steps, {found['epochs']:g} rounds through the rows"),
            ("Trainable", f"{parameters['trainable']:,} parameters, {100 * parameters['share']:.3g} % of the model"),
            ("Base", f"{parameters['base']:,} parameters, frozen"),
            ("Layers", ", ".join(f"{name} ({count})" for name, count in found["targets"].items())),
            ("Memory, estimated", f"{found['memory_gib']['total']:.2f} GiB"),
            ("Checkpoints", f"{size(disk['checkpoints_bytes'])}; {size(disk['free_bytes'])} are free on the disk"),
        ]
    )
    notes = "".join(markup.notice(words, kind="info") for words in found["notices"])
    findings = found["findings"]
    faults = text_set_view.findings_table(findings) if findings else ""
    folded = (
        f"<details><summary>{markup.plural(len(findings), 'finding')} in the rows</summary>{faults}</details>"
        if findings
        else ""
    )
    shown = "".join(_row(number_, row) for number_, row in enumerate(found["preview"], 1))
    preview = (
        f'<h4 class="t2-h">Rows as the model gets them; the loss is on what is marked</h4>{shown}' if shown else ""
    )
    histogram = text_set_view.histogram(found["tokens"])
    head = f"<header><b>Dry run: {markup.text(found['model'])}</b></header>"
    return f'<div class="t2-hit">{head}{facts}{notes}{histogram}{preview}{folded}</div>'


def _row(count: int, row: Mapping[str, Any]) -> str:
    parts = "".join(
        f"<mark>{markup.text(part['text'])}</mark>" if part["loss"] else markup.text(part["text"])
        for part in row["parts"]
    )
    label = f"Row {count}: {row['tokens']} tokens, {row['loss_tokens']} with loss"
    return (
        f'<p class="t2-muted">{label}</p><pre class="t2-log t2-masked" tabindex="0" aria-label="{label}">{parts}</pre>'
    )


# --- adapters ----------------------------------------------------------------------------------
_HEAD = ("Step", "Round", "Held-out loss", "Held-out accuracy", "State", "")
_STATES = {"kept": ("kept", ""), "moved": ("moved aside", ""), "gone": ("gone", "bad")}


def adapters(run_id: str, part: Mapping[str, Any], task: str) -> str:
    """A row a check; what it can be used for depends on the task of its recipe."""
    rows = part["table"]
    if not rows:
        return '<p class="t2-muted">Each check adds an adapter here.</p>'
    base = part["base"]
    first = [["base", "", number(base.get("val_loss")), _share(base.get("val_accuracy")), "", ""]] if base else []
    body = [*first, *(_adapter(run_id, str(part["name"]), row, task) for row in reversed(rows))]
    return '<h3 class="t2-h">Adapters</h3>' + markup.table(_HEAD, body, caption="Adapters of this training")


def _adapter(run_id: str, part: str, row: Mapping[str, Any], task: str) -> list[str]:
    state = markup.chip("chosen", "good") if row["chosen"] else markup.chip(*_STATES[row["state"]])
    data = {"run": run_id, "part": part, "step": row["step"]}
    buttons = []
    if row["state"] != "gone":
        if task in ("prompts", "chat"):
            hint = "Writes the prompts of diffusion videos"
            buttons.append(markup.button("Use as prompt writer", "use", kind="quiet strong", hint=hint, **data))
        else:
            hint = "Put it among the adapters, for the Manim engine and for export"
            buttons.append(markup.button("Keep among adapters", "keep", kind="quiet strong", hint=hint, **data))
    epoch = row.get("epoch")
    return [
        f"{row['step']:,}",
        f"{epoch:.3g}" if isinstance(epoch, int | float) else "",
        number(row.get("val_loss")),
        _share(row.get("val_accuracy")),
        state,
        " ".join(buttons),
    ]


def _share(value: Any) -> str:
    return f"{100 * value:.1f} %" if isinstance(value, int | float) else "–"


# --- evaluation --------------------------------------------------------------------------------
def evaluation(run_id: str, found: Mapping[str, Any], ready: bool, job: Job | None) -> str:
    """The table of the ladder, a row a model, and the button that makes it. job: that makes it now."""
    if not ready:
        return ""
    if job is None:
        button = markup.button("Evaluate" if not found else "Evaluate again", "evaluate", run=run_id)
    else:
        button = "" if job.cancel_requested else markup.button("Cancel", "cancel", kind="quiet", job=job.id)
    busy = job_card.progress(job) if job else ""
    head = f'<div class="t2-row"><h3 class="t2-h">Evaluation</h3>{button}</div>{busy}'
    if not found:
        return f'{head}<p class="t2-muted">Base, base with retrieved examples and each adapter answer the same held-out rows.</p>'
    columns = found["columns"]
    heads = ["Model", "Rows", *(column["label"] for column in columns)]
    rows = [
        [
            markup.text(row["who"]),
            markup.text(row.get("n", "")),
            *(_figure(row.get(one["name"]), one) for one in columns),
        ]
        for row in found["rows"]
    ]
    notes = "".join(f"<li>{markup.text(note)}</li>" for note in found.get("notes", []))
    help_ = "".join(f"<dt>{markup.text(one['label'])}</dt><dd>{markup.text(one['help'])}</dd>" for one in columns)
    more = f'<ul class="t2-ahead">{notes}</ul>' if notes else ""
    meaning = f'<details><summary>What the columns mean</summary><dl class="t2-facts">{help_}</dl></details>'
    return head + markup.table(heads, rows, caption="Evaluation", kind="figures") + more + meaning


def _figure(value: Any, column: Mapping[str, Any]) -> str:
    if value is None:
        return "–"
    return _share(value) if column.get("share") else markup.text(number(value))


# --- files -------------------------------------------------------------------------------------
def files(adapter: str, found: Iterable[tuple[str, int, Path]], working: bool) -> str:
    """What other programs read: made by a button each, then offered."""
    if not adapter:
        return ""
    buttons = "".join(
        markup.button(label, "export", what=what, adapter=adapter, hint=hint)
        for label, what, hint in (
            ("Write GGUF", "gguf", "The adapter as llama.cpp and Ollama read it"),
            ("Write Modelfile", "modelfile", "Template, system text, stop tokens and parameters for Ollama"),
            ("Write card", "card", "The model card"),
        )
    )
    links = "".join(
        f'<li><a href="{markup.text(player.address(path))}" download="{markup.text(name)}">{markup.text(name)}</a> '
        f'<small class="t2-muted">{size(count)}</small></li>'
        for name, count, path in found
    )
    shown = f'<ul class="t2-files">{links}</ul>' if links else ""
    busy = '<p class="t2-stage">A file is being written.</p>' if working else ""
    head = f'<h3 class="t2-h">For other programs</h3><div class="t2-row">{buttons}</div>'
    return f"{head}{busy}{shown}"
