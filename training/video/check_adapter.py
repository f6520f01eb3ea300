"""A finished adapter against its base: same clips, noise, prompts and seeds; is it worse in anything?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from t2v_studio.adapters.catalogue import adapter, load_state
from t2v_studio.adapters.runs import write_json
from t2v_studio.errors import InputError
from training.video.buckets import Selection, select
from training.video.cache_latents import cache_latents
from training.video.cache_text import cache_text, captions
from training.video.objective import Maths
from training.video.parts import load_transformer
from training.video.rows import read_sources
from training.video.sampling import read_prompts, texts
from training.video.session import Session
from training.video.validate import MEASURES, Checker, config_changes, regressions


def check_adapter(session: Session) -> dict[str, Any]:
    """Measure base and adapter of a check's run and write check.json: ok, regressions, base, adapter.

    The adapter is put on as Generate puts it on, at the scale of run.json. Raises InputError where there is
    neither a held-out clip nor a prompt to measure with, or the adapter was made for another model.
    """
    from t2v_studio.engines.diffusion.adapter_slot import AdapterSlot

    recipe, info = session.recipe, session.run.info
    held_out, prompts = _held_out(session), read_prompts(recipe)
    if not held_out and not prompts:
        raise InputError(
            "nothing_to_measure", "There is neither a held-out clip nor a prompt.", "Name a dataset or prompts."
        )
    clips = Selection([], held_out, [], []).clips
    cache_latents(session, clips)
    cache_text(session, [*captions(clips, recipe.trigger), *texts(prompts, recipe.trigger)])
    card = adapter(session.workspace, info["adapter"])
    part = session.run.part("check")
    part.folder.mkdir(parents=True, exist_ok=True)
    transformer = load_transformer(session)
    maths = Maths(recipe, session.family, session.family.load_part("scheduler_config", session.base.source))
    checker = Checker(session, part, maths, held_out, prompts, config_changes(recipe))
    import torch

    slot = AdapterSlot(transformer)
    with torch.no_grad(), session.accelerator.autocast():
        base = checker.base(transformer)
        slot.set(load_state(session.workspace, card.id), float(info["scale"]), card=card)
        measured = checker.measured(transformer, "adapter")
    worse = regressions(measured, base, recipe.max_regression)
    result = {
        "ok": not worse,
        "regressions": worse,
        "adapter": card.id,
        "scale": info["scale"],
        "held_out": len(held_out),
        "base": {name: base[name] for name in MEASURES},
        "measured": {name: measured[name] for name in MEASURES},
        "clip_note": measured["clip_note"],
        "samples": [
            {"name": one["name"], "adapter": one["video"], "base": theirs["video"]}
            for one, theirs in zip(measured["samples"], base["samples"], strict=True)
        ],
    }
    write_json(session.run.folder / "check.json", result)
    session.report("done", 1, 1, "no regression" if not worse else worse[0], results=[result])
    return result


def _held_out(session: Session) -> list[Any]:
    dataset = session.run.info.get("dataset")
    if not dataset:
        return []
    return select(read_sources(Path(dataset), session.recipe.seed), session.recipe, session.family).validation
