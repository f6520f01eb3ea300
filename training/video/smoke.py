"""Two steps of a recipe on a tiny random model: train, save, load with diffusers, compare. Seconds, no download.

python -m training.video.smoke [--recipe NAME_OR_FILE]     prints one JSON object
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from t2v_studio.adapters.files import WEIGHTS
from t2v_studio.adapters.recipe import Recipe, read_recipe
from t2v_studio.adapters.runs import create_run, read_lines, step_name
from t2v_studio.engines.diffusion.families.base import Family
from t2v_studio.errors import StudioError
from t2v_studio.settings import Settings, load_settings
from t2v_studio.workspace import Workspace
from training.answer import answer
from training.video.run import work
from training.video.sampling import write_clip
from training.video.session import Session, locked, open_session

STEPS, CLIPS = 2, 3


def smoke(recipe: Recipe, settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """Run the trainer's own stages on a small version of `recipe`. Raises StudioError where anything differs."""
    from t2v_studio.engines.diffusion.families.registry import family
    from t2v_studio.engines.diffusion.models import model

    began = time.monotonic()
    kind = family(model(recipe.model, settings, workspace).family)
    small = small_recipe(recipe, kind)
    with tempfile.TemporaryDirectory(prefix="t2v-smoke-") as name:
        place = Workspace.at(Path(name))
        make_clips(place.data / "clips", *small.sizes[0], small.frame_buckets[0], kind.trained_fps)
        run = create_run(place, small, place.data / "clips", title="Smoke test")
        session = open_session(run, settings.model_copy(update={"home": Path(name)}), place)
        with locked(run):
            result = work(session)[0]
        rows, _ = read_lines(run.part().log)
        difference = reload_difference(session, run.part().adapters / step_name(result["step"]))
    if difference != 0.0:
        raise StudioError(
            "smoke_differs",
            f"The saved adapter predicts otherwise than the trained one (by {difference:g}).",
            "This is a defect of the export, or of the installed diffusers and peft.",
        )
    return {
        "ok": True,
        "recipe": recipe.name,
        "model": small.model,
        "steps": len(rows),
        "losses": [round(row["loss"], 6) for row in rows],
        "difference": difference,
        "seconds": round(time.monotonic() - began, 2),
    }


def small_recipe(recipe: Recipe, family: Family) -> Recipe:
    """The recipe on the tiny model of its family: small clips, two steps, the rest as it is."""
    side = max(32, family.size_multiple)
    changes: dict[str, Any] = {
        "model": f"tiny-{family.kind}",
        "dtype": "fp32",
        "base_quantised": "none",
        "frame_buckets": [family.frames(5)],
        "size_buckets": [f"{2 * side}x{side}"],
        "fps": None,
        "steps": STEPS,
        "epochs": None,
        "accumulation": min(2, recipe.accumulation),
        "warmup_steps": 0,
        "learning_rate": 1e-2,
        "start_from": "",
        "compile_blocks": False,
        "workers": min(1, recipe.workers),
        "save_every": 1,
        "keep_top_k": 0,
        "validate_every": STEPS,
        "validation_clips": 1,
        "sigma_quantiles": 2,
        "sample_frames": family.frames(5),
        "sample_size": f"{2 * side}x{side}",
        "sample_steps": 1,
        "clip_weights": "",
        "push_to": "",
        "logger": "none",
    }
    return Recipe.model_validate(recipe.model_dump() | changes)


def make_clips(folder: Path, width: int, height: int, frames: int, fps: float) -> None:
    """A few clips of a square that moves, with captions."""
    folder.mkdir(parents=True)
    for number in range(CLIPS):
        pictures = np.full((frames, height, width, 3), 235, np.uint8)
        for index in range(frames):
            left = (4 * number + 2 * index) % (width - 12)
            pictures[index, 6:18, left : left + 12] = (200, 60 * number, 40)
        path = write_clip(folder / f"square_{number}.mp4", pictures, fps, content="graphics")
        path.with_suffix(".txt").write_text(f"a square moves to the right, number {number}", encoding="utf-8")


def reload_difference(session: Session, folder: Path) -> float:
    """Largest difference between two predictions with the saved adapter: loaded by diffusers, and by PEFT with the recipe's alpha.

    A lost alpha would show here: diffusers reads it from the file's header alone.
    """
    import torch

    from training.video import lora
    from training.video.parts import warm_state

    family, source, recipe = session.family, session.base.source, session.recipe
    kwargs = {"dtype": "float32"}
    ours = family.load_part("transformer", source, **kwargs)
    lora.add_adapter(ours, recipe, family)
    lora.load_adapter_state(ours, warm_state(folder / WEIGHTS, recipe))
    theirs = family.load_part("transformer", source, **kwargs)
    pipe = family.pipeline_from({"transformer": theirs})
    pipe.load_lora_weights(str(folder))
    from training.video.cache import read_latents, read_text
    from training.video.cache_text import EMPTY
    from training.video.objective import Maths
    from training.video.run import selected

    clip = selected(session).train[0]
    maths = Maths(recipe, family, family.load_part("scheduler_config", source))
    latents = read_latents(session.cache.clip_file(clip)).float()
    text = {
        name: one.float() if one.is_floating_point() else one
        for name, one in read_text(session.cache.text_file(EMPTY)).items()
    }
    objective = maths.objective(clip.bucket[2])
    level = maths.levels(torch.tensor([0.5], dtype=torch.float64), clip.bucket[2])
    with torch.no_grad():
        first, second = (objective.forward(one.eval(), latents, level, text, fps=clip.fps) for one in (ours, theirs))
    return float((first - second).abs().max())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="tiny_smoke", help="Name or YAML file of a recipe.")
    asked = parser.parse_args(arguments)

    def made() -> dict[str, Any]:
        settings = load_settings()
        return smoke(read_recipe(asked.recipe), settings, Workspace.at(settings.home))

    return answer(made)


if __name__ == "__main__":
    sys.exit(main())
