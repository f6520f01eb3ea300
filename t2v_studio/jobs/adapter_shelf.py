"""The adapters as the interfaces see them: listed, added, checked, exported. `Studio.adapters` is one of these."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2v_studio.errors import BusyError, InputError, StudioError, UnavailableError
from t2v_studio.jobs.adapter_fit import LoraFile, by_names, by_shapes, experts, partly, require_size
from t2v_studio.jobs.model import Job
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

if TYPE_CHECKING:
    from t2v_studio.adapters.card import AdapterCard

FAMILIES = ("wan", "cogvideox", "ltx")


class AdapterShelf:
    """The catalogue of one workspace. Rows are plain dicts, ready for JSON."""

    def __init__(self, settings: Settings, workspace: Workspace, active: Callable[[], list[Job]]) -> None:
        """active: the jobs that have not ended."""
        self._settings = settings
        self._workspace = workspace
        self._active = active

    # --- looking -----------------------------------------------------------------------------
    def rows(self) -> list[dict[str, Any]]:
        """Newest first: the fields of a card, is_text, preset (name), error. A damaged folder is a row with its error alone."""
        from t2v_studio.adapters.catalogue import catalogue, damaged

        rows = [self._row(card) for card in catalogue(self._workspace)]
        broken = damaged(self._workspace)
        return rows + [{"id": name, "name": name, "error": why} for name, why in broken.items()]

    def row(self, id_or_name: str) -> dict[str, Any]:
        """One row of `rows()` with folder, by id or name. Raises NotFoundError with the nearest name."""
        from t2v_studio.adapters.catalogue import find

        card = find(self._workspace, id_or_name)
        return self._row(card) | {"folder": str(self._workspace.adapter(card.id))}

    def choices(self, model_id: str = "") -> list[tuple[str, str]]:
        """(label, id) of the adapters that may be used on a video model, newest first; of all without a model."""
        from t2v_studio.adapters.catalogue import catalogue

        names = self._names(model_id) if model_id else ()
        cards = (card for card in catalogue(self._workspace) if not card.is_text)
        return [(_label(card), card.id) for card in cards if not names or self._fits(card, names)]

    def text_choices(self, family: str = "") -> list[tuple[str, str]]:
        """(label, id) of the adapters of language models, newest first; of one family where it is named."""
        from t2v_studio.adapters.catalogue import catalogue

        cards = (card for card in catalogue(self._workspace) if card.is_text)
        return [(f"{one.name} ({one.base_model})", one.id) for one in cards if family in ("", one.family)]

    def presets(self) -> list[dict[str, Any]]:
        """Rows: the fields of a preset, and adapter_id, empty where its adapter is not in the catalogue yet."""
        from t2v_studio.adapters.catalogue import catalogue
        from t2v_studio.adapters.presets import presets

        ids = {word: card.id for card in reversed(catalogue(self._workspace)) for word in (card.name, card.id)}
        found = presets(self._workspace).values()
        return [one.model_dump() | {"adapter_id": ids.get(one.adapter, "")} for one in found]

    def scale(self, id_or_name: str, asked: float | None = None, preset: str = "") -> float:
        """The scale that would be used. Raises InputError adapter_scale outside the limits of card and preset."""
        from t2v_studio.adapters import presets
        from t2v_studio.adapters.catalogue import find

        card = find(self._workspace, id_or_name)
        chosen = presets.preset(preset, self._workspace) if preset else presets.preset_for(card, self._workspace)
        return presets.checked_scale(card, chosen, asked)

    # --- changing ----------------------------------------------------------------------------
    def adopt(
        self,
        path: Path,
        *,
        weight_name: str = "",
        second: Path | None = None,
        base: str = "",
        used_on: str | None = None,
        alpha: float | None = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """Add a LoRA and give its row, with new (false where it was there) and notices[] about what is not known.

        base: the model it was made for, by its name in `t2v models list`; without it, what the file says. used_on: the model
        that it is wanted for now ("": the usual one). The layers must fit both. fields: name, trigger, scale, scale_min,
        scale_max, profile, experts, license, notes. Raises InputError, among them adapter_wrong_base and adapter_no_match with
        what matches in its details; nothing is kept then.
        """
        from t2v_studio.adapters import catalogue
        from t2v_studio.adapters.files import find_weights

        known = {card.id for card in catalogue.catalogue(self._workspace)}
        base = self._base(base) if base else ""
        file = LoraFile.read(
            find_weights(path, weight_name),
            find_weights(second) if second is not None else None,
            alpha=alpha,
            experts=str(fields.get("experts") or ""),
        )
        models = [base or self._named_by(file), *([self._base(used_on)] if used_on is not None else [])]
        rows = {model: self._require_fit(file, model) for model in dict.fromkeys(filter(None, models))}
        card = catalogue.adopt(
            self._workspace,
            path,
            weight_name=weight_name,
            second=second,
            alpha=alpha,
            max_bytes=self._settings.adapter_max_mb * 1_000_000,
            base_model=base,
            **fields,
        )
        new = card.id not in known
        weak = [notice for model, row in rows.items() for notice in partly(row, model)]
        return self.row(card.id) | {"new": new, "notices": [*_notices(card, new, fields), *weak]}

    def edit(self, id_or_name: str, *, base: str | None = None, **fields: Any) -> dict[str, Any]:
        """Change what a card says and give its row, with notices[]; fields of None stay.

        Raises InputError that names the field; adapter_wrong_base or adapter_no_match for a base that its layers do not fit.
        """
        from t2v_studio.adapters import catalogue

        card = catalogue.find(self._workspace, id_or_name)
        given = {name: value for name, value in fields.items() if value is not None}
        if base is not None:
            given["base_model"] = self._base(base) if base else ""
        if given.get("also_for"):
            given["also_for"] = sorted({self._base(name) for name in given["also_for"]})
        if not given:
            raise InputError(
                "nothing_to_change", "adapter: nothing was given to change.", "See: t2v adapters edit --help"
            )
        weak: list[str] = []
        if new := {given.get("base_model", ""), *given.get("also_for", [])} - {"", card.base_model, *card.also_for}:
            file, unbound = self._file(card), card.model_copy(update={"base_model": "", "also_for": []})
            for model in sorted(new):
                weak += partly(self._require_fit(file, model, unbound), model)
        catalogue.edit(self._workspace, card.id, **given)
        return self.row(card.id) | {"notices": weak}

    def remove(self, id_or_name: str) -> dict[str, Any]:
        """Delete an adapter's folder; its id and name. Raises BusyError while a job uses it."""
        from t2v_studio.adapters import catalogue

        adapter_id = id_or_name
        if not (self._workspace.adapters / id_or_name).is_dir():
            adapter_id = catalogue.find(self._workspace, id_or_name).id
        busy = next((job for job in self._active() if _names_it(job.spec, adapter_id)), None)
        if busy is not None:
            raise BusyError("adapter_in_use", f"{busy.id} uses this adapter.", "Wait for it, or cancel it first.")
        return {"id": adapter_id, "name": catalogue.remove(self._workspace, adapter_id)}

    # --- weights -----------------------------------------------------------------------------
    def export(self, id_or_name: str, target: str, output: Path) -> dict[str, Any]:
        """Write an adapter for diffusers, ComfyUI or kohya; id, name, format, files. Each file was read back and compared."""
        from t2v_studio.adapters.catalogue import find, load_state
        from t2v_studio.adapters.export import export

        card = find(self._workspace, id_or_name)
        if card.is_text:
            raise InputError(
                "text_adapter", f"{card.name} is of a language model.", f"Use: t2v train export {card.id} --target gguf"
            )
        paths = export(load_state(self._workspace, card.id), card, target, output)
        return {"id": card.id, "name": card.name, "format": target, "files": [str(path) for path in paths]}

    def check(
        self, path: Path | str, model: str, *, weight_name: str = "", alpha: float | None = None
    ) -> dict[str, Any]:
        """Whether an adapter (an id, a name or a file) can be used on a model: ok, error, matched[], unmatched[], wrong_shape{}, ignored{}.

        fits: whether its layers are those of the model, whatever its numbers are. With them: model, made_for, family, layout, rank, alpha, alpha_source, depth ("layers", or where the model is not on
        this machine "names" or "sizes", see `_require_fit`). Raises InputError for a file that is no LoRA.
        """
        from t2v_studio.adapters.files import find_weights

        card = self._card_of(str(path))
        if card is None:
            file = LoraFile.read(find_weights(Path(path), weight_name), alpha=alpha)
        else:
            file = self._file(card, alpha)
        plan, base = file.plan, self._base(model)
        row: dict[str, Any] = {
            "ok": True, "fits": False, "error": "", "model": base, "made_for": card.base_model if card and card.base_model else plan.made_for,
            "family": plan.family, "layout": plan.layout, "rank": plan.rank, "alpha": plan.alpha,
            "alpha_source": plan.alpha_source, "depth": "sizes", "matched": [], "unmatched": [], "wrong_shape": {},
            "ignored": dict(plan.ignored),
        }  # fmt: skip
        try:
            row |= self._require_fit(file, base, card) | {"fits": True}
            file.require_usable()
        except InputError as error:
            row |= {**error.details, "ok": False, "error": error.message, "rank": plan.rank}
        return row

    def _file(self, card: AdapterCard, alpha: float | None = None) -> LoraFile:
        """The file of a card. alpha: where its card was not told one."""
        from t2v_studio.adapters.catalogue import weights

        given = card.alpha if card.alpha_given else alpha
        return LoraFile.read(*weights(self._workspace, card), alpha=given, experts=card.experts)

    def _require_fit(self, file: LoraFile, base: str, card: AdapterCard | None = None) -> dict[str, Any]:
        """How an adapter fits a model: depth, matched[], unmatched[], wrong_shape{}. Raises InputError where it does not.

        depth: layers where the model is here, names where its layers are known by name alone, sizes else.
        """
        from t2v_studio.adapters.layers import BASES, layer_names
        from t2v_studio.engines.diffusion.matching import match

        shapes = self._shapes(base)
        title = card.name if card else file.first.name
        outline = file.outline(title, card)
        if shapes is None:
            names = layer_names(BASES[base]) if base in BASES else set()
            row = by_names(outline, names)
            require_size(file.plan, base, title, self._family(base), row)
            return row
        row = by_shapes(outline, shapes)
        require_size(file.plan, base, title, self._family(base), row)
        for number in experts(outline):
            match(outline, shapes, expert=number, card=card, model=base, names=self._names(base))
        return row

    # --- models ------------------------------------------------------------------------------
    def _entry(self, model: str) -> Any:
        from t2v_studio.engines.diffusion.models import model as entry

        return entry(model, self._settings, self._workspace)

    def _base(self, model: str) -> str:
        """A model's name in the registry. Raises InputError with the nearest name."""
        return str(self._entry(model).name)

    def _family(self, model: str) -> str:
        """The family of a model as LoRA keys know it: both Wan generations share their names."""
        name = str(self._entry(model).family)
        return next((one for one in FAMILIES if name.startswith(one)), name)

    def _names(self, model: str) -> tuple[str, ...]:
        entry = self._entry(model)
        return tuple(name for name in (entry.name, entry.repo_id) if name)

    def _named_by(self, file: LoraFile) -> str:
        """The model that the file itself says it was made for; empty where it says none, or one that is not known here."""
        said = file.plan.metadata.get("base_model", "") or file.plan.base_said
        try:
            return self._base(said) if said else ""
        except InputError:
            return ""

    def _shapes(self, model: str) -> dict[str, tuple[int, int]] | None:
        """The layers of a model on this machine, from headers and configuration alone; None where it is not here."""
        import json

        from t2v_studio.engines.diffusion.families.registry import family
        from t2v_studio.engines.diffusion.matching import shapes_from_config, shapes_from_files
        from t2v_studio.engines.diffusion.models import source

        entry = self._entry(model)
        try:
            folder = source(entry, self._settings, self._workspace).part("transformer")
        except UnavailableError:
            return None
        if found := shapes_from_files(folder):
            return found
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return shapes_from_config(family(entry.family).transformer, config)

    def _fits(self, card: AdapterCard, names: tuple[str, ...]) -> bool:
        from t2v_studio.adapters.layers import BASES

        if card.base_model:
            known = {name.casefold() for name in names}
            return bool(known & {name.casefold() for name in (card.base_model, *card.also_for)})
        if not card.width:
            return card.family in ("", self._family(names[0]))
        base = BASES.get(names[0])
        if base is not None:
            return card.family in ("", base.family) and card.width == base.width
        # Nothing is published with the width of a tiny model; of a user's own model only the family is known.
        published = any(base.width == card.width for base in BASES.values())
        return card.family in ("", self._family(names[0])) and not (
            published and self._entry(names[0]).origin == "tiny"
        )

    def _card_of(self, text: str) -> AdapterCard | None:
        from t2v_studio.adapters.catalogue import catalogue

        return next((card for card in catalogue(self._workspace) if text in (card.id, card.name)), None)

    def _row(self, card: AdapterCard) -> dict[str, Any]:
        from t2v_studio.adapters.presets import preset_for

        try:
            found = preset_for(card, self._workspace)
        except StudioError as error:
            return card.model_dump() | {"is_text": card.is_text, "preset": "", "error": error.message}
        return card.model_dump() | {"is_text": card.is_text, "preset": found.name if found else "", "error": ""}


def _notices(card: AdapterCard, new: bool, fields: dict[str, Any]) -> list[str]:
    """What a user should know about an adapter that was just added."""
    notices = []
    if not new:
        given = [name for name, value in fields.items() if value not in (None, "") and getattr(card, name) != value]
        kept = (
            f" What was given beside it ({', '.join(given)}) was not taken: t2v adapters edit {card.id}"
            if given
            else ""
        )
        notices.append(f"It is in the catalogue already, as {card.name}.{kept}")
    if card.alpha_source.startswith("assumed"):
        notices.append(
            f"The file does not say alpha, so alpha = rank = {card.rank} is assumed. If it was trained with another one, "
            "remove it and add it with --alpha: the strength depends on it."
        )
    if not card.base_model:
        made = f" Its shapes are those of {card.made_for}." if card.made_for else ""
        notices.append(f"Nobody says which model it was made for.{made}")
    return notices


def _label(card: AdapterCard) -> str:
    parts = [
        f"scale {card.scale:g}",
        f"trigger {card.trigger}" if card.trigger else "",
        "" if card.base_model else "base unknown",
    ]
    return f"{card.name} ({', '.join(part for part in parts if part)})"


def _names_it(spec: Any, adapter_id: str) -> bool:
    """Whether a job's spec names the adapter anywhere."""
    if isinstance(spec, dict):
        return any(_names_it(value, adapter_id) for value in spec.values())
    if isinstance(spec, Iterable) and not isinstance(spec, str):
        return any(_names_it(value, adapter_id) for value in spec)
    return bool(spec == adapter_id)
