"""The form of a request. Defaults, limits, choices and descriptions come from VideoRequest's own fields."""

from __future__ import annotations

import math
import typing
from typing import Any

import gradio as gr

from t2v_studio.errors import InputError
from t2v_studio.production.request import DIFFUSION_FIELDS, MANIM_FIELDS, VideoRequest, parse_request
from t2v_studio.ui.wording import FIELDS as LABELS

SIZES = {
    f"{width} × {height}": (width, height)
    for width, height in (
        (1280, 720), (832, 480), (720, 720), (720, 1280), (480, 832), (720, 480), (704, 480), (576, 320), (192, 128)
    )
}  # fmt: skip
OWN_SIZE = "engine's own"
FIELDS = VideoRequest.model_fields
NAMES = (
    "topic", "course_template", "audience", "objective", "use_rag", "rag_mode", "book_ids", "engine", "seconds", "size", "fps", "seed", "theme",
    "rag_query", "rag_top_k", "frames", "scene_frames", "style", "course_mode", "show_sources", "fallback_local_on_fail", "course_few_shot",
    "use_llm_planner", "planner_model_id", "model_id", "preset", "quality", "steps", "guidance", "flow_shift", "adapter", "lora_scale",
    "lora_trigger", "lora_prompt_profile", "lora_negative_boost", "prompt_writer", "diagram_lock", "text_overlay", "retries", "attention", "compile_blocks",
    "step_cache", "cfg_cutoff", "manim_scenes", "manim_model_id", "manim_adapter",
)  # fmt: skip
"""The form's fields, in the order of `Form.inputs`; `size` stands for width and height."""


NUMBERS = (
    "seconds", "fps", "seed", "rag_top_k", "frames", "scene_frames", "steps", "guidance", "flow_shift", "lora_scale",
    "cfg_cutoff",
)  # fmt: skip


def about(name: str) -> str:
    """The description of a request's field."""
    return FIELDS[name].description or ""


def default(name: str) -> Any:
    """The default of a request's field; an empty text where a person must give one."""
    return "" if FIELDS[name].is_required() else FIELDS[name].get_default(call_default_factory=True)


def limits(name: str) -> dict[str, Any]:
    """Least and greatest value; `above`: the least itself is too small."""
    found: dict[str, Any] = {}
    for bound in FIELDS[name].metadata:
        for ours, theirs in (("ge", "minimum"), ("gt", "minimum"), ("le", "maximum")):
            if getattr(bound, ours, None) is not None:
                found[theirs] = getattr(bound, ours)
                if ours == "gt":
                    found["above"] = True
    return found


def most_chars(name: str) -> int | None:
    return next((bound.max_length for bound in FIELDS[name].metadata if getattr(bound, "max_length", None)), None)


def choices(name: str) -> list[str]:
    """The words of a closed choice."""
    return list(typing.get_args(FIELDS[name].annotation))


def words(name: str, **more: Any) -> gr.Textbox:
    return gr.Textbox(
        value=default(name),
        label=LABELS[name],
        info=more.pop("info", about(name)),
        max_length=most_chars(name),
        elem_id=name.replace("_", "-"),
        **more,
    )


def number(name: str, **more: Any) -> gr.Textbox:
    """A number that may be left empty. A text field, because Gradio 6.31 shows an empty Number as 0, and answers a
    number outside the limits of a Number or a Slider with an error of its own that names no field."""
    return gr.Textbox(
        value=shown(default(name)),
        label=LABELS[name],
        info=more.pop("info", about(name)),
        lines=1,
        max_lines=1,
        max_length=12,
        elem_id=name.replace("_", "-"),
        **more,
    )


def shown(value: Any) -> str:
    """A number as its field shows it; nothing for None."""
    return "" if value is None else f"{value:.12g}"


def read_number(name: str, value: Any, within: tuple[float, float] | None = None) -> int | float | None:
    """What a number field holds. within: narrower limits than the request's own.

    Raises InputError that names the field by its label, and its limits.
    """
    text = str(value if value is not None else "").strip().replace(",", ".")
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    whole = "int" in str(FIELDS[name].annotation)
    bounds = limits(name) if within is None else dict(zip(("minimum", "maximum"), within, strict=True))
    low, high = bounds.get("minimum", -math.inf), bounds.get("maximum", math.inf)
    problem = ""
    if math.isnan(found):
        problem = "is no number"
    elif found < low or (found == low and "above" in bounds):
        problem = "is too small"
    elif found > high:
        problem = "is too large"
    elif whole and found != int(found):
        problem = "is no whole number"
    if problem:
        raise InputError("bad_number", f"{LABELS[name]}: {text[:20]} {problem}.", f"Write {_span(whole, bounds)}, or leave it empty.")  # fmt: skip
    return int(found) if whole else found


def _span(whole: bool, bounds: dict[str, Any]) -> str:
    """The numbers that a field takes, in words."""
    kind = "a whole number" if whole else "a number"
    low, high = (f"{bounds[end]:.12g}" if end in bounds else "" for end in ("minimum", "maximum"))
    if "above" in bounds:
        return f"{kind} above {low}" + (f", {high} at most" if high else "")
    return f"{kind} from {low} to {high}" if low and high else kind


def switch(name: str, **more: Any) -> gr.Checkbox:
    return gr.Checkbox(
        value=default(name),
        label=LABELS[name],
        info=more.pop("info", about(name)),
        elem_id=name.replace("_", "-"),
        **more,
    )


def known(options: list[tuple[str, str]], value: Any, otherwise: Any = "") -> Any:
    """The value where it is one of the options, else `otherwise`."""
    return value if any(value == one for _, one in options) else otherwise


def listed(options: list[tuple[str, str]], now: Any, otherwise: Any) -> gr.Dropdown:
    """A choice with what is there now. What stands in it is left alone where it is still there.

    The page reads `now` when it asks; by the time of the answer another listener may have chosen something else.
    """
    if isinstance(now, list):
        kept: Any = [value for value in now if known(options, value, None) is not None]
    else:
        kept = known(options, now, otherwise)
    return gr.Dropdown(options) if kept == now else gr.Dropdown(options, value=kept)


def radio(name: str, **more: Any) -> gr.Radio:
    return gr.Radio(
        more.pop("options", choices(name)),
        value=default(name),
        label=LABELS[name],
        info=more.pop("info", about(name)),
        elem_id=name.replace("_", "-"),
        **more,
    )


def request_from(values: dict[str, Any], plan: Any = None) -> VideoRequest:
    """The request that the form's values ask for. With a plan, the plan's evidence stands: nothing is searched again.

    Raises InputError that names the field.
    """
    data = {name: value for name, value in values.items() if name != "size" and value not in (None, "")}
    if not str(data.get("topic", "")).strip():
        raise InputError("no_topic", "Topic: there is nothing to explain yet.", "Type a topic, or choose a template.")
    data["topic"] = str(data["topic"]).strip()
    size = str(values.get("size") or OWN_SIZE)
    if size in SIZES:
        data["width"], data["height"] = SIZES[size]
    if not data.get("use_rag") or plan is not None:
        for name in ("rag_query", "rag_top_k"):
            data.pop(name, None)
    if data.get("engine") != "diffusion":
        data = {name: value for name, value in data.items() if name not in DIFFUSION_FIELDS}
    if data.get("engine") != "manim":
        data = {name: value for name, value in data.items() if name not in MANIM_FIELDS}
    if data.get("manim_scenes") != "written":
        for name in ("manim_code", "manim_model_id", "manim_adapter"):
            data.pop(name, None)
    if not data.get("adapter"):
        for name in ("lora_scale", "lora_trigger"):
            data.pop(name, None)
    if plan is not None or not data.get("use_llm_planner"):
        data.pop("planner_model_id", None)
    if plan is not None:
        data.update(use_rag=False, use_llm_planner=False, plan=plan)
    # Last, so that a number which nothing would read is no mistake.
    data |= {name: read_number(name, data[name]) for name in NUMBERS if name in data}
    return parse_request(data)


def values_of(request: VideoRequest) -> dict[str, Any]:
    """The form's values for a request, in the order of NAMES: what "make again" puts back."""
    kept = request.model_dump(mode="json", exclude={"plan"})
    size = next((name for name, pair in SIZES.items() if pair == (request.width, request.height)), OWN_SIZE)
    kept.update({name: shown(kept[name]) for name in NUMBERS})
    kept["quality"] = kept["quality"] or ""
    return {name: size if name == "size" else kept[name] for name in NAMES}
