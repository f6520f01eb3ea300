"""A training as markup: what a dry run says, how a run stands, its samples and its adapters."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from t2v_studio.jobs.model import Job
from t2v_studio.studio import Studio
from t2v_studio.ui import markup
from t2v_studio.ui.components import job_card, player

STATES = {
    "running": ("Training", "run"),
    "waiting": ("Waiting", "run"),
    "finished": ("Finished", "good"),
    "failed": ("Failed", "bad"),
    "stopped": ("Stopped", "warn"),
    "new": ("Not begun", ""),
}
NOTHING = markup.empty(
    "No training yet",
    "Choose a recipe and a manifest, look at the dry run, then start. tiny_smoke shows the whole way in a minute, without a download.",
)
STYLE = """
.t2-strip { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 12px; }
.t2-strip figure { margin: 0; }
#train-dry .t2-notice, #train-dry .t2-scroll { margin-top: 10px; }
.t2-strip .both { display: grid; grid-template-columns: 1fr 1fr; gap: 6px; }
.t2-strip video { width: 100%; border-radius: 6px; background: #000; display: block; }
.t2-strip figcaption { font-size: 12px; color: var(--body-text-color-subdued); margin-top: 3px; }
.t2-figures { display: flex; flex-wrap: wrap; gap: 6px 22px; margin: 8px 0 0; font-variant-numeric: tabular-nums; }
.t2-figures div { font-size: 12px; color: var(--body-text-color-subdued); }
.t2-figures b { display: block; font-size: 15px; color: var(--body-text-color); font-weight: 600; }
"""
_GIB = {
    "base": "frozen base",
    "adapter_and_optimiser": "adapter, gradients, optimiser",
    "activations": "activations",
    "reserve": "reserve",
    "total": "in all",
}


def number(value: Any, digits: int = 4) -> str:
    """A measure; a dash for one that could not be taken."""
    if value is None or value == "":
        return "–"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:.{digits}g}"


# --- dry run -----------------------------------------------------------------------------------
def dry_run(found: Mapping[str, Any]) -> str:
    """What a training would need, before anything is loaded."""
    clips, disk = found["clips"], found["disk"]
    buckets = ", ".join(f"{name} ({count})" for name, count in found["buckets"].items())
    facts = markup.facts(
        [
            ("Clips", f"{clips['train']} to train on, {clips['validation']} held out, {clips['dropped']} left out"),
            ("Buckets", buckets),
            ("Length", f"{found['steps']:,} optimiser steps, {found['epochs']:g} rounds through the clips"),
            (
                "Trainable",
                f"{found['parameters']['trainable']:,} parameters in {markup.plural(found['parameters']['layers'], 'layer')}",
            ),
            ("Base", f"{found['parameters']['base']:,} parameters, frozen"),
            ("Cache", f"{size(disk['cache_bytes'])}, {size(disk['cache_missing_bytes'])} of it to make"),
            ("Checkpoints", f"{size(disk['checkpoints_bytes'])}; {size(disk['free_bytes'])} are free on the disk"),
        ]
    )
    memory = markup.table(
        ("Memory, estimated", "GiB"),
        [(markup.text(_GIB[name]), _right(f"{value:.2f}")) for name, value in found["memory_gib"].items()],
        caption="Memory",
        kind="figures",
    )
    speed = markup.table(
        ("Machine", "A step", "Training", "With samples"),
        [
            (
                markup.text(row["machine"]),
                _right(markup.duration(row["step_s"])),
                _right(markup.duration(row["training_s"])),
                _right(markup.duration(row["total_s"])),
            )
            for row in found["speed"]
        ],
        caption="Time, estimated at half of a card's peak",
        kind="figures",
    )
    notes = "".join(markup.notice(words, kind="info") for words in found["notices"])
    left = "".join(f"<li>{markup.text(row['id'])}: {markup.text(row['reason'])}</li>" for row in found["dropped"])
    left = (
        f"<details><summary>{markup.plural(len(found['dropped']), 'clip')} left out</summary><ul>{left}</ul></details>"
        if left
        else ""
    )
    return f'<div class="t2-hit"><header><b>Dry run: {markup.text(found["model"])}</b></header>{facts}{notes}{memory}{speed}{left}</div>'


def _right(words: str) -> str:
    """A cell under a head that stands at the right."""
    return f'<span class="t2-num">{markup.text(words)}</span>'


def size(count: float) -> str:
    """Bytes in words."""
    return (
        f"{count / 1e9:,.1f} GB"
        if count >= 1e9
        else f"{count / 1e6:,.1f} MB"
        if count >= 1e5
        else f"{count / 1e3:,.1f} kB"
    )


# --- one run -----------------------------------------------------------------------------------
def status(run: Mapping[str, Any], job: Job | None) -> str:
    """State, stage, progress, time left, figures, and the buttons that make sense now."""
    name, kind = STATES[run["state"]]
    running = run["state"] == "running"
    buttons = []
    if running:
        buttons += [
            markup.button("Save now", "save_now", run=run["run"], hint="Write a checkpoint after this step"),
            markup.button("Sample now", "sample_now", run=run["run"], hint="Check the adapter after this step"),
            markup.button("Stop", "stop", run=run["run"], hint="Stop after this step; it can go on later"),
        ]
    if run["state"] in ("running", "waiting") and run["job"]:
        buttons.append(
            markup.button("Cancel", "cancel", kind="quiet", job=run["job"], hint="Leave now, with a checkpoint")
        )
    if run["state"] in ("stopped", "failed", "new"):
        buttons.append(markup.button("Resume", "resume", kind="primary", run=run["run"]))
    trouble = ""
    if run["error"]:
        trouble = markup.notice(str(run["error"].get("message", "")), str(run["error"].get("hint", "")))
    elif job is not None and job.state in ("failed", "lost") and run["state"] != "running":
        trouble = job_card.failure(job)
    head = f"<header><b>{markup.text(run['title'])}</b>{markup.chip(name, kind)}<span class='t2-row'>{''.join(buttons)}</span></header>"
    return f'<div class="t2-hit{" t2-live" if running else ""}">{head}{_progress(run, running)}{trouble}{_figures(run)}</div>'


def _progress(run: Mapping[str, Any], running: bool) -> str:
    last = run["last"]
    if not last or "error" in last or run["state"] == "finished":
        return ""
    left = last.get("left_s")
    parts = [
        str(last["stage"])[:1].upper() + str(last["stage"])[1:],
        f"{last['step']:,} of {last['total']:,}" if last["total"] else "",
        f"about {markup.duration(left)} left" if left and running else "",
        str(last.get("message") or ""),
    ]
    bar = markup.bar(last["step"], last["total"], "Training") if running else ""
    return f'{bar}<p class="t2-stage">{markup.text(" · ".join(part for part in parts if part))}</p>'


def _figures(run: Mapping[str, Any]) -> str:
    at = run["step"]
    if not at or at.get("step") is None:
        return ""
    use = at.get("gpu_use")
    cells = [
        ("step", f"{at['step']:,} of {at['total']:,}"),
        ("loss", number(at["loss"])),
        ("a step", markup.duration(at["seconds"])),
        ("memory", f"{at['memory_gib']:.1f} GiB" if at.get("memory_gib") is not None else "–"),
        ("graphics card", f"{use} %" if use is not None else "none"),
    ]
    shown = "".join(f"<div><b>{markup.text(value)}</b>{markup.text(name)}</div>" for name, value in cells)
    return f'<div class="t2-figures">{shown}</div>'


# --- samples -----------------------------------------------------------------------------------
def samples(studio: Studio, run_id: str, part: Mapping[str, Any]) -> str:
    """The newest check's samples, the base's beside each; all of a prompt share its seed."""
    if not part["checks"]:
        return '<p class="t2-muted">Samples come with the first check.</p>'
    check = part["checks"][-1]
    theirs = {one["name"]: one for one in part["base"].get("samples", [])}
    figures = []
    for one in check["samples"]:
        base = theirs.get(one["name"])
        films = "".join(
            f'<div>{_film(studio, run_id, part, sample, label)}<small class="t2-muted">{markup.text(label)}</small></div>'
            for sample, label in ((base, "Base"), (one, f"Step {check['step']}"))
            if sample is not None
        )
        words = f"{one['name'].replace('_', ' ')} · seed {one['seed']}{_verdict(one)}"
        figures.append(f'<figure><div class="both">{films}</div><figcaption>{markup.text(words)}</figcaption></figure>')
    if not figures:
        return '<p class="t2-muted">This recipe samples no prompts.</p>'
    return f'<h3 class="t2-h">Samples: base beside adapter</h3><div class="t2-strip">{"".join(figures)}</div>'


def _verdict(sample: Mapping[str, Any]) -> str:
    found = sample["measures"]
    return (
        " · stands still"
        if found["frozen"]
        else ""
        if found["verdict"] == "ok"
        else f" · {found['verdict'].replace('_', ' ')}"
    )


def _film(studio: Studio, run_id: str, part: Mapping[str, Any], sample: Mapping[str, Any], label: str) -> str:
    path = served(studio, run_id, str(part["name"]), Path(part["folder"]) / sample["video"])
    if path is None:
        return markup.notice("The sample is gone.", kind="warn")
    return f'<video muted loop controls playsinline preload="metadata" aria-label="{markup.text(label)}: {markup.text(sample["name"])}" src="{markup.text(player.address(path))}"></video>'


def served(studio: Studio, run_id: str, part: str, path: Path) -> Path | None:
    """A copy in the one folder that the page may give out: runs themselves, with their checkpoints, are never served."""
    root = studio.workspace.training_run(run_id).resolve()
    if not path.resolve().is_relative_to(root) or not path.is_file() or path.suffix not in (".mp4", ".gif"):
        return None
    stamp = path.stat().st_mtime_ns
    copy = studio.workspace.cache / "web" / "samples" / run_id / part / f"{path.stem}-{stamp:x}{path.suffix}"
    if not copy.is_file():
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return copy


# --- adapters ----------------------------------------------------------------------------------
_HEAD = ("Step", "Held-out loss", "Warp score", "Motion", "CLIP", "Mean rank", "State", "")


def adapters(run_id: str, part: Mapping[str, Any]) -> str:
    """A row an adapter: measures, place, kept or moved aside with the reason, and the way to Generate."""
    rows = part["table"]
    if not rows:
        return '<p class="t2-muted">Each check adds an adapter here.</p>'
    base = part["base"]
    first = [_base_row(base)] if base else []
    body = [*first, *(_adapter_row(run_id, part["name"], row) for row in reversed(rows))]
    note = next((row["clip_note"] for row in rows if row.get("clip_note")), "")
    words = "Lower is better for loss and warp score, higher for CLIP. Adapters are ordered by their mean rank; one whose clips stand still never wins."
    more = f" CLIP is {note}." if note else ""
    return (
        '<h3 class="t2-h">Adapters</h3>'
        + markup.table(_HEAD, body, caption="Adapters of this training")
        + f'<p class="t2-muted">{markup.text(words + more)}</p>'
    )


def _base_row(base: Mapping[str, Any]) -> list[str]:
    names = ("val_loss", "warp_score", "motion", "clip_text")
    return ["base", *(markup.text(number(base.get(name))) for name in names), "", "", ""]


def _adapter_row(run_id: str, part: str, row: Mapping[str, Any]) -> list[str]:
    names = ("val_loss", "warp_score", "motion", "clip_text")
    kept = {"kept": ("kept", "good"), "moved": ("moved aside", ""), "gone": ("gone", "bad")}[row["state"]]
    state = markup.chip("chosen", "good") if row["chosen"] else markup.chip(*kept)
    if row["reason"]:
        state += f'<small class="t2-muted"> {markup.text(row["reason"])}</small>'
    use = (
        markup.button("Use in Generate", "use", kind="quiet strong", run=run_id, part=part, step=row["step"])
        if row["state"] != "gone"
        else ""
    )
    return [
        f"{row['step']:,}",
        *(markup.text(number(row[name])) for name in names),
        f"{row['mean_rank']:g}",
        state,
        use,
    ]


def log_and_command(log: str, command: str, path: str) -> str:
    """The trainer's own words and the exact command, each with a button that copies it."""
    return "".join(
        f'<div class="t2-row"><b>{title}</b><button type="button" class="t2-button quiet" data-copy="{markup.text(name)}">Copy</button></div>'
        f'<pre class="t2-log" tabindex="0" data-text="{markup.text(name)}" aria-label="{title}">{markup.text(words)}</pre>'
        for name, title, words in (("command", "Command", command), ("log", "Log", log or "Nothing logged yet."))
    ) + (f'<p class="t2-muted">The run\'s folder: {markup.text(path)}</p>' if path else "")


COPY = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const words = element.querySelector(`[data-text="${button.dataset.copy}"]`).textContent;
  const done = () => { button.textContent = 'Copied'; setTimeout(() => { button.textContent = 'Copy'; }, 1500); };
  if (navigator.clipboard && window.isSecureContext) { navigator.clipboard.writeText(words).then(done); return; }
  const range = document.createRange();
  range.selectNodeContents(element.querySelector(`[data-text="${button.dataset.copy}"]`));
  const chosen = getSelection(); chosen.removeAllRanges(); chosen.addRange(range);
  document.execCommand('copy'); done();
});
"""


def run_choices(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """The runs, newest first, as a list to choose from. What goes on needs no state there: it is shown below."""
    moving = ("running", "waiting")
    return [
        (
            " · ".join(
                [
                    row["title"],
                    *([] if row["state"] in moving else [STATES[row["state"]][0].lower()]),
                    markup.day(row["created_at"]),
                ]
            ),
            row["run"],
        )
        for row in rows
    ]


# --- plots -------------------------------------------------------------------------------------
def loss_points(log: list[dict[str, Any]]) -> Any:
    """Loss of each optimiser step and its running mean, as LinePlot takes it."""
    import pandas as pd

    losses = [float(row["loss"]) for row in log]
    window = max(5, len(losses) // 20)
    smooth = pd.Series(losses).rolling(window, min_periods=1).mean()
    steps = [row["step"] for row in log]
    return pd.DataFrame(
        {
            "step": steps * 2,
            "value": [*losses, *smooth],
            "what": ["each step"] * len(steps) + [f"mean of {window}"] * len(steps),
        }
    )


def held_out_points(checks: list[dict[str, Any]], base: dict[str, Any]) -> Any:
    """Loss on held-out rows or clips at each check, the base's as a level line."""
    import pandas as pd

    known = [row for row in checks if row.get("val_loss") is not None]
    rows = [{"step": row["step"], "value": row["val_loss"], "what": "adapter"} for row in known]
    if base.get("val_loss") is not None:
        rows.insert(0, {"step": 0, "value": base["val_loss"], "what": "adapter"})
        ends = [0, *[row["step"] for row in known][-1:]]
        rows += [{"step": step, "value": base["val_loss"], "what": "base"} for step in ends]
    return pd.DataFrame(rows, columns=["step", "value", "what"])
