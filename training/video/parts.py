"""The adapters of one run: the unified one, then one for each scenario, from the same cache."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.adapters.files import WEIGHTS
from t2v_studio.adapters.ranking import standings, winner
from t2v_studio.adapters.recipe import Recipe
from t2v_studio.adapters.runs import CARD_FIELDS, UNIFIED, Part, publish, read_lines, step_name, write_json
from t2v_studio.datasets.rows import ManifestRow, data_hash, slug
from training.video import lora
from training.video.buckets import Clip, Selection
from training.video.cache_latents import release
from training.video.loop import Trainer
from training.video.objective import Maths
from training.video.sampling import read_prompts
from training.video.session import Session, require_one_expert
from training.video.validate import Checker, config_changes

if TYPE_CHECKING:
    import torch

_SUMMARY = ("scenario", "clips", "held_out", "steps", "val_loss", "base_val_loss", "warp_score", "clip_text", "adapter")


def train_all(session: Session, selection: Selection) -> list[dict[str, Any]]:
    """Train what the run asks for and return the result of each part. A part that has a result is not trained again."""
    results = [train_part(session, session.run.part(), selection.train, selection.validation)]
    if session.run.info.get("scenarios"):
        start = _weights_of(session, results[0])
        for name in sorted({clip.source.group for clip in selection.train}):
            train, held_out = (
                [clip for clip in some if clip.source.group == name] for some in (selection.train, selection.validation)
            )
            part = session.run.part(slug(name) if slug(name) != UNIFIED else f"scenario_{UNIFIED}")
            results.append(train_part(session, part, train, held_out, start=start))
            if session.main:
                write_summary(session.run.folder / "scenario_summary.csv", results)
    return results


def train_part(
    session: Session,
    part: Part,
    clips: Sequence[Clip],
    held_out: Sequence[Clip],
    *,
    start: dict[str, torch.Tensor] | None = None,
) -> dict[str, Any]:
    """Train one adapter, or go on with it; then rank, publish and write its result. start: a warm start."""
    if part.result:
        return part.result
    part.folder.mkdir(parents=True, exist_ok=True)
    session.report(f"loading the model for {part.name}")
    transformer = load_transformer(session)
    maths = Maths(session.recipe, session.family, session.family.load_part("scheduler_config", session.base.source))
    checker = Checker(session, part, maths, held_out, read_prompts(session.recipe), config_changes(session.recipe))
    if session.main:
        write_json(part.folder / CARD_FIELDS, card_fields(session, part, [*clips, *held_out]))
    trainer = Trainer(session, part, transformer, clips, maths, checker)
    trainer.prepare(start if start is not None else _start_from(session))
    trainer.run()
    result = finish(session, part, trainer, len(clips), len(held_out)) if session.main else {}
    session.accelerator.wait_for_everyone()
    session.accelerator.free_memory()
    del trainer, transformer
    release()
    return result or part.result


def load_transformer(session: Session) -> Any:
    """The frozen base on the device, in the recipe's number format, ready for an adapter."""
    recipe, family = session.recipe, session.family
    require_one_expert(family)
    device = str(session.device)
    where = "cpu" if recipe.base_quantised != "none" else device
    transformer = family.load_part("transformer", session.base.source, dtype=session.dtype, device=where)
    if recipe.base_quantised != "none":
        lora.quantise(transformer, recipe.base_quantised, device)
        transformer.to(device)
    if recipe.dtype == "bf16":
        lora.keep_float32(transformer, family.keep_fp32)
    return transformer


def finish(session: Session, part: Part, trainer: Trainer, clips: int, held_out: int) -> dict[str, Any]:
    """Choose, publish and push the best adapter; write result.json."""
    rows, _ = read_lines(part.metrics)
    ordered = standings(rows)
    best = winner([one for one in ordered if (part.adapters / step_name(one.step)).is_dir()])
    notice = ""
    if best is None and ordered:
        notice = "Every checked adapter makes clips that stand still, so the last one was taken. Train longer or on livelier clips."
    step = best.step if best is not None else trainer.total
    row: dict[str, Any] = next((row for row in reversed(rows) if row["step"] == step), {})
    metrics = {
        name: row.get(name) for name in ("val_loss", "warp_error", "warp_score", "motion", "clip_text", "frozen")
    }
    card = publish(session.workspace, part, step, metrics=metrics, notes=notice)
    result: dict[str, Any] = {
        "part": part.name,
        "adapter": card.id,
        "step": step,
        "steps": trainer.total,
        "seconds": round(trainer.seconds, 2),
        "clips": clips,
        "held_out": held_out,
        "metrics": metrics,
        "base": row.get("base", {}),
        "best_of": [one.step for one in ordered],
        "notice": notice,
        "pushed": "",
    }
    if session.recipe.push_to:
        from training.video.export import push

        session.report("pushing the adapter to the hub")
        result["pushed"] = push(session.workspace.adapter(card.id), session.recipe.push_to, card)
    write_json(part.folder / "result.json", result)
    return result


def card_fields(session: Session, part: Part, clips: Sequence[Clip]) -> dict[str, Any]:
    """What the card of every adapter of this part says."""
    title = session.run.info.get("title") or session.recipe.name
    rows: dict[str, ManifestRow] = {clip.source.row.id: clip.source.row for clip in clips}
    return {
        "name": (title if part.name == UNIFIED else f"{title}, {part.name}")[:120],
        "trigger": session.recipe.trigger,
        "base_model": session.base.name,
        "base_revision": session.base.revision,
        "scale": session.recipe.scale,
        "license": session.base.license,
        "data_hash": data_hash(rows.values()),
        "made_from": f"{session.run.id}/{part.name}",
    }


def write_summary(path: Path, results: Sequence[dict[str, Any]]) -> None:
    """scenario_summary.csv: a row an adapter."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _SUMMARY)
        writer.writeheader()
        for one in results:
            measured = one.get("metrics", {})
            writer.writerow(
                {
                    "scenario": one["part"],
                    "clips": one["clips"],
                    "held_out": one["held_out"],
                    "steps": one["step"],
                    "val_loss": measured.get("val_loss"),
                    "base_val_loss": one.get("base", {}).get("val_loss"),
                    "warp_score": measured.get("warp_score"),
                    "clip_text": measured.get("clip_text"),
                    "adapter": one["adapter"],
                }
            )
    temporary.replace(path)


def _weights_of(session: Session, result: dict[str, Any]) -> dict[str, torch.Tensor]:
    return warm_state(session.workspace.adapter(result["adapter"]) / WEIGHTS, session.recipe)


def _start_from(session: Session) -> dict[str, torch.Tensor] | None:
    """The weights of `start_from`, an adapter of the catalogue."""
    if not session.recipe.start_from:
        return None
    from t2v_studio.adapters.catalogue import find

    card = find(session.workspace, session.recipe.start_from)
    return warm_state(session.workspace.adapter(card.id) / WEIGHTS, session.recipe)


def warm_state(path: Path, recipe: Recipe) -> dict[str, torch.Tensor]:
    """A LoRA file with PEFT's names, B scaled so that it changes the base under this recipe's alpha / r as before."""
    from t2v_studio.adapters.state import read_state

    state = {}
    for module, layer in read_state(path).layers.items():
        state[f"{module}.lora_A.weight"] = layer.down.float()
        state[f"{module}.lora_B.weight"] = layer.up.float() * (layer.factor / (recipe.alpha / recipe.rank))
    return state
