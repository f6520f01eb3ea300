"""Which video models there are: the shipped list, the user's own file, and the tiny ones.

A model is named, never pasted: names come from `data/models.yaml`, from `models.local.yaml` in the
workspace's data folder, or are the tiny pipelines that are made on first use.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import replace
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from t2v_studio.adapters.recipe import read_size
from t2v_studio.engines.diffusion.families import loading
from t2v_studio.engines.diffusion.families.base import Family, Profile, Quality, Source
from t2v_studio.engines.diffusion.families.registry import FAMILIES
from t2v_studio.engines.diffusion.families.registry import family as family_of
from t2v_studio.errors import InputError, UnavailableError, unknown_name, wrong_fields
from t2v_studio.settings import Settings
from t2v_studio.workspace import SHIPPED, Workspace

REGISTRY = SHIPPED / "models.yaml"
LOCAL_FILE = "models.local.yaml"
TINY = "tiny-"
_TINY_VERSION = 1
"""Goes up when `make_tiny` writes other weights."""

Stored = Literal["float32", "bfloat16", "float16"]
Size = Annotated[tuple[int, int], BeforeValidator(lambda text: read_size(str(text)))]
"""Such as 832x480."""
TINY_PROFILE = Profile(frames=9, steps=2, guidance=3.0, fps=8, width=192, height=128)
"""Frames and size suit every family."""
BYTES: dict[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2}


NAME = r"^[a-z0-9][a-z0-9._-]{1,60}$"
"""Of a model's name."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PartInfo(_Entry):
    """Size of one part, and the number format of its files on the hub."""

    parameters: int = Field(ge=0)
    stored: Stored = "float32"

    def bytes(self, dtype: str = "") -> int:
        """Bytes of the weights as stored, or in `dtype`."""
        return self.parameters * BYTES[dtype or self.stored]


class Bundle(_Entry):
    """Files of one repository at one commit. revision: 40 hex digits, or "" for the newest at the first download."""

    repo_id: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field("", pattern=r"^([0-9a-f]{40})?$")
    parts: dict[str, PartInfo]


class ModelEntry(_Entry):
    """One model. Either `repo_id` names it on the hub, or `folder` holds it on this disk."""

    name: str = Field(pattern=NAME)
    title: str = Field("", max_length=80)
    about: str = Field("", max_length=300)
    repo_id: str = Field("", pattern=r"^([\w.-]+/[\w.-]+)?$")
    revision: str = Field("", pattern=r"^([0-9a-f]{40})?$")
    folder: str = Field("", description="A folder on this machine, relative to the file that names it.")
    family: str
    license: str = ""
    dtype: str = Field("", pattern=r"^(float32|bfloat16|float16)?$")
    parts: dict[str, PartInfo] = {}
    shared: dict[str, str] = {}
    origin: Literal["shipped", "own", "tiny"] = "shipped"
    trained_sizes: tuple[Size, ...] = Field((), description="Where the model knows fewer sizes than its family.")
    tiny: bool = Field(False, description="Random weights: small pictures where nothing is asked for.")

    @property
    def rules(self) -> Family:
        """Its family's, with the sizes that this model was trained at; a tiny one was trained at none."""
        family = FAMILIES[self.family]
        if self.tiny:
            return replace(family, trained_sizes=())
        if not self.trained_sizes:
            return family
        return replace(family, label=self.title or family.label, trained_sizes=self.trained_sizes)

    @property
    def compute_dtype(self) -> str:
        """dtype of transformer and text encoder on a card that can."""
        return self.dtype or self.rules.default_dtype

    def profile(self, quality: Quality | None) -> Profile:
        """Frames, steps and size of a quality; none is balanced, or a few seconds of work for a tiny model."""
        if self.tiny and quality is None:
            return TINY_PROFILE
        return self.rules.profile(quality or "balanced")

    def all_parts(self) -> dict[str, PartInfo]:
        """Own and shared parts."""
        groups = bundles()
        return {**{part: groups[group].parts[part] for part, group in self.shared.items()}, **self.parts}

    def bundles(self) -> list[Bundle]:
        """What has to be fetched: its own repository, then the shared groups that it takes parts from."""
        if not self.repo_id:
            return []
        groups: dict[str, dict[str, PartInfo]] = {}
        for part, group in self.shared.items():
            groups.setdefault(group, {})[part] = bundles()[group].parts[part]
        own = Bundle(repo_id=self.repo_id, revision=self.revision, parts=self.parts)
        return [own] + [bundles()[group].model_copy(update={"parts": parts}) for group, parts in groups.items()]

    def bytes(self, dtype: str = "") -> int:
        """Bytes of all parts as stored on the hub, or in `dtype`."""
        return sum(part.bytes(dtype) for part in self.all_parts().values())

    def parameters(self) -> int:
        return sum(part.parameters for part in self.all_parts().values())


def registry(workspace: Workspace) -> dict[str, ModelEntry]:
    """Every model by name: shipped, own, tiny. Raises InputError for a mistake in the user's file."""
    entries = usual_models()
    for entry in own_models(workspace):
        if entry.name in entries:
            raise _bad_file(workspace, f"the name {entry.name!r} is taken")
        entries[entry.name] = entry
    return entries


def usual_models() -> dict[str, ModelEntry]:
    """The shipped and the tiny models by name, whatever the user's file holds."""
    return {entry.name: entry for entry in [*_shipped()[0], *_tiny_entries()]}


def model(name_or_id: str, settings: Settings, workspace: Workspace) -> ModelEntry:
    """The model of a name or repository id; "" is the one of T2V_MODEL_ID. Raises InputError with the nearest name.

    The user's file is read for names of its own alone: a mistake in it stops nothing else.
    """
    wanted = name_or_id or settings.model_id
    found = _named(wanted, usual_models())
    if found is not None:
        return found
    entries = registry(workspace)
    found = _named(wanted, entries)
    if found is not None:
        return found
    known = [*entries, *(entry.repo_id for entry in entries.values() if entry.repo_id)]
    raise unknown_name("model_id" if name_or_id else "T2V_MODEL_ID", wanted, known)


def _named(wanted: str, entries: dict[str, ModelEntry]) -> ModelEntry | None:
    if wanted in entries:
        return entries[wanted]
    return next((one for one in entries.values() if one.repo_id and one.repo_id.lower() == wanted.lower()), None)


def source(entry: ModelEntry, settings: Settings, workspace: Workspace) -> Source:
    """Where the parts of a model lie on this disk, and how. A tiny model is made now, if it is not there.

    Raises UnavailableError `model_missing` that says the size and the command, `model_broken` for a damaged folder.
    """
    from t2v_studio.engines.diffusion.model_files import fingerprint, stamp

    found = _located(entry, settings, workspace)
    folders = [found.part(part) for part in entry.rules.part_names]
    revision = found.revision or fingerprint(folders)
    return replace(found, revision=revision, stamp=stamp(folders))


def _located(entry: ModelEntry, settings: Settings, workspace: Workspace) -> Source:
    if entry.origin == "tiny":
        return Source(_tiny_folder(entry, workspace), name=entry.name, revision=f"tiny-{_TINY_VERSION}")
    if entry.folder:
        return Source(_own_folder(entry, workspace), name=entry.name)
    from t2v_studio.engines.diffusion.store import ModelStore

    found = ModelStore.of(settings, workspace).source(entry)
    if found is None:
        raise missing(entry)
    return found


def missing(entry: ModelEntry) -> UnavailableError:
    """The error for a model that is not on this disk."""
    return UnavailableError(
        "model_missing",
        f"The model {entry.title or entry.name} is not on this disk (about {entry.bytes() / 1e9:.0f} GB to fetch).",
        f"Fetch it on the Models tab, or with: t2v models download {entry.name}. The model tiny-wan shows the way without a download.",
    )


# --- lists -------------------------------------------------------------------------------------
@lru_cache(maxsize=1)
def _shipped() -> tuple[list[ModelEntry], dict[str, Bundle]]:
    data = yaml.safe_load(REGISTRY.read_text("utf-8"))
    groups = {name: Bundle(**group) for name, group in data["shared"].items()}
    return [ModelEntry(**row) for row in data["models"]], groups


def bundles() -> dict[str, Bundle]:
    """Shared groups by name."""
    return _shipped()[1]


def _tiny_entries() -> list[ModelEntry]:
    about = "Random weights, a few hundred kilobytes: shows the path of diffusion in seconds, without a download."
    return [
        ModelEntry(
            name=f"{TINY}{name}",
            title=f"Tiny {rules.label}",
            about=about,
            family=name,
            license="Apache-2.0",
            origin="tiny",
            dtype="float32",
            tiny=True,
        )
        for name, rules in FAMILIES.items()
    ]


def _tiny_folder(entry: ModelEntry, workspace: Workspace) -> Path:
    folder = workspace.cache / "tiny" / f"{entry.name}-{_TINY_VERSION}"
    if not _is_whole(folder, entry.rules):
        from t2v_studio.engines.diffusion.tiny import make_tiny

        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".making-") as name:
            made = make_tiny(entry.family, Path(name) / "model")
            try:
                made.rename(folder)
            except OSError:  # another process was quicker, or left half a folder
                if not _is_whole(folder, entry.rules):
                    shutil.rmtree(folder)
                    made.rename(folder)
    return folder


def _is_whole(folder: Path, rules: Family) -> bool:
    return (folder / "model_index.json").is_file() and not _fault(folder, rules)


def _fault(folder: Path, rules: Family) -> str:
    """What is wrong with the first part of a model's folder that cannot be used; "" where all can. Nothing is loaded."""
    from t2v_studio.engines.diffusion.store import part_fault

    classes = {"vae": rules.vae} | dict.fromkeys(rules.transformers, rules.transformer)
    for part in (name.removesuffix("_config") for name in rules.part_names):
        fault = part_fault(folder / part, part)
        if not fault and part in classes:
            fault = loading.class_fault(classes[part], folder / part)
        if fault:
            return f"its part {part} {fault}"
    return ""


# --- the user's own file -----------------------------------------------------------------------
def own_models(workspace: Workspace) -> list[ModelEntry]:
    """Models of `models.local.yaml` in the workspace's data folder."""
    path = workspace.data / LOCAL_FILE
    if not path.is_file():
        return []
    try:
        rows = yaml.safe_load(path.read_text("utf-8")) or []
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise _bad_file(workspace, "it should be a list of models, each starting with - name:")
        return [_own(workspace, row) for row in rows]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _bad_file(workspace, str(error).splitlines()[0]) from error


def _own(workspace: Workspace, row: dict[str, Any]) -> ModelEntry:
    try:
        entry = ModelEntry(**{**row, "origin": "own"})
    except TypeError as error:  # a key that is no text
        raise _bad_file(workspace, str(error)) from error
    except ValidationError as error:
        known = [*ModelEntry.model_fields, *PartInfo.model_fields]
        wrong = wrong_fields("bad_models_file", error, f"model {row.get('name', '?')}", known=known)
        raise _bad_file(workspace, wrong.message.rstrip("."), wrong.hint) from error
    try:
        family_of(entry.family)
    except InputError as error:
        raise _bad_file(workspace, f"model {entry.name}: {error.message.rstrip('.')}") from error
    if bool(entry.repo_id) == bool(entry.folder):
        raise _bad_file(workspace, f"model {entry.name}: give either repo_id or folder")
    unknown = [group for group in entry.shared.values() if group not in bundles()]
    if unknown:
        raise _bad_file(workspace, f"model {entry.name}: shared: {unknown[0]!r} is not a group of models.yaml")
    if entry.repo_id and not entry.parts:
        wanted = [part for part in entry.rules.part_names if part not in entry.shared]
        parts = {part.removesuffix("_config"): PartInfo(parameters=0) for part in wanted}
        return entry.model_copy(update={"parts": parts})
    return entry


def require_free(workspace: Workspace, name: str) -> None:
    """Raise InputError where `name` cannot name one more model."""
    if not re.fullmatch(NAME, name):
        raise InputError(
            "bad_name",
            f'name: "{name}" cannot name a model.',
            "Choose one with --name: 2 to 61 small letters a to z, digits, dots, dashes and underscores; the first is a letter or a digit.",
        )
    if name in registry(workspace):
        raise InputError("name_taken", f"name: there is a model {name!r} already.", "Choose another with --name.")


def register(
    workspace: Workspace, name: str, family: str, folder: Path, *, title: str = "", tiny: bool = False
) -> ModelEntry:
    """Add a folder to the user's file under `name`; the rest of that file stays as it is."""
    require_free(workspace, name)
    entry = _own(workspace, {"name": name, "family": family, "folder": str(folder), "title": title, "tiny": tiny})
    path = workspace.data / LOCAL_FILE
    before = path.read_text("utf-8") if path.is_file() else "# Models of this workspace. See t2v models list.\n"
    row = entry.model_dump(include={"name", "title", "family", "folder", "tiny"}, exclude_defaults=True)
    rows = yaml.safe_load(before) or []
    _write_rows(path, [*rows, row], f"{before.rstrip()}\n{yaml.safe_dump([row], sort_keys=False)}", before)
    return entry


def forget(workspace: Workspace, name: str) -> ModelEntry:
    """Take a model out of the user's file; its files and the rest of that file stay. Raises InputError."""
    entry = next((one for one in own_models(workspace) if one.name == name), None)
    if entry is None:
        own = [one.name for one in own_models(workspace)]
        if name in registry(workspace):
            raise InputError(
                "not_your_own", f"name: {name} comes with the studio.", "Only models of your own are forgotten."
            )
        raise unknown_name("name", name, own)
    path = workspace.data / LOCAL_FILE
    text = path.read_text("utf-8")
    root = yaml.compose(text)
    assert root is not None
    lines = text.splitlines(keepends=True)
    starts = [item.start_mark.line for item in root.value]
    position = [one.name for one in own_models(workspace)].index(name)
    end = starts[position + 1] if position + 1 < len(starts) else root.end_mark.line
    kept = [*lines[: starts[position]], *lines[end:]]
    rows = yaml.safe_load(text)
    _write_rows(path, [*rows[:position], *rows[position + 1 :]], "".join(kept), text)
    return entry


def _write_rows(path: Path, rows: list[dict[str, Any]], text: str, before: str) -> None:
    """The user's file with `rows`: as `text`, which keeps all else, where that says the same; else written anew.

    Written anew, it keeps the comments that it begins with. before: its text as it is.
    """
    try:
        same = (yaml.safe_load(text) or []) == rows
    except yaml.YAMLError:
        same = False
    if not same:
        head = takewhile(lambda line: line.startswith("#") or not line.strip(), before.splitlines(keepends=True))
        text = "".join(head) + (yaml.safe_dump(rows, sort_keys=False, allow_unicode=True) if rows else "")
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, "utf-8")
    part.replace(path)


def _own_folder(entry: ModelEntry, workspace: Workspace) -> Path:
    folder = (workspace.data / Path(entry.folder).expanduser()).resolve()
    if not (folder / "model_index.json").is_file():
        raise UnavailableError(
            "model_missing",
            f"The model {entry.name} should lie in {folder}, but there is no model_index.json.",
            f"Correct its folder in {workspace.data / LOCAL_FILE}.",
        )
    if fault := _fault(folder, entry.rules):
        raise UnavailableError(
            "model_broken",
            f"The model {entry.name} cannot be used: {fault}.",
            f"Put whole files into {folder}, or take it out of the list: t2v models forget {entry.name}",
        )
    return folder


def _bad_file(workspace: Workspace, what: str, hint: str = "") -> InputError:
    helps = f"{hint} The file: {workspace.data / LOCAL_FILE}." if hint else f"Correct {workspace.data / LOCAL_FILE}."
    return InputError("bad_models_file", f"{LOCAL_FILE}: {what}.", helps)
