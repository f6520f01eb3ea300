"""What the page says in its own words: no flag of the command line, no command where a button does the same."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from t2v_studio.ui import form, markup
from t2v_studio.ui.components import diffusion_form, request_form
from t2v_studio.ui.wording import CHOICES, FIELDS, UNDER, on_page

ROOT = Path(__file__).resolve().parents[2] / "t2v_studio"
SAID = [
    (
        "The model Wan 2.1 14B is not on this disk. Fetch it on the Models tab, or with: t2v models download wan2.1-14b. The model tiny-wan shows the way.",
        "The model Wan 2.1 14B is not on this disk. Fetch it on the Models tab. The model tiny-wan shows the way.",
    ),
    ("planner_model_id: qwen3-4b is not on this machine (8 GB).", "Chat model: qwen3-4b is not on this machine (8 GB)."),
    ("Fetch it with: t2v models download lfm2.5-1.2b", "Fetch it on the Models tab."),
    (
        "Name a folder with --planner-model-id, or set T2V_PLANNER_MODEL_ID.",
        'Choose one in "Chat model", or set T2V_PLANNER_MODEL_ID.',
    ),
    ("--lora-scale needs --adapter or --lora-path.", '"LoRA scale" needs "LoRA".'),
    ("attention: cudnn cannot run here (it needs a CUDA card).", "Attention: cuDNN cannot run here (it needs a CUDA card)."),
    ("Use --attention auto.", 'Set "Attention" (under Speed) to "Automatic".'),
    ("Give --steps 5 or more.", 'Give "Steps" 5 or more.'),
    ("Add one with: t2v adapters add FILE", "Add one on the Models tab, under LoRAs."),
    ("List them with: t2v videos list", "See the Gallery tab."),
    ("This is a defect. Read the job's log with: t2v jobs logs JOB", "This is a defect. Open its log under Jobs, below."),
    (
        "If it may be used there too: t2v adapters edit lora_1 --base wan --alpha 2",
        "If it may be used there too: t2v adapters edit lora_1 --base wan --alpha 2",
    ),
    (
        "Take a smaller model. A copy that takes less to load: t2v models convert wan2.1-14b",
        'Take a smaller model. A copy that takes less to load: "Copy in bf16" on the Models tab.',
    ),
    ("Run: pip install -r requirements.txt", "Run: pip install -r requirements.txt"),
    ("A scene was drawn again.", "A scene was drawn again."),
]  # fmt: skip
"""(as the studio says it, as the page does)"""


@pytest.mark.parametrize(("given", "shown"), SAID)
def test_what_the_page_has_is_said_in_its_words(given: str, shown: str) -> None:
    assert on_page(given) == shown
    assert markup.text(shown) in markup.notice(given)


ROOMS = ("planning", "engines/diffusion", "engines/manim", "production", "jobs")
NOT_OF_THE_PAGE = {
    "production/output.py",
    "production/redraw.py",
    "jobs/worker.py",
    "jobs/supervisor.py",
    "jobs/trainer_process.py",
    "jobs/training_desk.py",
    "jobs/training_job.py",
    "jobs/text_desk.py",
    "jobs/manifest_desk.py",
    "jobs/text_training.py",
    "jobs/adapter_shelf.py",
    "engines/manim/confined.py",
    "engines/manim/sandbox.py",
}
"""Rooms of commands, or with commands that the page has no way for."""


def _texts(path: Path) -> list[str]:
    """Every text of a module that is no docstring; what an f-string puts in stands as X."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    idle = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (idle | inner):
            found.append(node.value)
    return found


OF_THE_COMMAND_LINE = re.compile(r"(?<!\w)--[a-z]{3,}|with: t2v (?:models download|\w+ list)(?!.*--check)")
ALLOWED = re.compile(r"^--output: |t2v (?:plan|adapters|models convert|models download \S+ --check)\b|^--name=")
"""Of a file that is named on the command line, or with a command that has no button."""


def test_no_message_on_the_way_to_a_video_keeps_a_flag_or_a_download_command() -> None:
    left, looked_at = [], 0
    for path in (path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))):
        name = path.relative_to(ROOT).as_posix()
        for shown in map(on_page, _texts(path) if name not in NOT_OF_THE_PAGE else []):
            looked_at += 1
            if " " in shown and OF_THE_COMMAND_LINE.search(shown) and not ALLOWED.search(shown):
                left.append((name, shown))
    assert looked_at > 1000 and left == [], "say in ui/wording.py what the page calls it"


def test_every_field_of_the_form_has_its_label_and_every_closed_choice_its_values() -> None:
    assert set(form.NAMES) - {"size"} == set(FIELDS) and set(UNDER) <= set(FIELDS)
    for name, options in CHOICES.items():
        values = {value for _, value in options}
        allowed = {*form.choices(name)} if name != "quality" else {"", "fast", "balanced", "high"}
        assert values <= allowed, name


def test_labels_stand_in_the_form_as_messages_name_them() -> None:
    import gradio as gr

    from t2v_studio.ui.components import manim_view

    made: dict[str, gr.Component] = {}
    with gr.Blocks():
        diffusion_form.build(made)
        manim_view.build_form(made)
        request_form._folded(made)
    shown = {name: made[name].label for name in FIELDS if name in made}
    assert len(shown) > 30 and shown == {name: FIELDS[name] for name in shown}
