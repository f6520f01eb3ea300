"""The part of the form that only diffusion reads: model, preset, LoRA, prompt words, speed; each with what it does."""

from __future__ import annotations

from typing import Any

import gradio as gr

from t2v_studio.errors import unknown_name
from t2v_studio.studio import Studio
from t2v_studio.ui import form, markup
from t2v_studio.ui.wording import CHOICES, FIELDS, choice

NAMES = (
    "model_id", "preset", "quality", "steps", "guidance", "flow_shift", "adapter", "lora_scale", "lora_trigger", "lora_prompt_profile",
    "lora_negative_boost", "prompt_writer", "diagram_lock", "text_overlay", "retries", "attention", "compile_blocks", "step_cache", "cfg_cutoff",
)  # fmt: skip
"""The fields of this part, all of them fields of a request."""
FILLED = ("fps", "size", "seed", "seconds", "scene_frames", "model_id", "steps", "guidance", "flow_shift", "lora_scale", "lora_prompt_profile",
          "diagram_lock")  # fmt: skip
"""The form's fields that a preset may fill."""
SWITCHES = ("attention", "compile_blocks", "step_cache", "cfg_cutoff")
"""The speed switches; below each stands what it was worth here."""
EMPTY: dict[str, Any] = {"size": form.OWN_SIZE, "lora_prompt_profile": "auto", "diagram_lock": False}
"""What a field of FILLED holds where nothing is chosen; the others hold an empty text."""
NO_ADAPTER = ("No LoRA", "")
OWN = "the card's own"
"""What an empty field of the LoRA stands for."""
RULES = ("The rules", "")


def build(made: dict[str, Any]) -> gr.Accordion:
    """The controls, by name in `made`; the section is shown where the engine is diffusion."""
    with gr.Accordion("Diffusion", open=True, visible=False, elem_id="diffusion") as section:
        made["model_id"] = _choice("model_id", [("As set for this studio", "")])
        made["model_note"] = gr.HTML("", elem_id="model-note", apply_default_css=False)
        with gr.Row():
            made["preset"] = _choice("preset", [("None", "")])
            made["quality"] = _choice("quality")
        with gr.Row():
            for name in ("steps", "guidance", "flow_shift"):
                made[name] = form.number(name, info=None, min_width=70, placeholder="auto")
        made["prompt_writer"] = _choice(
            "prompt_writer",
            [RULES],
            info="A language model may write them from each scene's steps. Retrieved words stay; what does not fit is refused.",
        )
        made["text_overlay"] = form.switch("text_overlay", info=None)
        made["diagram_lock"] = form.switch("diagram_lock", info=None)
        made["retries"] = form.switch("retries", info=None)
        _lora(made)
        _speed(made)
    return section


def _lora(made: dict[str, Any]) -> None:
    with gr.Accordion("LoRA", open=False, elem_id="lora") as made["lora"]:
        with gr.Row():
            made["adapter"] = _choice("adapter", [NO_ADAPTER])
            made["lora_scale"] = form.number("lora_scale", info=None, min_width=130, placeholder=OWN)
        made["lora_note"] = gr.HTML("", elem_id="lora-note", apply_default_css=False)
        with gr.Row():
            made["lora_trigger"] = form.words("lora_trigger", info=None, placeholder=OWN)
            made["lora_prompt_profile"] = _choice("lora_prompt_profile")
        made["lora_negative_boost"] = form.switch("lora_negative_boost", info=None)


def _speed(made: dict[str, Any]) -> None:
    with gr.Accordion("Speed", open=False, elem_id="speed"):
        with gr.Row():
            with gr.Column(min_width=200):
                made["attention"] = _choice(
                    "attention",
                    info="Which kernel does the largest sums. Automatic tries the fastest that gives the right answer on this card.",
                )  # fmt: skip
                _effect(made, "attention")
            with gr.Column(min_width=200):
                made["compile_blocks"] = _choice(
                    "compile_blocks",
                    info="Costs up to a minute once and makes every later step quicker. Automatic: only on a GPU.",
                )  # fmt: skip
                _effect(made, "compile_blocks")
        with gr.Row():
            with gr.Column(min_width=200):
                made["step_cache"] = _choice(
                    "step_cache",
                    info="Skips steps that would change little. Needs 20 steps or more; fine motion may suffer.",
                )  # fmt: skip
                _effect(made, "step_cache")
            with gr.Column(min_width=200):
                made["cfg_cutoff"] = form.number(
                    "cfg_cutoff",
                    info="A share of the steps, such as 0.6: later steps leave the negative prompt out and cost half.",
                    min_width=130,
                    placeholder="never",
                )
                _effect(made, "cfg_cutoff")


def _effect(made: dict[str, Any], switch: str) -> None:
    """The line below a switch that says what it was worth here."""
    made[f"{switch}_effect"] = gr.HTML("", elem_id=f"{switch.replace('_', '-')}-effect", apply_default_css=False)


def effect_notes(studio: Studio) -> list[str]:
    """What each of SWITCHES was worth on this machine, one line a choice that was measured."""
    rows = studio.diffusion.effects()
    notes = []
    for switch in SWITCHES:
        said = [effect(row) for row in rows if row["switch"] == switch and row["ratio"] is not None]
        text = " ".join(said) or "Its effect has not been measured on this machine yet."
        notes.append(f'<p class="t2-muted">{markup.text(text)}</p>')
    return notes


def effect(row: dict[str, Any]) -> str:
    """What one choice was worth here, as a sentence: time of a step against that of the plain choice."""
    share = round(100 * abs(row["ratio"] - 1))
    than = f"{share} % {'less' if row['ratio'] < 1 else 'more'} time than" if share else "the same time as"
    name = f"{row['choice']} of the steps" if row["switch"] == "cfg_cutoff" else choice(row["switch"], row["choice"])
    drawn = f"{markup.plural(row['scenes'], 'scene')} against {row['against']}"
    return f"With {name}, a step took {than} without it on {row['card'] or 'this machine'} ({drawn})."


def _choice(name: str, options: list[tuple[str, str]] | None = None, **more: Any) -> gr.Dropdown:
    """options: where they are not the field's closed choices."""
    return gr.Dropdown(
        options or CHOICES[name],
        value=form.default(name) or "",
        label=FIELDS[name],
        filterable=False,
        min_width=more.pop("min_width", 130),
        elem_id=name.replace("_", "-"),
        **more,
    )


def model_choices(studio: Studio) -> list[tuple[str, str]]:
    """The studio's own model first, for which the empty choice stands; then what is here, then the rest."""
    usual = usual_model(studio)
    none = [] if usual else [("None: T2V_MODEL_ID names no model", "")]
    return [*none, *((label, "" if name == usual else name) for label, name in studio.models.choices())]


def adapter_choices(studio: Studio, model: str) -> list[tuple[str, str]]:
    """LoRAs that fit the model, after none at all."""
    return [NO_ADAPTER, *studio.adapters.choices(model)]


def preset_choices(studio: Studio, model: str) -> list[tuple[str, str]]:
    """Presets that suit the model's family, and those that name a model of their own."""
    named = model or usual_model(studio)
    family = next((row["family"] for row in studio.models.rows() if row["name"] == named), "")
    rows = [row for row in studio.diffusion.presets() if not row["families"] or family in row["families"] or "model_id" in row["sets"]]  # fmt: skip
    return [("None", ""), *((row["title"], row["name"]) for row in rows)]


def planner_choices(studio: Studio) -> list[tuple[str, str]]:
    """Chat models that may write the plan."""
    rows = studio.diffusion.planners()
    own = [("As set for this studio", "")] if studio.settings.planner_model_id else [("None is set", "")]
    return [*own, *((row["name"] if row["here"] else f"{row['name']} (not here)", row["name"]) for row in rows)]


def writer_choices(studio: Studio) -> list[tuple[str, str]]:
    """Language models that may write the prompts, after the rules."""
    rows = studio.diffusion.writers()
    return [RULES, *((row["label"] if row["here"] else f"{row['label']} (not here)", row["name"]) for row in rows)]


def usual_model(studio: Studio) -> str:
    """The model that an empty choice stands for."""
    return next((row["name"] for row in studio.models.rows() if row["default"]), "")


def model_note(studio: Studio, model: str) -> str:
    """What to fetch for the chosen model, where it is not here; how far it is, where it is being fetched; and that it
    would be slow, where it is here and no card is."""
    row = next((row for row in studio.models.rows() if row["name"] == (model or usual_model(studio))), None)
    problem = None if model else studio.models.problem()
    if row is None and problem is not None:
        return markup.notice(problem.message, problem.hint, "warn")
    if row is not None and row["here"] and row["origin"] != "tiny" and not studio.diffusion.has_card:
        said = f"This machine has no graphics card: {row['title']} takes hours for a video on the processor."
        return markup.notice(said, "A tiny model shows the whole path in seconds.", "warn")
    if row is None or row["here"]:
        return ""
    if row["job"]:
        return markup.notice(f"{row['title']} is being fetched.", "Its progress is among the jobs.", "info")
    return markup.notice(row["message"], row["hint"], "warn")


def lora_note(studio: Studio, adapter: str) -> str:
    """What the LoRA's card says of it."""
    if not adapter:
        return ""
    row = studio.adapters.row(adapter)
    said = [f"trigger {row['trigger']}" if row.get("trigger") else "no trigger word", f"rank {row['rank']}"]
    said.append(f"made for {row['base_model']}" if row.get("base_model") else "base model unknown")
    text = ", ".join(said)
    text = f"{text[:1].upper()}{text[1:]}. LoRA scale: {row['scale_min']:g} to {row['scale_max']:g}"
    return f'<p class="t2-muted">{markup.text(text)}; {row["scale"]:g} where the field is empty.</p>'


def filled(studio: Studio, name: str, adapter: str, last: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What choosing a preset puts into the form: its own choices, and nothing where the last preset's still stand.

    last: what was filled in for the preset before. now: the fields of FILLED. What a person chose is kept.
    """
    left = [key for key, value in last.items() if now.get(key) == value]
    return {key: EMPTY.get(key, "") for key in left} | _own(studio, name, adapter)


def _own(studio: Studio, name: str, adapter: str) -> dict[str, Any]:
    row = next((row for row in studio.diffusion.presets() if row["name"] == name), None)
    if row is None:
        return {}
    sets = dict(row["sets"])
    size = (sets.pop("width", None), sets.pop("height", None))
    if size != (None, None):
        sets["size"] = next((label for label, pair in form.SIZES.items() if pair == size), form.OWN_SIZE)
    if not adapter:
        sets.pop("lora_scale", None)
    if "seconds" in sets or "scene_frames" in sets:
        sets = {"seconds": None, "scene_frames": None, **sets}
    return {key: form.shown(value) if key in form.NUMBERS else value for key, value in sets.items() if key in FILLED}


def check(studio: Studio, values: dict[str, Any]) -> None:
    """Refuse what is in none of the lists that the page offers. Raises InputError that names the field."""
    lists = {
        "preset": lambda: [row["name"] for row in studio.diffusion.presets()],
        "model_id": lambda: [row["name"] for row in studio.models.rows()],
        "adapter": lambda: [name for _, name in studio.adapters.choices()],
        "planner_model_id": lambda: [row["name"] for row in studio.diffusion.planners()],
        "prompt_writer": lambda: [row["name"] for row in studio.diffusion.writers()],
        "manim_model_id": lambda: [row["name"] for row in studio.diffusion.planners()],
        "manim_adapter": lambda: [name for _, name in studio.manim.adapters()],
    }
    for name, known in lists.items():
        value = str(values.get(name) or "")
        if value and value not in (allowed := known()):
            raise unknown_name(name, value[:80], allowed)
    if values.get("adapter") and values.get("engine") == "diffusion":
        row = studio.adapters.row(str(values["adapter"]))
        scale = form.read_number("lora_scale", values.get("lora_scale"), (row["scale_min"], row["scale_max"]))
        studio.adapters.scale(str(values["adapter"]), scale)
