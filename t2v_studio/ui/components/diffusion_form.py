"""The part of the form that only diffusion reads: model, preset, LoRA, prompt words, speed; each with what it does."""

from __future__ import annotations

from typing import Any

import gradio as gr

from t2v_studio.errors import InputError, unknown_name
from t2v_studio.studio import Studio
from t2v_studio.ui import form, markup

NAMES = (
    "model_id", "preset", "quality", "steps", "guidance", "flow_shift", "adapter", "lora_scale", "lora_trigger", "lora_prompt_profile",
    "lora_negative_boost", "prompt_writer", "diagram_lock", "text_overlay", "retries", "attention", "compile_blocks", "step_cache", "cfg_cutoff",
)  # fmt: skip
"""The fields of this part, all of them fields of a request."""
FILLED = ("fps", "size", "seed", "seconds", "scene_frames", "model_id", "steps", "guidance", "flow_shift", "lora_scale", "lora_prompt_profile",
          "diagram_lock")  # fmt: skip
"""The form's fields that a preset may fill."""
QUALITIES = [("Balanced", ""), ("Fast", "fast"), ("High", "high")]
PROFILES = [("Automatic", "auto"), ("None", "none"), ("Academic infographic", "academic_infographic")]
ATTENTION = [("Automatic", "auto"), ("PyTorch's own", "native"), ("cuDNN", "cudnn"), ("FlashAttention 3", "flash3")]
COMPILING = [("Automatic", "auto"), ("On", "on"), ("Off", "off")]
CACHES = [("Off", "off"), ("First block", "first_block"), ("MagCache", "magcache")]
SWITCHES = ("attention", "compile_blocks", "step_cache", "cfg_cutoff")
"""The speed switches; below each stands what it was worth here."""
EMPTY: dict[str, Any] = {"size": form.OWN_SIZE, "lora_prompt_profile": "auto", "diagram_lock": False}
"""What a field of FILLED holds where nothing is chosen; the others hold an empty text. The LoRA's scale is its card's."""
SCALE = (0.0, 2.0, 1.0)
NO_ADAPTER = ("No LoRA", "")
RULES = ("The rules", "")


def build(made: dict[str, Any]) -> gr.Accordion:
    """The controls, by name in `made`; the section is shown where the engine is diffusion."""
    with gr.Accordion("Diffusion", open=True, visible=False, elem_id="diffusion") as section:
        made["model_id"] = _choice("model_id", "Model", [("As set for this studio", "")])
        made["model_note"] = gr.HTML("", elem_id="model-note", apply_default_css=False)
        with gr.Row():
            made["preset"] = _choice("preset", "Preset", [("None", "")])
            made["quality"] = _choice("quality", "Quality", QUALITIES)
        with gr.Row():
            for name, label in (("steps", "Steps"), ("guidance", "Guidance"), ("flow_shift", "Flow shift")):
                made[name] = form.number(name, label, info=None, min_width=70, placeholder="auto")
        made["prompt_writer"] = _choice(
            "prompt_writer",
            "Who writes the prompts",
            [RULES],
            info="A language model may write them from each scene's steps. Retrieved words stay; what does not fit is refused.",
        )
        made["text_overlay"] = form.switch("text_overlay", "Titles, formulas and captions over the picture", info=None)
        made["diagram_lock"] = form.switch("diagram_lock", "Hold the picture to one flat diagram", info=None)
        made["retries"] = form.switch("retries", "Draw bad scenes again, by their cause", info=None)
        _lora(made)
        _speed(made)
    return section


def _lora(made: dict[str, Any]) -> None:
    with gr.Accordion("LoRA", open=False, elem_id="lora") as made["lora"]:
        with gr.Row():
            made["adapter"] = _choice("adapter", "LoRA", [NO_ADAPTER])
            low, high, usual = SCALE
            made["lora_scale"] = gr.Slider(
                low, high, value=usual, step=0.05, label="Scale", info=None, min_width=130, elem_id="lora-scale"
            )
        made["lora_note"] = gr.HTML("", elem_id="lora-note", apply_default_css=False)
        with gr.Row():
            made["lora_trigger"] = form.words("lora_trigger", "Trigger word", info=None, placeholder="the card's own")
            made["lora_prompt_profile"] = _choice("lora_prompt_profile", "Prompt profile", PROFILES)
        made["lora_negative_boost"] = form.switch(
            "lora_negative_boost", "More negative words with the profile", info=None
        )


def _speed(made: dict[str, Any]) -> None:
    with gr.Accordion("Speed", open=False, elem_id="speed"):
        with gr.Row():
            with gr.Column(min_width=200):
                made["attention"] = _choice(
                    "attention", "Attention", ATTENTION,
                    info="Which kernel does the largest sums. Automatic tries the fastest that gives the right answer on this card.",
                )  # fmt: skip
                _effect(made, "attention")
            with gr.Column(min_width=200):
                made["compile_blocks"] = _choice(
                    "compile_blocks", "Compile", COMPILING,
                    info="Costs up to a minute once and makes every later step quicker. Automatic: only on a GPU.",
                )  # fmt: skip
                _effect(made, "compile_blocks")
        with gr.Row():
            with gr.Column(min_width=200):
                made["step_cache"] = _choice(
                    "step_cache", "Step cache", CACHES,
                    info="Skips steps that would change little. Needs 20 steps or more; fine motion may suffer.",
                )  # fmt: skip
                _effect(made, "step_cache")
            with gr.Column(min_width=200):
                made["cfg_cutoff"] = form.number(
                    "cfg_cutoff",
                    "Guidance ends after",
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
    labels = {value: label for options in (ATTENTION, COMPILING, CACHES) for label, value in options}
    notes = []
    for switch in SWITCHES:
        own = [row for row in rows if row["switch"] == switch]
        said = [f"{labels.get(row['choice'], row['choice'])}: {row['text']}" for row in own if row["ratio"] is not None]
        text = "; ".join(said) or f"Effect {own[0]['text']}"
        notes.append(f'<p class="t2-muted">{markup.text(text)}.</p>')
    return notes


def _choice(name: str, label: str, options: list[tuple[str, str]], **more: Any) -> gr.Dropdown:
    return gr.Dropdown(
        options,
        value=form.default(name) or "",
        label=label,
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
    """What to fetch for the chosen model, where it is not here; how far it is, where it is being fetched."""
    row = next((row for row in studio.models.rows() if row["name"] == (model or usual_model(studio))), None)
    problem = None if model else studio.models.problem()
    if row is None and problem is not None:
        return markup.notice(problem.message, problem.hint, "warn")
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
    return f'<p class="t2-muted">{markup.text(", ".join(said).capitalize())}.</p>'


def scale_of(studio: Studio, adapter: str, now: float | None = None) -> gr.Slider:
    """The slider within the limits of the LoRA, at `now` or at the scale that its card recommends."""
    low, high, usual = SCALE
    if adapter:
        row = studio.adapters.row(adapter)
        low, high, usual = row["scale_min"], row["scale_max"], row["scale"]
    value = usual if now is None else min(max(float(now), low), high)
    return gr.Slider(minimum=low, maximum=high, value=value)


def filled(studio: Studio, name: str, adapter: str, last: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What choosing a preset puts into the form: its own choices, and nothing where the last preset's still stand.

    last: what was filled in for the preset before. now: the fields of FILLED. What a person chose is kept.
    """
    left = [key for key, value in last.items() if now.get(key) == value and key != "lora_scale"]
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
        scale = values.get("lora_scale")
        if scale not in (None, "") and not isinstance(scale, int | float):
            raise InputError("bad_number", "lora scale: this is no number.", "Move the slider.")
        studio.adapters.scale(str(values["adapter"]), float(scale) if isinstance(scale, int | float) else None)
