"""The model card of a language model's adapter: what it is, what it learned from, how well it does, how it is used."""

from __future__ import annotations

from typing import Any

import yaml

from t2v_studio.adapters.card import AdapterCard
from t2v_studio.adapters.runs import CARD_FIELDS, TrainingRun, find_run, read_json
from t2v_studio.adapters.text_recipe import TextRecipe
from t2v_studio.errors import StudioError, plural
from t2v_studio.workspace import Workspace

TASKS = {
    "manim": "It writes one Manim Community scene for a description.",
    "prompts": "It turns the steps of a scene into a prompt for a text-to-video model.",
    "chat": "It answers as its training rows do.",
}
LIMITS = {
    "manim": "Code that it writes is untrusted: run it in a sandbox alone. It invents names, and what runs may still "
    "show the wrong thing.",
    "prompts": "It may repeat its training rows and drop words that matter: compare the prompt with what was asked.",
    "chat": "It knows no more than its base does.",
}


def run_of(workspace: Workspace, card: AdapterCard) -> TrainingRun | None:
    """The run that an adapter came from, where it is still here."""
    try:
        return find_run(workspace, card.made_from.partition("/")[0])
    except StudioError:
        return None


def recipe_of(workspace: Workspace, card: AdapterCard) -> TextRecipe:
    """The recipe of an adapter's run; one that names its base alone where the run is gone."""
    run = run_of(workspace, card)
    if run is not None and run.trains == "text":
        return run.text_recipe
    return TextRecipe(
        name=card.name[:60], model=card.base_model, rank=card.rank, alpha=card.alpha, targets=card.targets or None
    )


def model_card(workspace: Workspace, card: AdapterCard, repository: str = "") -> str:
    """README.md with the hub's front matter. repository: names the model; the studio's name for it else."""
    run, recipe = run_of(workspace, card), recipe_of(workspace, card)
    fields = read_json(run.part().folder / CARD_FIELDS) if run else {}
    evaluation = read_json(run.folder / "evaluation.json") if run else {}
    evaluation = evaluation or read_json(workspace.adapter(card.id) / "evaluation.json")
    base = _base_named(workspace, card)
    head: dict[str, Any] = {
        "library_name": "peft",
        "base_model": base,
        "license": (card.license or "other").lower(),
        "tags": ["lora", "sft", "trl", card.family],
        "pipeline_tag": "text-generation",
    }
    lines = [f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n", f"# {repository.partition('/')[2] or card.name}\n"]
    lines += [f"A LoRA of {base}{f' at {card.base_revision}' if card.base_revision else ''}. {TASKS[recipe.task]}\n"]
    lines += _data(card, fields)
    lines += [
        "## Training\n",
        f"{plural(card.modules, 'layer')} ({', '.join(card.targets)}), rank {card.rank}, alpha {card.alpha:g}.\n",
    ]
    lines += ["```yaml", yaml.safe_dump(_shared(recipe), sort_keys=False, allow_unicode=True).rstrip(), "```\n"]
    lines += _figures(card, evaluation)
    lines += ["## Use\n", "```python", _python(repository or "FOLDER", base), "```\n"]
    lines += ["## Limits\n", f"{LIMITS[recipe.task]}\n"]
    return "\n".join(lines)


def _shared(recipe: TextRecipe) -> dict[str, Any]:
    """The recipe without what is of this machine alone."""
    fields = recipe.model_dump(mode="json", exclude={"push_to", "logger", "about"})
    if "/" in recipe.model and recipe.model.count("/") != 1:
        fields["model"] = recipe.model.rstrip("/").rpartition("/")[2]
    return fields


def _base_named(workspace: Workspace, card: AdapterCard) -> str:
    """The base by its name on the hub; never by a path on this machine."""
    from t2v_studio.adapters.files import PEFT_CONFIG

    return str(read_json(workspace.adapter(card.id) / PEFT_CONFIG).get("base_model_name_or_path") or card.family)


def _data(card: AdapterCard, fields: dict[str, Any]) -> list[str]:
    lines = ["## Data\n"]
    rows = fields.get("rows")
    if rows:
        lines.append(
            f"{plural(rows['train'], 'row')} to learn from, {rows['held_out']} held out, {rows['refused']} refused.\n"
        )
    for title in ("sources", "licenses"):
        counts = fields.get(title) or {}
        if counts:
            lines += [f"| {title[:-1]} | rows |", "|---|---|", *(f"| {name} | {n} |" for name, n in counts.items()), ""]
    lines.append(f"SHA-256 over all rows: `{card.data_hash or 'not known'}`\n")
    return lines


def _figures(card: AdapterCard, evaluation: dict[str, Any]) -> list[str]:
    lines = ["## Figures\n", "| measure | value |", "|---|---|"]
    lines += [f"| {name} | {_number(value)} |" for name, value in card.metrics.items()]
    rows = evaluation.get("rows") or []
    if rows:
        columns = [one for one in evaluation["columns"] if any(row.get(one["name"]) is not None for row in rows)]
        lines += ["", "| | " + " | ".join(one["label"] for one in columns) + " |", "|---" * (len(columns) + 1) + "|"]
        lines += [
            f"| {row['who']} | " + " | ".join(_number(row.get(one["name"])) for one in columns) + " |" for row in rows
        ]
        lines += ["", *(f"- {note}" for note in evaluation.get("notes", []))]
        lines += _samples(evaluation)
    return [*lines, ""]


def _samples(evaluation: dict[str, Any]) -> list[str]:
    found = [one for one in evaluation.get("samples", []) if one["who"].startswith("LoRA")][-2:]
    lines = ["", "### Samples", ""] if found else []
    for one in found:
        lines += [f"> {' '.join(one['asked'].split())[:300]}", "", "````text", one["answer"][:1500].strip(), "````", ""]
    return lines


def _number(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


def _python(where: str, base: str) -> str:
    return (
        "from peft import AutoPeftModelForCausalLM\n"
        "from transformers import AutoTokenizer\n\n"
        f'model = AutoPeftModelForCausalLM.from_pretrained("{where}")\n'
        f'tokenizer = AutoTokenizer.from_pretrained("{base}")'
    )
