"""Records and ratings to the rows of a training set; every clip that is left out has its reason."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from t2v_studio.datasets import captions
from t2v_studio.datasets.clips import Found
from t2v_studio.datasets.ratings import ClipScore, Held, family_of
from t2v_studio.datasets.rows import Hasher, ManifestRow, data_hash, nothing_left, slug
from t2v_studio.datasets.splits import SHARES, Splitting, check_leaks, checked_shares, split_families, split_table
from t2v_studio.errors import InputError, unknown_name, wrong_fields
from t2v_studio.planning.plan import Scene
from t2v_studio.production.record import SceneRecord, VideoRecord
from t2v_studio.studies.rubric import labels
from t2v_studio.studies.store_states import OPEN

Include = Literal["fallback", "gif", "degenerate", "study"]
TRIGGER = "acad_course_v1"


class ManifestSpec(BaseModel):
    """What goes into a manifest: the flags of `t2v manifest build`, and the fields of the tab."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trigger_token: str = Field(TRIGGER, description="First word of every caption; empty for none.")
    split: tuple[float, float, float] = Field(SHARES, description="Shares of train, val and test.")
    seed: int = Field(42, ge=0, description="Decides which family goes where.")
    unit: Literal["video", "scene"] = Field("video", description="A row for each whole video, or for each scene.")
    min_score: float | None = Field(None, ge=1, le=5, description="Lowest mean score; clips without one are left out.")
    criterion: tuple[str, ...] = Field((), description="Criteria that must reach min_score; none: their mean must.")
    engine: tuple[str, ...] = Field((), description="Engines that drew the clip; none: any.")
    topic: tuple[str, ...] = Field((), description="Topic tags; none: any.")
    verdict: tuple[str, ...] = Field((), description="Verdicts that are wanted; none: ok.")
    include: tuple[Include, ...] = Field(
        (), description="What is left out otherwise: fallback, gif, degenerate, study."
    )
    test_study: tuple[str, ...] = Field((), description="Studies whose topics and seeds are kept for tests.")

    @field_validator("split")
    @classmethod
    def _adds_up(cls, shares: tuple[float, float, float]) -> tuple[float, float, float]:
        return checked_shares(shares)

    @field_validator("trigger_token")
    @classmethod
    def _one_token(cls, trigger: str) -> str:
        return captions.checked_trigger(trigger.strip())


def parse_spec(data: dict[str, Any]) -> ManifestSpec:
    """A spec from flags or fields. Raises InputError that names the field, with the nearest known name."""
    for name in data:
        if name not in ManifestSpec.model_fields:
            raise unknown_name("manifest", name, list(ManifestSpec.model_fields))
    for name in data.get("criterion") or ():
        if name not in labels():
            raise unknown_name("criterion", name, list(labels()))
    for name in data.get("include") or ():
        if name not in get_args(Include):
            raise unknown_name("include", name, list(get_args(Include)))
    try:
        spec = ManifestSpec.model_validate(data)
    except ValidationError as error:
        raise wrong_fields("bad_manifest_spec", error) from error
    if spec.criterion and spec.min_score is None:
        raise InputError("criterion_alone", "criterion: it needs a lowest score.", "Give --min-score as well.")
    return spec


class Exclusion(BaseModel):
    """A clip that is left out, and every reason for it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    topic: str = ""
    video: str = Field(description="File, relative to the manifest.")
    reasons: list[dict[str, str]] = Field(description="code and message of each.")


@dataclass(frozen=True)
class Built:
    """A manifest before it is written. Paths of rows and exclusions are relative to `folder`."""

    spec: ManifestSpec
    folder: Path
    rows: list[ManifestRow]
    exclusions: list[Exclusion]
    splitting: Splitting
    notices: list[str]

    def summary(self) -> dict[str, Any]:
        """clips, excluded, reasons (code to count), splits, leaks, warnings, notices, data_hash."""
        return {
            "clips": len(self.rows),
            "excluded": len(self.exclusions),
            "reasons": reason_counts(self.exclusions),
            "splits": split_table(self.rows),
            "leaks": check_leaks(self.rows),
            "warnings": self.splitting.warnings,
            "notices": self.notices,
            "data_hash": data_hash(self.rows),
        }


@dataclass
class _Candidate:
    """A clip on its way: a whole video, or one scene of it."""

    found: Found
    record: VideoRecord
    scenes: list[SceneRecord]
    plan_scene: Scene | None
    start_frame: int
    reasons: list[dict[str, str]] = field(default_factory=list)
    sha256: str = ""

    @property
    def id(self) -> str:
        return f"{self.record.id}#{self.plan_scene.id}" if self.plan_scene else self.record.id

    @property
    def engines(self) -> list[str]:
        return list(dict.fromkeys(scene.engine for scene in self.scenes))

    @property
    def fallback(self) -> bool:
        return any(scene.fallback or scene.engine != self.record.request.engine for scene in self.scenes)

    @property
    def verdict(self) -> str:
        return self.scenes[0].verdict if self.plan_scene else self.record.verdict

    @property
    def topic_tag(self) -> str:
        return topic_tag(self.record)

    def refuse(self, code: str, message: str) -> None:
        self.reasons.append({"code": code, "message": message})


def topic_tag(record: VideoRecord) -> str:
    """The lesson template that planned it; a topic of the general template is its own tag."""
    return record.plan.template if record.plan.template != "general" else slug(record.plan.topic)


def build(
    spec: ManifestSpec,
    clips: Sequence[Found],
    folder: Path,
    *,
    scores: Mapping[str, ClipScore],
    held: Mapping[str, Held],
    overrides: Mapping[tuple[str, str], str],
    sha256: Hasher,
) -> Built:
    """The rows of the clips that pass, split by family, and the others with their reasons.

    folder: where the manifest will lie. scores, held, overrides: see ratings and captions. Raises
    StudioError empty_manifest where nothing passes.
    """
    folder = folder.resolve()
    candidates, exclusions = _candidates(spec, clips, folder)
    for one in candidates:
        _judge(one, spec, scores, held, sha256)
    _duplicates(candidates)
    kept = [one for one in candidates if not one.reasons]
    exclusions = [*(_excluded(one, folder) for one in candidates if one.reasons), *exclusions]
    splitting = split_families(Counter(family_of(one.record) for one in kept), spec.split, spec.seed)
    rows = [_row(one, spec, folder, scores, overrides, splitting) for one in kept]
    return Built(spec, folder, rows, exclusions, splitting, _notices(rows))


def require_rows(built: Built) -> None:
    """Raises StudioError empty_manifest, which says what left the clips out."""
    if built.rows:
        return
    if not built.exclusions:
        raise nothing_left("there are no videos.")
    told = ", ".join(f"{count} {code.replace('_', ' ')}" for code, count in reason_counts(built.exclusions).items())
    raise nothing_left(f"all {len(built.exclusions)} are left out ({told}).")


def reason_counts(exclusions: Sequence[Exclusion]) -> dict[str, int]:
    """Code to how many clips it leaves out, most first; a clip counts under each of its reasons."""
    return dict(Counter(reason["code"] for one in exclusions for reason in one.reasons).most_common())


def _candidates(spec: ManifestSpec, clips: Sequence[Found], folder: Path) -> tuple[list[_Candidate], list[Exclusion]]:
    candidates, exclusions = [], []
    for found in clips:
        record = found.record
        if record is None:
            assert found.trouble is not None
            code, message = found.trouble
            name = relative(found.file, folder)
            exclusions.append(Exclusion(id=name, video=name, reasons=[{"code": code, "message": message}]))
        elif spec.unit == "video":
            candidates.append(_Candidate(found, record, list(record.scenes), None, 0))
        else:
            first = 0
            for scene, made in zip(record.plan.scenes, record.scenes, strict=True):
                candidates.append(_Candidate(found, record, [made], scene, first))
                first += made.frames
    return candidates, exclusions


def _judge(
    one: _Candidate, spec: ManifestSpec, scores: Mapping[str, ClipScore], held: Mapping[str, Held], sha256: Hasher
) -> None:
    """Write down every reason to leave a clip out."""
    if one.found.trouble is not None:
        one.refuse(*one.found.trouble)
    else:
        one.sha256 = sha256(one.found.file)
        if one.record.video_sha256 and one.sha256 != one.record.video_sha256:
            one.refuse("hash_mismatch", "The file is not the one that its record describes.")
    if one.found.file.suffix.lower() == ".gif" and "gif" not in spec.include:
        one.refuse("gif", "A GIF has 256 colours: it was written because there was no video encoder.")
    if one.fallback and "fallback" not in spec.include:
        one.refuse("fallback", f"Asked of {one.record.request.engine}, drawn by {' and '.join(one.engines)}.")
    _judge_verdict(one, spec)
    study = held.get(family_of(one.record))
    if study is not None and "study" not in spec.include:
        code = "open_study" if study.state in OPEN else "test_study"
        why = "is being scored blind" if code == "open_study" else "is kept for tests"
        one.refuse(code, f"Same topic and seed as a clip of “{study.title}”, which {why}.")
    if spec.engine and not set(one.engines) & set(spec.engine):
        one.refuse("engine", f"Drawn by {' and '.join(one.engines)}.")
    if spec.topic and one.topic_tag not in spec.topic:
        one.refuse("topic", f"Its topic is {one.topic_tag}.")
    _judge_score(one, spec, scores.get(one.record.id))


def _judge_verdict(one: _Candidate, spec: ManifestSpec) -> None:
    if spec.verdict and one.verdict not in spec.verdict:
        one.refuse("verdict", f"It looks {one.verdict.replace('_', ' ')}.")
    elif not spec.verdict and one.verdict != "ok" and "degenerate" not in spec.include:
        one.refuse("degenerate", f"It looks {one.verdict.replace('_', ' ')}.")


def _judge_score(one: _Candidate, spec: ManifestSpec, given: ClipScore | None) -> None:
    if spec.min_score is None:
        return
    if given is None or given.overall is None:
        one.refuse("not_scored", "No closed study has scored it.")
        return
    wanted = {name: given.means.get(name) for name in spec.criterion} or {"mean": given.overall}
    for name, value in wanted.items():
        if value is None:
            one.refuse("not_scored", f"Nobody could judge its {labels()[name].lower()}.")
        elif value < spec.min_score:
            one.refuse("low_score", f"{labels().get(name, 'Mean score')}: {value:.2f}, below {spec.min_score:g}.")


def _duplicates(candidates: Sequence[_Candidate]) -> None:
    """Of clips with the same pictures, made again say, the first that passes stays."""
    first: dict[tuple[str, str], _Candidate] = {}
    for one in sorted(candidates, key=lambda one: (one.record.created_at, one.id)):
        if one.reasons:
            continue
        key = (one.record.frames_sha256, one.plan_scene.id if one.plan_scene else "")
        earlier = first.setdefault(key, one)
        if earlier is not one:
            one.refuse("duplicate", f"Shows the same pictures as {earlier.id}.")


def _row(
    one: _Candidate,
    spec: ManifestSpec,
    folder: Path,
    scores: Mapping[str, ClipScore],
    overrides: Mapping[tuple[str, str], str],
    splitting: Splitting,
) -> ManifestRow:
    record, scene = one.record, one.plan_scene
    given = scores.get(record.id, ClipScore())
    own = captions.scene_caption(record.plan, scene) if scene else captions.plan_caption(record.plan)
    text = overrides.get((record.id, scene.id if scene else ""), own)
    family = family_of(record)
    adapter = record.adapter or {}
    return ManifestRow(
        id=one.id,
        video_path=relative(one.found.file, folder),
        caption=captions.with_trigger(spec.trigger_token, text),
        split=splitting.by_family[family],
        topic_tag=one.topic_tag,
        topic=record.plan.topic,
        family=family,
        record_id=record.id,
        scene=scene.id if scene else "",
        score=given.overall,
        scores=given.means,
        ratings=given.count,
        sha256=one.sha256,
        start_frame=one.start_frame,
        frames=sum(made.frames for made in one.scenes),
        fps=record.fps,
        width=record.width,
        height=record.height,
        engine="+".join(one.engines),
        model="+".join(dict.fromkeys(made.model for made in one.scenes if made.model)),
        verdict=one.verdict,
        arm=record.arm,
        seed=record.request.seed,
        fallback=one.fallback,
        adapter=str(adapter.get("id") or adapter.get("name") or ""),
    )


def _excluded(one: _Candidate, folder: Path) -> Exclusion:
    return Exclusion(
        id=one.id, topic=one.record.plan.topic, video=relative(one.found.file, folder), reasons=one.reasons
    )


def _notices(rows: Sequence[ManifestRow]) -> list[str]:
    found = []
    unscored = sum(row.score is None for row in rows)
    if unscored:
        found.append(
            f"{unscored} of {len(rows)} clips were never scored in a closed study: an adapter would learn from output "
            "that nobody has judged. A lowest score leaves them out."
        )
    own = sum(bool(row.adapter) for row in rows)
    if own:
        found.append(f"{own} of {len(rows)} clips were made with an adapter: the next one would learn from its output.")
    rates = sorted({row.fps for row in rows})
    if len(rates) > 1:
        found.append(f"The clips run at {', '.join(f'{rate:g}' for rate in rates)} frames a second.")
    return found


def relative(file: Path, folder: Path) -> str:
    """`file` as it stands in a manifest that lies in `folder`: relative, with slashes. Both without links."""
    return Path(os.path.relpath(file, folder)).as_posix()


def moved(rows: Sequence[ManifestRow], before: Path, after: Path) -> list[ManifestRow]:
    """Rows of a manifest in folder `before` as they stand in one in folder `after`."""
    after = after.resolve()
    return [row.model_copy(update={"video_path": relative((before / row.video_path).resolve(), after)}) for row in rows]
