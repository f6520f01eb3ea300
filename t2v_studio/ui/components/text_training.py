"""A LoRA of a small language model: rows in, live loss, an evaluation a checkpoint, and files for other programs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any, ClassVar

from t2v_studio.adapters.text_recipe import TextRecipe
from t2v_studio.errors import InputError
from t2v_studio.ui import markup
from t2v_studio.ui.components import text_view
from t2v_studio.ui.components.recipe_form import TEXT
from t2v_studio.ui.components.training_flow import TrainingFlow
from t2v_studio.ui.page import target

EXPORTS = ("gguf", "modelfile", "card")


class TextTraining(TrainingFlow):
    """Recipes of `kind: text`, the workspace's text sets, checks by held-out loss, evaluation, export."""

    kind = "text"
    form = TEXT
    first_recipe = "text_smoke"
    nothing = text_view.NOTHING
    data_label = "Text set"
    data_info = "Sets of the tab beside this one. Others train with t2v train text."
    held_out = "Loss on held-out rows"
    pieces: ClassVar[tuple[str, ...]] = ("table", "evaluation", "files")

    def recipe(self, name: str) -> TextRecipe:
        return self.desk.text_recipe(name)

    def parsed(self, fields: dict[str, Any]) -> TextRecipe:
        return self.desk.text_parsed(fields)

    def datasets(self) -> list[tuple[str, str]]:
        return [
            (f"{row['name']} · {markup.plural(len(row['files']), 'file')}", row["path"])
            for row in self.studio.text_sets.sets()
        ]

    def dry_run(self, found: dict[str, Any]) -> str:
        return text_view.dry_run(found)

    def drawn(self, run: dict[str, Any], part: dict[str, Any] | None) -> dict[str, str]:
        if part is None:
            return dict.fromkeys(self.pieces, "")
        task = str(run["recipe_fields"].get("task", ""))
        judged = self.desk.evaluation(run["run"])
        working = self.desk.being_made(run["run"])
        files = self._files(run["adapter"])
        return {
            "table": text_view.adapters(run["run"], part, task),
            "evaluation": text_view.evaluation(run["run"], judged, bool(part["table"]), working.get("evaluate")),
            "files": text_view.files(run["adapter"], files, "export" in working),
        }

    def clicked(self, sent: dict[str, Any]) -> dict[str, Any] | None:
        act, run = str(sent.get("act", "")), str(sent.get("run", ""))
        if act == "evaluate":
            self.desk.submit_evaluation(run)
        elif act == "cancel":
            self.studio.cancel(str(sent.get("job", "")))
        elif act == "export":
            name = str(sent.get("what", ""))
            if name not in EXPORTS:
                raise InputError("unknown_act", "That button is not known.", "Reload the page.")
            self.desk.submit_export(str(sent.get("adapter", "")), name)
        elif act in ("keep", "use"):
            card = self.desk.publish(run, str(sent.get("part")), int(sent.get("step", 0)))
            if act == "use":
                fields = {"engine": "diffusion", "prompt_writer": card["id"]}
                return target("adapter", card["id"], fields=fields)
        return None

    def _files(self, adapter: str) -> list[tuple[str, int, Path]]:
        """Exported files of an adapter, as links to copies in the one folder that the page may give out."""
        if not adapter:
            return []
        folder = self.studio.workspace.adapter(adapter) / "export"
        found = []
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.is_file() and not path.is_symlink():
                found.append((path.name, path.stat().st_size, self._served(adapter, path)))
        return found

    def _served(self, adapter: str, path: Path) -> Path:
        copy = self.studio.workspace.cache / "web" / "exports" / adapter / f"{path.stat().st_mtime_ns:x}" / path.name
        if not copy.is_file():
            copy.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(path, copy)
            except OSError:
                shutil.copyfile(path, copy)
        return copy
