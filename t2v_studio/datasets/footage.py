"""Captioned footage to scenario_metadata.json: sorted by scenario, split by source video, with first frames."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from t2v_studio.datasets.files import write_manifest
from t2v_studio.datasets.manifest import relative
from t2v_studio.datasets.rows import JSONL, Hasher, ManifestRow, data_hash, latent_path, sha256_of
from t2v_studio.datasets.scenarios import Scenario, assign
from t2v_studio.datasets.sources import Footage
from t2v_studio.datasets.splits import check_leaks, split_families
from t2v_studio.errors import InputError, StudioError
from t2v_studio.production.packs_run import write_whole

METADATA, THUMBNAILS = "scenario_metadata.json", "thumbnails"
NAMES = {"train": "train", "val": "validation"}
Report = Callable[[int, int], None]


@dataclass(frozen=True)
class _Clip:
    footage: Footage
    scenario: str
    caption: str


def build_metadata(
    footage: Sequence[Footage],
    scenarios: dict[str, Scenario],
    folder: Path,
    *,
    validation_ratio: float = 0.1,
    seed: int = 1234,
    limit: int = 1200,
    size: tuple[int, int] = (720, 480),
    min_examples: int | None = None,
    trigger_token: str = "",
    report: Report = lambda done, of: None,
    sha256: Hasher = sha256_of,
) -> dict[str, Any]:
    """Write scenario_metadata.json, manifest.jsonl with its CSV, and thumbnails/ into `folder`; returns counts and paths.

    limit: most clips of a scenario, 0 for all. min_examples: in place of each scenario's own. Paths in the files are
    relative to `folder`. Raises StudioError too_few_examples, before anything is written, where a scenario is short.
    """
    if not 0 <= validation_ratio < 1:
        raise InputError("bad_ratio", f"validation_ratio: {validation_ratio:g}.", "Give 0 to less than 1, such as 0.1.")
    folder = folder.resolve()
    clips, counts = _sorted(footage, scenarios, limit)
    _require(clips, scenarios, min_examples)
    splits, warnings = _split(clips, validation_ratio, seed)
    rows: list[ManifestRow] = []
    entries: dict[str, list[dict[str, Any]]] = {"train": [], "validation": []}
    folder.mkdir(parents=True, exist_ok=True)
    for number, clip in enumerate(clips, start=1):
        try:
            row = _row(clip, scenarios[clip.scenario], folder, splits[clip.footage.family], trigger_token, sha256)
            entry = _entry(row, clip, scenarios[clip.scenario], folder, size)
        except StudioError as error:
            counts["unreadable"] += 1
            warnings.append(f"{clip.footage.name}: {error.message}")
        else:
            entries[NAMES[row.split]].append(entry)
            rows.append(row)
        report(number, len(clips))
    _require_rows(rows, scenarios, min_examples)
    return _write(folder, rows, entries, scenarios, counts, warnings, size)


def _sorted(
    footage: Sequence[Footage], scenarios: dict[str, Scenario], limit: int
) -> tuple[list[_Clip], dict[str, int]]:
    """Each clip with its scenario, at most `limit` a scenario; and how many fell away for what."""
    counts = {"read": len(footage), "no_caption": 0, "no_video": 0, "no_scenario": 0, "over_limit": 0, "unreadable": 0}
    held: Counter[str] = Counter()
    clips = []
    for one in footage:
        if not one.captions:
            counts["no_caption"] += 1
        elif one.file is None:
            counts["no_video"] += 1
        else:
            name, caption = assign(one.captions, scenarios)
            if not name:
                counts["no_scenario"] += 1
            elif limit and held[name] >= limit:
                counts["over_limit"] += 1
            else:
                held[name] += 1
                clips.append(_Clip(one, name, caption))
    return clips, counts


def _require(clips: Sequence[_Clip], scenarios: dict[str, Scenario], least: int | None) -> None:
    _enough(Counter(clip.scenario for clip in clips), scenarios, least)


def _require_rows(rows: Sequence[ManifestRow], scenarios: dict[str, Scenario], least: int | None) -> None:
    _enough(Counter(row.scenario for row in rows), scenarios, least)


def _enough(held: Counter[str], scenarios: dict[str, Scenario], least: int | None) -> None:
    """Raises StudioError too_few_examples, with the counts, unless every scenario has its minimum."""
    short = {
        name: (held[name], wanted)
        for name, scenario in scenarios.items()
        if held[name] < (wanted := scenario.min_examples if least is None else least)
    }
    if short or not held:
        told = "; ".join(f"{name} has {have} of {wanted}" for name, (have, wanted) in short.items()) or "no clip fits"
        raise StudioError(
            "too_few_examples",
            f"Too few clips: {told}.",
            "Add footage or keywords, or lower the minimum with --min-examples.",
            scenarios={name: have for name, (have, _) in short.items()},
        )


def _split(clips: Sequence[_Clip], ratio: float, seed: int) -> tuple[dict[str, str], list[str]]:
    """Source video to train or val, scenario by scenario, so that each has validation clips.

    A source video whose clips fall into several scenarios belongs to the one that most of them are in: it is
    never on both sides.
    """
    seen: dict[str, Counter[str]] = {}
    for clip in clips:
        seen.setdefault(clip.footage.family, Counter())[clip.scenario] += 1
    home = {family: min(found, key=lambda name: (-found[name], name)) for family, found in seen.items()}
    splits: dict[str, str] = {}
    warnings = []
    for scenario in sorted(set(home.values())):
        mine = {family: sum(seen[family].values()) for family, name in home.items() if name == scenario}
        made = split_families(mine, (1 - ratio, ratio, 0.0), seed)
        splits |= made.by_family
        warnings += [f"{scenario}: {text}" for text in made.warnings]
    return splits, warnings


def _row(clip: _Clip, scenario: Scenario, folder: Path, split: str, trigger: str, sha256: Hasher) -> ManifestRow:
    from t2v_studio.datasets.captions import with_trigger
    from t2v_studio.video.decode import probe

    one = clip.footage
    assert one.file is not None
    shape = probe(one.file)
    start = round(one.start_s * shape.fps)
    end = min(shape.frames, round(one.end_s * shape.fps)) if one.end_s is not None else shape.frames
    if end <= start:
        raise InputError("clip_too_short", f"{one.file.name} ends before {one.start_s:g} s.", "It is left out.")
    others = [caption for caption in one.captions if caption != clip.caption]
    return ManifestRow(
        id=f"{one.source}/{one.name}",
        video_path=relative(one.file, folder),
        caption=with_trigger(trigger, clip.caption),
        split="train" if split == "train" else "val",
        topic_tag=clip.scenario,
        family=f"{one.source}/{one.family}",
        source=one.source,
        sha256=sha256(one.file),
        start_frame=start,
        frames=end - start,
        fps=shape.fps,
        width=shape.width,
        height=shape.height,
        scenario=clip.scenario,
        variants=list(dict.fromkeys([*others, *scenario.prompts(clip.caption, clip.scenario)])),
    )


def _entry(row: ManifestRow, clip: _Clip, scenario: Scenario, folder: Path, size: tuple[int, int]) -> dict[str, Any]:
    """A clip as it stands in scenario_metadata.json."""
    image = folder / THUMBNAILS / latent_path(row.sha256, row.scenario, start_frame=row.start_frame, suffix=".png")
    assert clip.footage.file is not None
    first_frame(clip.footage.file, image, size, start_s=row.start_frame / row.fps)
    return {
        "video_path": row.video_path,
        "image_path": relative(image, folder),
        "caption": clip.caption,
        "captions": list(clip.footage.captions),
        "prompt_variants": scenario.prompts(clip.caption, clip.scenario),
        "scenario": row.scenario,
        "latent_path": latent_path(row.sha256, row.scenario, start_frame=row.start_frame),
        "source": row.source,
        "source_video": row.family,
        "sha256": row.sha256,
        **{name: getattr(row, name) for name in ("start_frame", "frames", "fps", "width", "height")},
    }


def first_frame(video: Path, target: Path, size: tuple[int, int], *, start_s: float = 0.0) -> Path:
    """A clip's first frame as PNG of `size`: scaled until it covers it, then cropped about its middle, never stretched.

    A picture that is there is kept: its name holds the clip's hash.
    """
    if target.is_file():
        return target
    from PIL import Image, ImageOps

    from t2v_studio.video.decode import frames

    frame = next(iter(frames(video, start_s=start_s, limit=1)), None)
    if frame is None:
        raise InputError("no_frames", f"{video.name} holds no frame at {start_s:g} s.", "It is left out.")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    ImageOps.fit(Image.fromarray(frame), size, Image.Resampling.LANCZOS).save(part, format="PNG")
    part.replace(target)
    return target


def _write(
    folder: Path,
    rows: Sequence[ManifestRow],
    entries: dict[str, list[dict[str, Any]]],
    scenarios: dict[str, Scenario],
    counts: dict[str, int],
    warnings: list[str],
    size: tuple[int, int],
) -> dict[str, Any]:
    leaks = check_leaks(rows)
    held = {
        name: {split: sum(row.scenario == name and row.split == split for row in rows) for split in NAMES}
        for name in scenarios
    }
    summary = {
        "clips": len(rows),
        "counts": counts,
        "scenarios": {name: {"train": one["train"], "validation": one["val"]} for name, one in held.items()},
        "source_videos": len({row.family for row in rows}),
        "leaks": leaks,
        "warnings": warnings,
        "data_hash": data_hash(rows),
    }
    told = {"thumbnail_size": list(size), "latents": "relative to the trainer's cache folder of a model and geometry"}
    data = {"schema_version": 1, **summary, **told, **entries}
    write_whole(folder / METADATA, json.dumps(data, ensure_ascii=False, indent=2) + "\n")
    written = write_manifest(folder / JSONL, rows)
    return summary | {"metadata": str(folder / METADATA), "manifest": str(written[0]), "csv": str(written[1])}
