"""A pack: the topics of an evaluation set in one YAML file, each to be made with and without retrieval."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from t2v_studio.errors import InputError, unknown_name, wrong_fields
from t2v_studio.production.request import VideoRequest, parse_request
from t2v_studio.workspace import SHIPPED, Workspace

Variant = Literal["no_rag", "rag_semantic"]
LENGTHS = ("seconds", "frames", "scene_frames")
_OWN = {"topic": "topic", "course_template": "template", "seed": "seed", "plan": "", "use_rag": "variants"}
"""Fields of a request that a pack sets in its own words."""
SETTABLE = tuple(name for name in VideoRequest.model_fields if name not in _OWN)
"""Fields of a request that may stand in defaults, engines and topics."""
_NAME = r"^[a-z][a-z0-9_]{0,39}$"
_SEED_MAX = 2**31 - 1


class PackTopic(BaseModel):
    """One topic. In the file the fields of `settings` stand beside the others: any VideoRequest field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    slug: str = Field(pattern=_NAME, description="Name of its folder.")
    topic: str = Field(min_length=1, max_length=300, description="What to explain.")
    template: str = Field("auto", description="A lesson template's name, or auto.")
    seed: int = Field(ge=0, le=_SEED_MAX, description="Seed of both arms; the seed offset is added.")
    settings: dict[str, Any] = Field(default_factory=dict, description="What this topic sets itself.")

    @model_validator(mode="before")
    @classmethod
    def _gather(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        own = {name: value for name, value in data.items() if name not in SETTABLE}
        set_here = {name: value for name, value in data.items() if name in SETTABLE}
        return own | {"settings": {**(own.get("settings") or {}), **set_here}} if set_here else own


class Pack(BaseModel):
    """A pack file. `settings` of a topic overrule `engines[engine]`, and these overrule `defaults`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=_NAME)
    title: str = Field(min_length=1, max_length=120)
    description: str = Field("", max_length=1000)
    defaults: dict[str, Any] = Field(default_factory=dict, description="VideoRequest fields of all topics.")
    engines: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="VideoRequest fields of all topics where this engine draws."
    )
    variants: list[Variant] = Field(default_factory=lambda: list(get_args(Variant)), min_length=1)
    topics: list[PackTopic] = Field(min_length=1, max_length=200)

    @field_validator("variants")
    @classmethod
    def _each_once(cls, variants: list[Variant]) -> list[Variant]:
        if len(set(variants)) != len(variants):
            raise ValueError("each variant may stand once")
        return [name for name in get_args(Variant) if name in variants]

    @field_validator("topics")
    @classmethod
    def _slugs_differ(cls, topics: list[PackTopic]) -> list[PackTopic]:
        twice = {one.slug for one in topics if sum(other.slug == one.slug for other in topics) > 1}
        if twice:
            raise ValueError(f"these slugs stand twice: {', '.join(sorted(twice))}")
        return topics

    @property
    def is_pair(self) -> bool:
        """Whether each topic is made as a pair."""
        return len(self.variants) == 2


def parse_pack(data: Any, named: str = "pack") -> Pack:
    """A pack from YAML or JSON data, each of its requests checked. Raises InputError that names the field."""
    if not isinstance(data, dict):
        raise InputError(
            "bad_pack", f"{named} is not a pack: it holds no fields.", "Look at data/packs/course_ml.yaml."
        )
    _check_names(data, named)
    try:
        pack = Pack.model_validate(data)
    except ValidationError as error:
        raise wrong_fields("bad_pack", error, named) from error
    from t2v_studio.planning.templates import load_templates

    templates = load_templates()
    for number, topic in enumerate(pack.topics):
        if topic.template not in (*templates, "auto"):
            raise unknown_name(f"{named}: topics.{number}.template", topic.template, [*templates, "auto"])
        for engine in (None, *pack.engines):
            try:
                topic_request(pack, topic, engine=engine)
            except InputError as error:
                raise InputError(
                    error.code, f"{named}: topics.{number} ({topic.slug}): {error.message}", error.hint
                ) from error
    return pack


def read_pack(path: Path) -> Pack:
    """A pack file. Raises InputError that names file and field, with the nearest known name."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            "pack_unreadable", f"pack: {path} cannot be read ({error.strerror}).", "Check the path."
        ) from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError("pack_unreadable", f"{path.name}: {error}", "Correct the YAML of this pack.") from error
    return parse_pack(data, path.name)


def pack_files(workspace: Workspace) -> dict[str, Path]:
    """Pack files by name: those that ship, and those in the workspace's data/packs, which come first."""
    found = {}
    for folder in (SHIPPED / "packs", workspace.data / "packs"):
        found.update({path.stem: path for path in sorted(folder.glob("*.yaml"))})
    return dict(sorted(found.items()))


def find_pack(name_or_path: str, workspace: Workspace) -> Pack:
    """The pack of a name from `pack_files`, or of a path. Raises InputError with the nearest name."""
    files = pack_files(workspace)
    if name_or_path in files:
        return read_pack(files[name_or_path])
    path = Path(name_or_path).expanduser()
    if path.is_file() or path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        return read_pack(path)
    raise unknown_name("pack", name_or_path, list(files))


def topic_request(
    pack: Pack,
    topic: PackTopic,
    *,
    engine: str | None = None,
    seed_offset: int = 0,
    strict: bool = False,
    overrides: dict[str, Any] | None = None,
) -> VideoRequest:
    """What a topic asks for, as its treated arm: overrides before the topic's own, the engine's and the defaults.

    The source footer is off unless the pack asks for it, so that a study of the videos stays blind. strict: no
    scene may be drawn by another engine than the one asked for. Raises InputError.
    """
    given = overrides or {}
    own = engine or given.get("engine") or topic.settings.get("engine") or pack.defaults.get("engine") or "local"
    merged: dict[str, Any] = {}
    for layer in (pack.defaults, pack.engines.get(own, {}), topic.settings, given):
        if any(name in layer for name in LENGTHS):
            merged = {name: value for name, value in merged.items() if name not in LENGTHS}
        merged |= layer
    seed = topic.seed + seed_offset
    if not 0 <= seed <= _SEED_MAX:
        raise InputError(
            "bad_seed", f"seed_offset: {seed_offset} makes the seed {seed}.", "Seeds go from 0 to 2147483647."
        )
    merged.setdefault("show_sources", False)
    merged |= {"topic": topic.topic, "course_template": topic.template, "seed": seed, "engine": own, "use_rag": True}
    return parse_request(merged | ({"fallback_local_on_fail": False} if strict else {}))


def digest(data: dict[str, Any]) -> str:
    """SHA-256 over the canonical JSON of what a run is made from."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _check_names(data: dict[str, Any], named: str) -> None:
    """Refuse unknown keys with the nearest known one, and fields that a pack sets in its own words."""
    _known(data, list(Pack.model_fields), named)
    settable = list(SETTABLE)
    if isinstance(data.get("defaults"), dict):
        _known(data["defaults"], settable, f"{named}: defaults")
    engines = data.get("engines")
    if isinstance(engines, dict):
        _known(engines, list(get_args(VideoRequest.model_fields["engine"].annotation)), f"{named}: engines")
        for name, fields in engines.items():
            if isinstance(fields, dict):
                _known(fields, [one for one in settable if one != "engine"], f"{named}: engines.{name}")
    for number, topic in enumerate(data.get("topics") or []):
        if isinstance(topic, dict):
            _known(topic, [*PackTopic.model_fields, *settable], f"{named}: topics.{number}")


def _known(data: dict[str, Any], known: list[str], where: str) -> None:
    for name in data:
        if name in known:
            continue
        if name in _OWN:
            instead = f"A topic sets it as {_OWN[name]}." if _OWN[name] else "A pack plans each topic itself."
            raise InputError("not_in_packs", f"{where}: {name} cannot stand here.", instead)
        raise unknown_name(where, str(name), known)
