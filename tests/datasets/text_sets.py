"""Small text sets, and a tokenizer for them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CIRCLE = """from manim import *


class RoundThing(Scene):
    def construct(self):
        circle = Circle(color=BLUE)
        self.play(Create(circle))
        self.wait()
"""
SQUARE = """from manim import *


class Grows(Scene):
    def construct(self):
        box = Square(side_length=2)
        label = Text("area")
        self.add(label)
        self.play(box.animate.scale(2), run_time=3)
"""
FORMULA = """from manim import *


class Euler(Scene):
    def construct(self):
        self.add(MathTex("e^{i\\\\pi}").to_edge(UP))
        self.wait(4)
"""


def pair(instruction: str, code: str, **more: Any) -> dict[str, Any]:
    return {"instruction": instruction, "code": code, "license": "MIT", "source": "own"} | more


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def tokenizer(folder: Path) -> Path:
    """A real one with a chat template: one token for each word and sign."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.WordLevel({"<unk>": 0, "<s>": 1}, unk_token="<unk>"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", bos_token="<s>")
    made.chat_template = "{% for message in messages %}{{ message.role }} {{ message.content }}\n{% endfor %}"
    made.save_pretrained(folder)
    return folder
