"""The page's own words for what the rest of the studio calls by a field, a flag or a command.

Errors, hints and notices are written once, for the command line too. `on_page` puts them into the words of the page,
where the page has a field, a button or a tab for the same thing; a command that has none stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Callable

FIELDS = {
    "topic": "Topic",
    "course_template": "Template",
    "engine": "Engine",
    "use_rag": "Use my books",
    "rag_mode": "Retrieval",
    "book_ids": "Books",
    "seconds": "Seconds",
    "fps": "Frames a second",
    "seed": "Seed",
    "theme": "Colours",
    "show_sources": "Show sources in the picture",
    "use_llm_planner": "Let a language model plan",
    "planner_model_id": "Chat model",
    "audience": "Audience",
    "objective": "Objective",
    "rag_query": "One query for all scenes",
    "rag_top_k": "Passages a scene",
    "frames": "Frames in all",
    "scene_frames": "Frames a scene",
    "style": "Style",
    "course_mode": "Course mode",
    "course_few_shot": "Worked examples in prompts",
    "fallback_local_on_fail": "Fall back to local drawing",
    "model_id": "Model",
    "preset": "Preset",
    "quality": "Quality",
    "steps": "Steps",
    "guidance": "Guidance",
    "flow_shift": "Flow shift",
    "adapter": "LoRA",
    "lora_scale": "LoRA scale",
    "lora_trigger": "Trigger word",
    "lora_prompt_profile": "Prompt profile",
    "lora_negative_boost": "More negative words with the profile",
    "prompt_writer": "Who writes the prompts",
    "diagram_lock": "Hold the picture to one flat diagram",
    "text_overlay": "Titles, formulas and captions over the picture",
    "retries": "Draw bad scenes again, by their cause",
    "attention": "Attention",
    "compile_blocks": "Compile",
    "step_cache": "Step cache",
    "cfg_cutoff": "Guidance ends after",
    "manim_scenes": "Who writes the scenes",
    "manim_model_id": "Chat model",
    "manim_adapter": "LoRA",
}
"""Field of a request to its label in the form."""
UNDER = {
    **dict.fromkeys(("rag_query", "rag_top_k", "frames", "scene_frames", "style", "course_mode"), "Advanced"),
    **dict.fromkeys(("use_llm_planner", "planner_model_id"), "Who plans"),
    **dict.fromkeys(("attention", "compile_blocks", "step_cache", "cfg_cutoff"), "Speed"),
    **dict.fromkeys(("manim_model_id", "manim_adapter"), "Manim"),
}
"""The fold of the form in which a field stands, where a message would not be followed without it."""
CHOICES: dict[str, list[tuple[str, str]]] = {
    "engine": [("Local drawing", "local"), ("Diffusion", "diffusion"), ("Manim", "manim")],
    "rag_mode": [("Scene by scene", "semantic"), ("As one block", "overlay")],
    "quality": [("Balanced", ""), ("Fast", "fast"), ("High", "high")],
    "lora_prompt_profile": [("Automatic", "auto"), ("None", "none"), ("Academic infographic", "academic_infographic")],
    "attention": [
        ("Automatic", "auto"),
        ("PyTorch's own", "native"),
        ("cuDNN", "cudnn"),
        ("FlashAttention 3", "flash3"),
    ],
    "compile_blocks": [("Automatic", "auto"), ("On", "on"), ("Off", "off")],
    "step_cache": [("Off", "off"), ("First block", "first_block"), ("MagCache", "magcache")],
    "manim_scenes": [("The studio's templates", "template"), ("A language model, in the sandbox", "written")],
}
"""(label, value) of the closed choices, in the order of their lists."""
_OTHER_FLAGS = {"lora-path": '"LoRA"', "plan": "the plan on the page", "alpha": '"Alpha"', "name": '"Name"'}
_TABS = {
    "jobs": "Jobs, below",
    "library": "the Library tab",
    "videos": "the Gallery tab",
    "pack": "the Packs tab",
    "study": "the Study tab",
    "manifest": "the Manifest tab",
    "train": "the Train tab",
    "adapters": "the Models tab",
    "dataset": "the Train tab",
}
"""First word of a command to the tab that lists the same."""
_END = r"(?=[.,;)]?(?:\s|$))"
_PHRASES: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"(, or|,) with: t2v models download \S+?" + _END, ""),
    (r"with: t2v models download \S+?" + _END, "on the Models tab"),
    (r"\(t2v models download \w+\)", "(on the Models tab)"),
    (r"copy again: t2v models convert \S+ --dtype bf16", 'press "Copy in bf16" on the Models tab'),
    (r"(takes less to load): t2v models convert \S+", r'\1: "Copy in bf16" on the Models tab'),
    (r"\bt2v cache prune\b", '"Prune" on the Models tab'),
    (r"\bread its log with: t2v jobs logs \w+", "open its log under Jobs, below"),
    (r"\bRead the job's log with: t2v jobs logs \w+", "Open its log under Jobs, below"),
    (r"(?:List them|Look at it) with: t2v (\w+) \w+", lambda found: f"See {_TABS.get(found[1], 'its tab')}"),
    (r"with: t2v library add \S+", "in the Library tab"),
    (r"with: t2v adapters add \S+", "on the Models tab, under LoRAs"),
    (r"t2v library add (the book's file once more)", r"add \1 in the Library tab"),
    (r"(, or|,) with: t2v train resume \w+", ""),
    (r"with: t2v train resume \w+", 'with "Resume" in the Train tab'),
    (r"with: t2v manifest build", "in the Manifest tab"),
    (r"Draw it with: t2v generate --plan \S+", "Draw it on the Generate tab"),
    (r"Name a (?:folder|chat model) with --(?:planner|manim)-model-id", 'Choose one in "Chat model"'),
    (r"Name a text adapter of `t2v adapters list`.*?or a folder", 'Choose another in "Who writes the prompts"'),
    (r"--adapter or --lora-path", '"LoRA"'),
]
_FLAG = re.compile(r"\bt2v [^.;]*|(?:\b([Uu])se )?--([a-z][a-z0-9-]*)(?: ([a-z][a-z0-9_]*)\b)?")
"""A command that stays keeps its flags."""
_FIELD = re.compile(r"^([a-z]+(?:_[a-z]+)*): ([\w.-]+)?")


def named(field: str) -> str:
    """A field in a sentence: its label in quotes, and the fold where it is found."""
    place = f" (under {UNDER[field]})" if field in UNDER else ""
    return f'"{FIELDS[field]}"{place}'


def choice(field: str, value: str) -> str:
    """What a value of a closed choice is called in its list; the value itself where it is in none."""
    return next((label for label, one in CHOICES.get(field, []) if one == value), value)


def on_page(words: str) -> str:
    """A message, a hint or a notice in the page's own words."""
    given = words
    for pattern, instead in _PHRASES:
        words = re.sub(pattern, instead, words)
    words = _FLAG.sub(_flag, _FIELD.sub(_prefix, words))
    return f"{words}." if words != given and words[-1:].isalnum() else words


def _prefix(found: re.Match[str]) -> str:
    """The field that a message begins with, and its value where that is a choice of a list."""
    field, value = found[1], found[2] or ""
    return f"{FIELDS[field]}: {choice(field, value)}" if field in FIELDS else found[0]


def _flag(found: re.Match[str]) -> str:
    verb, flag, value = found[1], found[2], found[3]
    if flag is None:
        return found[0]
    field = flag.replace("-", "_")
    use, rest = f"{verb}se " if verb else "", f" {value}" if value else ""
    if field not in FIELDS:
        return use + _OTHER_FLAGS.get(flag, f"--{flag}") + rest
    if value and choice(field, value) != value:
        put = f'{named(field)} to "{choice(field, value)}"'
        return f"{'Set' if verb == 'U' else 'set'} {put}" if verb else put.replace(" to ", " set to ", 1)
    return use + named(field) + rest
