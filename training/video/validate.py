"""A check of the adapter in training, and of a finished one against its base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.adapters.ranking import prune
from t2v_studio.adapters.recipe import Recipe
from t2v_studio.adapters.runs import Part, now_text, read_json, read_lines, step_name, write_json
from training.video.buckets import Clip
from training.video.export import export
from training.video.measures import held_out_loss, sample_measures, summary
from training.video.objective import Maths
from training.video.sampling import Prompt, Sampler, asked, write_clip
from training.video.session import Session, append_line

if TYPE_CHECKING:
    from training.video.loop import Trainer

MEASURES = ("val_loss", "warp_error", "warp_score", "motion", "clip_text", "frozen", "bad")
CLIP_DROP = 1.0
"""Points of the CLIP score (100 times the cosine) that an adapter may lose."""


@dataclass
class Checker:
    """Measures at each check, writes the row and the samples, and moves the losers aside."""

    session: Session
    part: Part
    maths: Maths
    held_out: Sequence[Clip]
    prompts: Sequence[Prompt]
    changes: dict[str, Any] = field(default_factory=dict)

    def __call__(self, trainer: Trainer) -> None:
        """Of a trainer at a whole step. Step 0 measures the base alone."""
        if self.session.main:
            with trainer.at_rest() as transformer:
                self._check(transformer, trainer.step, trainer.epoch)
        self.session.accelerator.wait_for_everyone()

    def _check(self, transformer: Any, step: int, epoch: float) -> None:
        with without_adapter(transformer):
            base = self.base(transformer)
        if step == 0:
            return
        row = {
            "step": step,
            "epoch": round(epoch, 4),
            "time": now_text(),
            **self.measured(transformer, step_name(step)),
            "base": {name: base[name] for name in MEASURES},
            "config_changes": self.changes,
        }
        recipe = self.session.recipe
        export(transformer, self.session.family, self.part.adapters / step_name(step), recipe)
        append_line(self.part.metrics, row)
        rows, _ = read_lines(self.part.metrics)
        for moved in prune(self.part, rows, recipe.keep_top_k):
            self.session.report(f"checked {self.part.name}", message=f"moved aside: step {moved['step']}", pruned=moved)
        self.session.report(f"checked {self.part.name}", message=words(row), check=step)

    def measured(self, transformer: Any, label: str) -> dict[str, Any]:
        """Loss and samples of the weights as they are now. label: first part of the samples' file names."""
        loss = held_out_loss(self.session, self.maths, transformer, self.held_out, weights=label)
        samples = self._samples(transformer, label)
        return {**loss, **summary([one["measures"] for one in samples]), "samples": samples}

    def base(self, transformer: Any) -> dict[str, Any]:
        """`measured` of the base, whose adapter the caller has taken away; taken once for these settings."""
        kept = read_json(self.part.folder / "base.json")
        settings = self._settings()
        if kept.get("settings") == settings and all(
            (self.part.folder / one["video"]).is_file() for one in kept["samples"]
        ):
            return kept
        row = {"settings": settings, **self.measured(transformer, "base")}
        write_json(self.part.folder / "base.json", row)
        return row

    def _settings(self) -> dict[str, Any]:
        """What the base's figures depend on."""
        recipe = self.session.recipe
        names = ("sample_frames", "sample_size", "sample_steps", "sample_guidance", "trigger", "flow_shift", "fps")
        kept = {name: getattr(recipe, name) for name in (*names, "sigma_quantiles", "sigma_spread", "clip_weights")}
        prompts = [[one.name, one.text, one.seed, one.negative] for one in self.prompts]
        return kept | {"prompts": prompts, "held_out": [clip.key for clip in self.held_out]}

    def _samples(self, transformer: Any, label: str) -> list[dict[str, Any]]:
        """Draw, write and measure every prompt: name, seed, video (relative to the part), measures."""
        if not self.prompts:
            return []
        recipe = self.session.recipe
        weights = Path(recipe.clip_weights).expanduser() if recipe.clip_weights else None
        sampler, found = Sampler(self.session, transformer, recipe.trigger), []
        with sampler.open():
            for number, prompt in enumerate(self.prompts):
                self.session.report("sampling", number, len(self.prompts), f"{label}: {prompt.name}")
                frames = sampler.draw(prompt)
                path = write_clip(self.part.samples / f"{label}-{prompt.name}.mp4", frames, sampler.fps)
                found.append(
                    {
                        "name": prompt.name,
                        "seed": prompt.seed,
                        "prompt": asked(prompt, recipe.trigger),
                        "video": path.relative_to(self.part.folder).as_posix(),
                        "measures": sample_measures(frames, sampler.fps, prompt.text, weights),
                    }
                )
        return found


@contextmanager
def without_adapter(transformer: Any) -> Iterator[None]:
    """The base alone, bit for bit."""
    transformer.disable_adapters()
    try:
        yield
    finally:
        transformer.enable_adapters()


def words(row: Mapping[str, Any]) -> str:
    """A row of figures as one line."""
    parts = []
    if row.get("val_loss") is not None:
        parts.append(f"held-out loss {row['val_loss']:.4f} (base {row['base']['val_loss']:.4f})")
    if row.get("warp_score") is not None:
        parts.append(f"warp score {row['warp_score']:.4f}")
    if row.get("clip_text") is not None:
        parts.append(f"CLIP {row['clip_text']:.2f}")
    if row.get("frozen"):
        parts.append(f"{row['frozen']} frozen")
    return " · ".join(parts) or "nothing could be measured"


def config_changes(recipe: Recipe) -> dict[str, Any]:
    """The fields that differ from the model's defaults: what a row of metrics rests on."""
    usual = Recipe()
    now, then = recipe.model_dump(mode="json"), usual.model_dump(mode="json")
    return {name: value for name, value in now.items() if value != then[name] and name not in ("name", "about")}


def regressions(adapter: Mapping[str, Any], base: Mapping[str, Any], tolerance: float) -> list[str]:
    """Why an adapter is worse than its base, one sentence a measure; empty where it is not.

    tolerance: share by which a measure may be worse. A measure that is unavailable on either side says nothing.
    """
    found = []
    for name, label in (("val_loss", "The loss on held-out clips"), ("warp_score", "The warp score of the samples")):
        mine, theirs = adapter.get(name), base.get(name)
        if mine is not None and theirs is not None and mine > theirs * (1 + tolerance):
            found.append(f"{label} rose from {theirs:.4f} to {mine:.4f}, more than {tolerance:.0%}.")
    mine, theirs = adapter.get("clip_text"), base.get("clip_text")
    if mine is not None and theirs is not None and mine < theirs - CLIP_DROP:
        found.append(f"The CLIP score fell from {theirs:.2f} to {mine:.2f}.")
    for name, label in (("frozen", "stand still"), ("bad", "are black, white or noise")):
        if adapter.get(name, 0) > base.get(name, 0):
            found.append(f"{adapter[name]} samples {label}; of the base {base.get(name, 0)}.")
    return found
