"""Manifests of a workspace: outputs/manifests/<id>/ with rows, what they were built from, and what was left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from t2v_studio.datasets import captions
from t2v_studio.datasets.files import write_manifest
from t2v_studio.datasets.manifest import Built, Exclusion, ManifestSpec, reason_counts
from t2v_studio.datasets.rows import JSONL, ManifestRow, data_hash, read_manifest
from t2v_studio.datasets.splits import check_leaks, split_table
from t2v_studio.errors import NotFoundError, StudioError
from t2v_studio.production.packs_run import write_whole
from t2v_studio.studies.store_states import now
from t2v_studio.workspace import Workspace

ABOUT = "about.json"
"""Written last: a folder without it is not a manifest."""


def save(workspace: Workspace, manifest_id: str, built: Built, origin: dict[str, Any]) -> dict[str, Any]:
    """Write a built manifest under its id; returns `load`. origin: input_root and globs, for the record."""
    write_manifest(built.folder / JSONL, built.rows)
    about = {
        "id": manifest_id,
        "created_at": now(),
        "spec": built.spec.model_dump(mode="json"),
        "origin": origin,
        "data_hash": data_hash(built.rows),
        "warnings": built.splitting.warnings,
        "notices": built.notices,
        "exclusions": [one.model_dump(mode="json") for one in built.exclusions],
    }
    _write_about(built.folder, about)
    return load(workspace, manifest_id)


def load(workspace: Workspace, manifest_id: str) -> dict[str, Any]:
    """One manifest: id, created_at, spec, origin, folder, jsonl, csv, clips, excluded, reasons, splits, leaks, warnings,
    notices, data_hash, edited_at, exclusions[]. Raises NotFoundError."""
    folder = workspace.manifest(manifest_id)
    about = _about(folder)
    rows = read_manifest(folder)
    exclusions = [Exclusion.model_validate(one) for one in about.pop("exclusions")]
    return about | {
        "edited_at": about.get("edited_at", ""),
        "folder": str(folder),
        "jsonl": str(folder / JSONL),
        "csv": str((folder / JSONL).with_suffix(".csv")),
        "clips": len(rows),
        "excluded": len(exclusions),
        "reasons": reason_counts(exclusions),
        "splits": split_table(rows),
        "leaks": check_leaks(rows),
        "exclusions": [one.model_dump(mode="json") for one in exclusions],
    }


def manifest_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """Newest first: id, created_at, clips, excluded, train, val, test, trigger_token, min_score, data_hash, jsonl."""
    found = []
    for path in workspace.manifests.glob(f"*/{ABOUT}"):
        try:
            one = load(workspace, path.parent.name)
        except StudioError:  # a folder of another kind, or one that was spoilt by hand: opening it says how
            continue
        row = {name: one[name] for name in ("id", "created_at", "clips", "excluded", "data_hash", "jsonl")}
        row |= {split["split"]: split["clips"] for split in one["splits"]}
        found.append(row | {name: one["spec"][name] for name in ("trigger_token", "min_score")})
    return sorted(found, key=lambda row: (row["created_at"], row["id"]), reverse=True)


def edit_caption(workspace: Workspace, manifest_id: str, row_id: str, text: str) -> ManifestRow:
    """Write a caption by hand: into this manifest, and kept for every later one. An empty text is refused.

    Raises NotFoundError, InputError.
    """
    folder = workspace.manifest(manifest_id)
    about = _about(folder)
    spec = ManifestSpec.model_validate(about["spec"])
    rows = read_manifest(folder)
    row = find_row(rows, row_id)
    bare = captions.checked_caption(captions.without_trigger(spec.trigger_token, text))
    if row.record_id:
        captions.store_override(workspace, row.record_id, row.scene, bare)
    edited = row.model_copy(update={"caption": captions.with_trigger(spec.trigger_token, bare)})
    rewrite(folder, about, [edited if one.id == row_id else one for one in rows])
    return edited


def rewrite(folder: Path, about: dict[str, Any], rows: Sequence[ManifestRow]) -> None:
    """Rows of a saved manifest in place of the old ones."""
    write_manifest(folder / JSONL, rows)
    _write_about(folder, about | {"data_hash": data_hash(rows), "edited_at": now()})


def find_row(rows: Sequence[ManifestRow], row_id: str) -> ManifestRow:
    """Raises NotFoundError."""
    for row in rows:
        if row.id == row_id:
            return row
    raise NotFoundError("unknown_clip", f"There is no clip {row_id!r} in this manifest.", "Copy the id from its rows.")


def _about(folder: Path) -> dict[str, Any]:
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NotFoundError(
            "unknown_manifest", f"There is no manifest {folder.name!r}.", "List them with: t2v manifest show"
        ) from error
    return about


def _write_about(folder: Path, about: dict[str, Any]) -> None:
    write_whole(folder / ABOUT, json.dumps(about, ensure_ascii=False, indent=2) + "\n")
