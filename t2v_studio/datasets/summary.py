"""PROJECT_SUMMARY.json: what this project holds, what was measured, and the hash of every file that decided it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from statistics import fmean
from typing import Any

from t2v_studio import __version__
from t2v_studio.adapters.catalogue import catalogue
from t2v_studio.adapters.runs import all_runs
from t2v_studio.datasets.rows import sha256_of
from t2v_studio.datasets.saved import manifest_rows
from t2v_studio.errors import InputError, StudioError
from t2v_studio.production.packs_run import runs_in, write_whole
from t2v_studio.production.pairs import pair_rows
from t2v_studio.production.records import video_rows
from t2v_studio.settings import Settings
from t2v_studio.studies.store import study_rows
from t2v_studio.studies.store_states import REVEALED, now
from t2v_studio.workspace import REPOSITORY, SHIPPED, Workspace

ALL = 1_000_000
CONFIGS = (
    (SHIPPED, "*.yaml", "data"),
    (SHIPPED / "packs", "*.yaml", "data/packs"),
    (SHIPPED / "templates", "*.yaml", "data/templates"),
    (REPOSITORY / "training" / "recipes", "*.yaml", "training/recipes"),
)
SECRET = frozenset({"auth"})
"""Settings that never stand in a summary."""


def project_summary(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """meta, settings, configs[], metrics {videos, studies[]}, adapters[], datasets[], artifacts (kind to count).

    Studies show their results once they are closed; before that they are counted alone.
    """
    videos = video_rows(workspace, ALL)
    return {
        "meta": {"project": "T2V Studio", "version": __version__, "generated_at": now()},
        "settings": _settings(settings),
        "configs": _configs(workspace),
        "metrics": {"videos": _videos(videos), "studies": _studies(workspace)},
        "adapters": _adapters(workspace),
        "datasets": manifest_rows_of(workspace),
        "artifacts": {
            "videos": len(videos),
            "pairs": len(pair_rows(workspace, ALL)),
            "packs": len(runs_in(workspace.packs)),
            "studies": len(study_rows(workspace)),
            "training_runs": len(all_runs(workspace)),
        },
    }


def write_summary(found: dict[str, Any], path: Path) -> Path:
    """Write it whole; a folder gets PROJECT_SUMMARY.json. Raises InputError."""
    path = path.expanduser().absolute()
    path = path / "PROJECT_SUMMARY.json" if path.is_dir() else path
    if not path.parent.is_dir():
        raise InputError("no_such_folder", f"output: there is no folder {path.parent}.", "Make it first.")
    try:
        write_whole(path, json.dumps(found, ensure_ascii=False, indent=2) + "\n")
    except OSError as error:
        raise InputError(
            "not_writable", f"output: {path} cannot be written ({error.strerror}).", "Choose another place."
        ) from error
    return path


def _settings(settings: Settings) -> dict[str, Any]:
    """What differs from the defaults; secrets and places of this machine are left out."""
    changed = settings.model_dump(mode="json", exclude_defaults=True)
    return {name: value for name, value in sorted(changed.items()) if name not in SECRET and not _is_place(name)}


def _is_place(name: str) -> bool:
    return name in ("home", "host", "port") or name.endswith(("_url", "_root", "_dir", "_path", "_token", "_key"))


def _configs(workspace: Workspace) -> list[dict[str, str]]:
    """path and sha256 of what ships and of the user's own packs and settings files."""
    places = [*CONFIGS]
    if workspace.data != SHIPPED:
        places += [
            (workspace.data, "*.yaml", "workspace/data"),
            (workspace.data / "packs", "*.yaml", "workspace/data/packs"),
        ]
    return [
        {"path": f"{name}/{file.name}", "sha256": sha256_of(file)}
        for folder, pattern, name in places
        for file in sorted(folder.glob(pattern))
    ]


def _videos(rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "count": len(rows),
        "seconds": round(sum(row["duration_s"] for row in rows), 1),
        "mean_fps": round(fmean(row["fps"] for row in rows), 3) if rows else None,
        "engines": dict(sorted(Counter(row["engine"] for row in rows).items())),
        "verdicts": dict(sorted(Counter(row["verdict"] for row in rows).items())),
    }


def _studies(workspace: Workspace) -> list[dict[str, Any]]:
    """One row a criterion of each closed study, and one a study that is not closed."""
    found = []
    for study in study_rows(workspace):
        head = {name: study[name] for name in ("id", "title", "state", "design_sha256")}
        if study["state"] not in REVEALED:
            found.append(head)
            continue
        found += [head | row for row in _results(workspace, study["id"])]
    return found


def _results(workspace: Workspace, study_id: str) -> list[dict[str, Any]]:
    from t2v_studio.studies.outcome import analysis

    try:
        report = analysis(workspace, study_id)
    except StudioError as error:
        return [{"error": error.message}]
    used = "kept" if report["kept"] else "all"
    return [
        {
            "criterion": row["criterion"],
            "topics": row["topics"],
            "raters": used,
            "no_rag": row["mean_control"],
            "rag_semantic": row["mean_treated"],
            "gap": row["gap"],
            "ci": [row["ci_low"], row["ci_high"]],
            "p_holm": row["p_holm"],
            "alpha": row["alpha"],
        }
        for row in report[used]["criteria"]
    ]


def _adapters(workspace: Workspace) -> list[dict[str, Any]]:
    kept = {
        "id",
        "name",
        "base_model",
        "base_revision",
        "trigger",
        "scale",
        "rank",
        "alpha",
        "sha256",
        "data_hash",
        "metrics",
        "created_at",
    }
    return [card.model_dump(mode="json", include=kept) for card in catalogue(workspace)]


def manifest_rows_of(workspace: Workspace) -> list[dict[str, Any]]:
    """Saved manifests; their files as paths within the workspace."""
    return [row | {"jsonl": workspace.relative(Path(row["jsonl"]))} for row in manifest_rows(workspace)]
