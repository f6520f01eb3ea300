"""Two steps of a text recipe on a tiny random model: train, save, load, merge, export. Seconds, no download.

python -m training.text.smoke [--recipe NAME_OR_FILE]     prints one JSON object
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from t2v_studio.adapters.catalogue import adapter
from t2v_studio.adapters.recipe import read_text_recipe
from t2v_studio.adapters.runs import create_run, read_lines
from t2v_studio.adapters.text_recipe import TextRecipe
from t2v_studio.errors import StudioError
from t2v_studio.planning.tiny_chat import PREFIX, TINY_FAMILIES, is_tiny
from t2v_studio.settings import Settings, load_settings
from t2v_studio.workspace import Workspace
from training.answer import answer
from training.text.rows import IGNORED, Encoded, encode_all, read_text_set
from training.text.session import TextSession, open_text_session

STEPS, ROWS = 2, 8
MOST_DIFFERENCE = 1e-4
"""Between the held-out loss that TRL logged and the one of the saved adapter, computed without TRL."""


def smoke(recipe: TextRecipe, settings: Settings, families: tuple[str, ...] = ()) -> dict[str, Any]:
    """Run the trainer's own stages on tiny models of `families` (those of the recipe's base where none is given)."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="t2v-smoke-") as name:
        home = Path(name)
        found = [_one(recipe, family, settings, home) for family in families or families_of(recipe)]
    spent = round(time.monotonic() - began, 2)
    return {"ok": True, "kind": "text", "recipe": recipe.name, "steps": STEPS, "families": found, "seconds": spent}


def families_of(recipe: TextRecipe) -> tuple[str, ...]:
    """The architecture that a base's name tells; all three for a tiny one or for a name that tells nothing."""
    if not is_tiny(recipe.model):
        named = [family for family in TINY_FAMILIES if family in recipe.model.lower()]
        if named:
            return tuple(named[:1])
    return TINY_FAMILIES


def _one(recipe: TextRecipe, family: str, settings: Settings, home: Path) -> dict[str, Any]:
    from training.text.run import work

    began = time.monotonic()
    place = Workspace.at(home)
    rows = write_rows(home / "rows.jsonl", recipe.task)
    small = small_recipe(recipe, family)
    run = create_run(place, small, rows, title=f"Smoke test {family}")
    session = open_text_session(run, settings.model_copy(update={"home": home}), place)
    result = work(session)[0]
    log, _ = read_lines(run.part().log)
    again = held_out_loss(session, run.part().adapters / f"step_{STEPS:08d}")
    difference = abs(again - result["metrics"]["val_loss"])
    if not difference <= MOST_DIFFERENCE:
        raise StudioError(
            "smoke_differs",
            f"{family}: the saved adapter has another held-out loss than the trained one (by {difference:g}).",
            "This is a defect of the export, or of the installed trl, peft and transformers.",
        )
    merged, gguf = _exported(session, result["adapter"], home / "out" / family)
    return {
        "family": family,
        "losses": [round(row["loss"], 6) for row in log],
        "reload_difference": difference,
        "merge_difference": merged,
        "gguf_bytes": gguf,
        "seconds": round(time.monotonic() - began, 2),
    }


def _exported(session: TextSession, adapter_id: str, folder: Path) -> tuple[float, int]:
    """Logit difference of the merged model, bytes of the adapter's GGUF."""
    from t2v_studio.adapters.text_adapters import peft_folder
    from training.text.export import export
    from training.text.merge import merge

    card = adapter(session.workspace, adapter_id)
    files, _ = export(session, card, "gguf", folder, {})
    done = merge(session.base, peft_folder(session.workspace, card, folder / "peft"), folder / "merged")
    export(session, card, "modelfile", folder, {})
    return done["difference"], files[0].stat().st_size


def small_recipe(recipe: TextRecipe, family: str) -> TextRecipe:
    """The recipe on the tiny model of a family: two steps, the rest as it is."""
    changes: dict[str, Any] = {
        "model": f"{PREFIX}{family}",
        "dtype": "fp32",
        "base_quantised": "none",
        "optimiser": "adamw",
        "max_length": min(256, recipe.max_length),
        "targets": None,
        "validation_share": 0.25,
        "validation_rows": 2,
        "steps": STEPS,
        "epochs": None,
        "batch_size": 1,
        "accumulation": 2,
        "learning_rate": 1e-2,
        "warmup_ratio": 0.0,
        "save_every": STEPS,
        "validate_every": STEPS,
        "push_to": "",
        "logger": "none",
        "num_predict": 32,
    }
    return TextRecipe.model_validate(recipe.model_dump() | changes)


def write_rows(path: Path, task: str) -> Path:
    """A few made-up rows of a task."""
    rows = []
    for number in range(ROWS):
        if task == "manim":
            code = f"from manim import *\n\nclass Circle{number}(Scene):\n    def construct(self):\n"
            row = {"instruction": f"Draw circle {number}.", "output": f"{code}        self.play(Create(Circle()))\n"}
        else:
            answer = f"Prompt: ball {number} rolls down a curve in small steps.\nNegative: blurry, text"
            row = {"instruction": f"Step {number}: the ball follows the slope.", "output": answer}
        rows.append(json.dumps(row))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def held_out_loss(session: TextSession, adapter_folder: Path) -> float:
    """Mean cross-entropy over the completions, of the base wearing the saved adapter, with plain torch."""
    from peft import PeftModel

    from training.text.base import hold, load_model, load_tokenizer

    recipe = session.recipe
    data = read_text_set(Path(session.run.info["dataset"]), recipe)
    rows, _, _ = encode_all(load_tokenizer(session.base), data.held_out, recipe.max_length)
    model = PeftModel.from_pretrained(load_model(session.base, recipe, hold(recipe, cuda=False)), str(adapter_folder))
    losses = [completion_loss(model.eval(), row) for row in rows]
    return sum(losses) / len(losses)


def completion_loss(model: Any, row: Encoded) -> float:
    """Mean negative log-likelihood of the tokens with a label, each given all before it."""
    import torch

    with torch.no_grad():
        logits = model(input_ids=torch.tensor([row.ids])).logits[0, :-1].float()
    labels = torch.tensor(row.labels[1:])
    return float(torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="text_smoke", help="Name or YAML file of a recipe.")
    asked = parser.parse_args(arguments)
    return answer(lambda: smoke(read_text_recipe(asked.recipe), load_settings()))


if __name__ == "__main__":
    sys.exit(main())
