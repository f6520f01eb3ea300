"""A LoRA from scored clips: what this kind of training shows on its page."""

from __future__ import annotations

from typing import Any, ClassVar

import gradio as gr

from t2v_studio.adapters.recipe import Recipe
from t2v_studio.jobs.model import Job
from t2v_studio.ui import markup
from t2v_studio.ui.components import train_view
from t2v_studio.ui.components.recipe_form import VIDEO
from t2v_studio.ui.components.training_flow import TrainingFlow
from t2v_studio.ui.page import target


class VideoTraining(TrainingFlow):
    """Recipes of video models, saved manifests, samples beside the base, adapters for Generate."""

    kind = "video"
    form = VIDEO
    first_recipe = "tiny_smoke"
    nothing = train_view.NOTHING
    data_label = "Clips"
    data_info = "A saved manifest: make one in the Manifest tab. Other folders train with t2v train video."
    held_out = "Loss on held-out clips"
    pieces: ClassVar[tuple[str, ...]] = ("samples", "table")

    def recipe(self, name: str) -> Recipe:
        return self.desk.recipe(name)

    def parsed(self, fields: dict[str, Any]) -> Recipe:
        return self.desk.parsed(fields)

    def datasets(self) -> list[tuple[str, str]]:
        return [
            (f"Manifest of {markup.day(row['created_at'])} · {markup.plural(row['clips'], 'clip')}", str(row["jsonl"]))
            for row in self.studio.manifests.manifests()
        ]

    def dry_run(self, found: dict[str, Any]) -> str:
        return train_view.dry_run(found)

    def options(self) -> list[Any]:
        return [
            gr.Checkbox(
                False,
                label="Then one adapter for each scenario",
                info="Warm-started from the unified one, from the same cache.",
                elem_id="train-scenarios",
            )
        ]

    def start(self, recipe: Any, dataset: str, title: str, *options: Any) -> Job:
        return self.desk.submit_training(recipe, dataset, title=title, scenarios=bool(options[0]))

    def drawn(self, run: dict[str, Any], part: dict[str, Any] | None) -> dict[str, str]:
        if part is None:
            return {"samples": "", "table": ""}
        return {
            "samples": train_view.samples(self.studio, run["run"], part),
            "table": train_view.adapters(run["run"], part),
        }

    def clicked(self, sent: dict[str, Any]) -> dict[str, Any] | None:
        if sent.get("act") != "use":
            return None
        card = self.desk.publish(str(sent.get("run")), str(sent.get("part")), int(sent.get("step", 0)))
        fields = {
            "engine": "diffusion",
            "model_id": card["base_model"],
            "adapter": card["id"],
            "lora_scale": card["scale"],
            "lora_trigger": card["trigger"],
        }
        return target("adapter", card["id"], fields=fields)
