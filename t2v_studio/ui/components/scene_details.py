"""How the scenes of a video were drawn, as its record has it: verdicts, settings, prompts, memory and switches."""

from __future__ import annotations

import re
from typing import Any

from t2v_studio.production.record import SceneRecord, VideoRecord
from t2v_studio.ui import markup
from t2v_studio.ui.wording import FIELDS, choice

CHECKED = (
    "The frame check finds scenes that are black, white, nearly so, frozen or nothing but pixel noise. "
    "Whether a picture shows its topic, or anything at all, it cannot tell."
)
PASSED = "frame check passed"
MEMORY, UNCARDED = "Memory", ("cpu", "cpu-lean")
SWITCHES = {"attention": "attention", "compile": "compile_blocks", "step_cache": "step_cache"}
"""Switch as a record names it to the field of the form."""


def verdict_chip(verdict: str) -> str:
    if verdict == "ok":
        return markup.chip(PASSED, "good", hint=CHECKED)
    return markup.chip(verdict.replace("_", " "), "warn", hint=CHECKED)


def plain(value: Any) -> str:
    """A value of a request or of a scene's settings, in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name} {plain(one)}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def scenes_table(record: VideoRecord, caption: str = "Scenes") -> str:
    """A row a scene: what drew it, with which settings, what was tried before, and how near to the card's limit."""
    titles = {scene.id: scene.title for scene in record.plan.scenes}
    diffusion = any(scene.details.get("sampling") for scene in record.scenes)
    limited = any(_share(scene) for scene in record.scenes)
    heads = ["Scene", "Engine", "Seed", "Length", "Verdict"] + ["Settings", "Tokens"] * diffusion
    tried = any(scene.retries for scene in record.scenes)
    heads += ["Share of limit"] * limited + ["Tried before"] * tried
    rows = []
    for one in record.scenes:
        engine = one.engine + (f" {one.model}" if one.model not in ("", one.engine) else "")
        engine += f" (instead of {one.fallback})" if one.fallback else ""
        cells = [*map(markup.text, (titles.get(one.id, one.id), engine, one.seed, markup.duration(one.duration_s)))]
        cells.append(verdict_chip(one.verdict))
        cells += [markup.text(text) for text in (_sampled(one), _tokens(one))] if diffusion else []
        cells += [markup.text(_share(one))] if limited else []
        rows.append([*cells, *([markup.text(tries(one))] if tried else [])])
    return markup.table(heads, rows, caption=caption, kind="scenes stacked")


def checked() -> str:
    """What a verdict stands on, to be read below the tables that hold it."""
    return f'<p class="t2-muted t2-under">{markup.text(CHECKED)}</p>'


def _sampled(scene: SceneRecord) -> str:
    """Steps, guidance and LoRA of a scene, and what a retry changed."""
    sampling, adapter = scene.details.get("sampling") or {}, scene.details.get("adapter") or {}
    said = [markup.plural(sampling["steps"], "step"), f"guidance {sampling['guidance']:g}"] if sampling else []
    said += [f"LoRA at {adapter['scale']:g}"] if adapter.get("scale") else []
    said += [
        f"{name.replace('_', ' ')} {plain(value)}" for name, value in scene.settings.items() if name not in sampling
    ]
    return ", ".join(said)


def _tokens(scene: SceneRecord) -> str:
    tokens = scene.details.get("tokens") or {}
    return f"{tokens['prompt']} of {tokens['limit']}" if tokens else ""


def _share(scene: SceneRecord) -> str:
    """The share of the card's physical limit, where one is known."""
    limit = scene.details.get("limit") or {}
    return f"{100 * limit['share']:.0f} %" if limit.get("share") else ""


def tries(scene: SceneRecord) -> str:
    """Each earlier try with its cause and what was done."""
    return "; ".join(
        ": ".join(dict.fromkeys(str(one[name]) for name in ("cause", "verdict", "next") if one.get(name))).replace(
            "_", " "
        )
        for one in scene.retries
    )


# --- memory and switches -----------------------------------------------------------------------
def machine(record: VideoRecord) -> str:
    """Plan of memory and speed switches of the first scene that diffusion drew; they hold for the whole video."""
    details = next((scene.details for scene in record.scenes if scene.details.get("memory")), None)
    if details is None:
        return ""
    switches = details.get("switches") or {}
    rows: list[tuple[str, object]] = [(MEMORY, _memory(details))]
    rows += [(FIELDS.get(SWITCHES.get(name, name), name), _switch(name, how)) for name, how in switches.items()]
    return f'<div class="t2-under">{markup.facts(rows)}</div>'


def _memory(details: dict[str, Any]) -> str:
    """Such as "There was no graphics card: everything in main memory."."""
    tier, label = details["memory"].get("tier", ""), str(details["memory"]["plan"])
    how = label.partition(": ")[2] or label
    if tier in UNCARDED:
        return f"There was no graphics card: {how.removeprefix('no card: ')}."
    card = str((details.get("limit") or {}).get("card") or "a graphics card")
    return f"Drawn on {card}: {how}."


def _switch(name: str, how: str) -> str:
    """What a switch did, with the choice as the form calls it."""
    words = re.sub(r"^\w+", lambda found: choice(SWITCHES.get(name, name), found[0]), plain(how))
    return f"{words[:1].upper()}{words[1:]}."


# --- prompts -----------------------------------------------------------------------------------
def prompts(*arms: tuple[str, VideoRecord]) -> str:
    """A fold with the prompts that the model was given, a block a scene: of one video, or of two side by side.

    arms: (name, record); the name of a single one is not shown. Empty where no scene was drawn by diffusion.
    """
    if not any(_prompt(scene) for _, record in arms for scene in record.scenes):
        return ""
    records = [record for _, record in arms]
    shared = _shared_negative(records)
    body = f'<p class="t2-muted">Negative prompt of all scenes: {markup.text(shared)}</p>' if shared else ""
    for number, planned in enumerate(records[0].plan.scenes, 1):
        cells = "".join(_cell(name if len(arms) > 1 else "", record, planned.id, bool(shared)) for name, record in arms)
        title = f'<h4 class="t2-h">{number}. {markup.text(planned.title)}</h4>'
        body += f'{title}<div class="t2-beforeafter">{cells}</div>'
    return (
        f'<details class="t2-written t2-prompts"><summary>Prompts as the model was given them</summary>{body}</details>'
    )


def _prompt(scene: SceneRecord) -> dict[str, Any]:
    return scene.details.get("prompt") or {}


def _shared_negative(records: list[VideoRecord]) -> str:
    """The negative prompt, where it is the same in every scene."""
    found = {_prompt(scene).get("negative", "") for record in records for scene in record.scenes if _prompt(scene)}
    return found.pop() if len(found) == 1 else ""


def _cell(name: str, record: VideoRecord, scene_id: str, shared: bool) -> str:
    scene = next((one for one in record.scenes if one.id == scene_id), None)
    head = f"<b>{markup.text(name)}</b>" if name else ""
    given = _prompt(scene) if scene else {}
    if not given:
        engine = scene.engine if scene else "no"
        return f'<div>{head}<p class="t2-muted">Drawn by the {markup.text(engine)} engine, without a prompt.</p></div>'
    lines = "".join(f"<p>{markup.text(line)}</p>" for line in str(given["text"]).splitlines())
    notes = []
    if not shared:
        less = given.get("negative")
        notes.append(f"Negative prompt: {less}" if less else "No negative prompt: guidance was off.")
    tokens = scene.details.get("tokens") or {} if scene else {}
    if tokens.get("dropped"):
        notes.append(
            f"Left out, as the model reads {tokens['limit']} tokens: {', '.join(map(str, tokens['dropped']))}."
        )
    said = "".join(f'<p class="t2-muted">{markup.text(note)}</p>' for note in notes)
    return f"<div>{head}{lines}{said}</div>"
