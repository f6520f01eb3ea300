"""Rows and recipes that the tests of text training share."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from t2v_studio.adapters.text_recipe import TextRecipe


def code(number: int) -> str:
    return (
        f"from manim import *\n\nclass Circle{number}(Scene):\n    def construct(self):\n"
        f"        self.play(Create(Circle(radius={number})))\n"
    )


def write_set(folder: Path, train: int = 8, test: int = 2) -> Path:
    """A folder as `t2v dataset combine` writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, numbers in (("train", range(train)), ("test", range(100, 100 + test))):
        rows = [
            {
                "prompt": [{"role": "user", "content": f"Draw circle {number}."}],
                "completion": [{"role": "assistant", "content": code(number)}],
                "source": "ours",
                "license": "CC-BY-4.0",
                "group": f"g{number}",
                "split": name,
            }
            for number in numbers
        ]
        if rows:
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (folder / "dropped.jsonl").write_text('{"row": "x", "reason": "duplicate"}\n', encoding="utf-8")
    return folder


def small(**changes: Any) -> TextRecipe:
    """A few steps of two rows each on a tiny Llama, everything in fp32 and without dropout."""
    fields: dict[str, Any] = {
        "name": "small",
        "task": "manim",
        "model": "tiny-llama",
        "dtype": "fp32",
        "max_length": 200,
        "rank": 4,
        "alpha": 8,
        "lora_dropout": 0.0,
        "steps": 4,
        "batch_size": 2,
        "accumulation": 1,
        "learning_rate": 1e-2,
        "schedule": "constant",
        "warmup_ratio": 0.0,
        "checkpointing": False,
        "validate_every": 4,
        "save_every": 2,
        "num_predict": 24,
    }
    return TextRecipe.model_validate(fields | changes)
