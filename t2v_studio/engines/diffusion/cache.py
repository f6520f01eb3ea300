"""What models take on the disk, what a prune would free, and why the rest stays.

A plan is shown first and named by its token; only that very plan is carried out. It holds nothing but
what the ledger says the studio fetched or made itself. The system's temporary folder is never touched.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from t2v_studio.engines.diffusion.chat_files import chat_entries
from t2v_studio.engines.diffusion.convert import PARTS
from t2v_studio.engines.diffusion.models import model, registry
from t2v_studio.engines.diffusion.store import COMPLETE, ModelStore
from t2v_studio.errors import ConflictError
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

Depth = Literal["prune", "purge", "doubles"]
"""prune: what no kept model needs. purge: all that the studio fetched. doubles: wide files of which a narrow copy exists."""


@dataclass(frozen=True)
class Item:
    """One thing on the disk. what: commit, files, copy, partial or foreign. files: entries that go, for what=files."""

    what: Literal["commit", "files", "copy", "partial", "foreign"]
    name: str
    bytes: int
    why: str
    path: str
    models: tuple[str, ...] = ()
    revision: str = ""
    last_used: float = 0.0
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """What would go and what stays, each with its reason. token: names exactly this plan."""

    depth: Depth
    goes: list[Item]
    stays: list[Item]
    freed: int
    token: str = field(default="")

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def plan(depth: Depth, settings: Settings, workspace: Workspace, in_use: Collection[str]) -> Plan:
    """The plan of a depth. in_use: names of models that a job has loaded or is queued with; "*" keeps them all."""
    store = ModelStore.of(settings, workspace)
    keepers = _keepers(depth, settings, workspace, store, in_use)
    goes: list[Item] = []
    stays: list[Item] = []
    for item in _hub_items(store, workspace) + _copies(store, workspace):
        reason = "" if depth == "doubles" else _reason(item, keepers)
        if item.what == "foreign":
            stays.append(item)
        elif depth == "doubles" or reason:
            stays.append(_with(item, why=reason or "not a double"))
        else:
            goes.append(_with(item, why="no kept model needs it" if depth == "prune" else "everything is to go"))
    doubles = _doubles(store, workspace, in_use)
    taken = {(item.name, item.revision) for item in goes}
    goes += [item for item in doubles if (item.name, item.revision) not in taken]
    goes += _partials(store, in_use) if depth != "doubles" else []
    freed = sum(item.bytes for item in goes)
    text = repr([(item.what, item.name, item.revision, item.path, item.files) for item in goes])
    return Plan(depth, goes, stays, freed, hashlib.sha256(text.encode()).hexdigest()[:16])


def execute(shown: str, depth: Depth, settings: Settings, workspace: Workspace, in_use: Collection[str]) -> Plan:
    """Carry out the plan whose token was shown. Raises ConflictError `plan_changed` where the disk says otherwise now."""
    from huggingface_hub import scan_cache_dir

    store = ModelStore.of(settings, workspace)
    current = plan(depth, settings, workspace, in_use)
    if current.token != shown:
        raise ConflictError(
            "plan_changed", "The cache has changed since the plan was shown.", "Look at the new plan first."
        )
    commits = [item.revision for item in current.goes if item.what == "commit"]
    files = {path for item in current.goes if item.what == "files" for path in item.files}
    if commits or files:
        found = scan_cache_dir(store.hub)
        if files:
            listed = [file for repo in found.repos for one in repo.revisions for file in one.files]
            found.delete_files(*[file for file in listed if str(file.file_path) in files]).execute()
        if commits:
            scan_cache_dir(store.hub).delete_revisions(*commits).execute()
    for item in current.goes:
        if item.what in ("copy", "partial"):
            _remove(Path(item.path), store)
    with store.editing() as ledger:
        ledger["snapshots"] = [row for row in ledger["snapshots"] if row["revision"] not in commits]
    return current


def _remove(path: Path, store: ModelStore) -> None:
    """Delete a copy or a partial file that lies inside the store, and nothing else."""
    if not path.resolve().is_relative_to(store.root.resolve()):
        raise ConflictError("outside_cache", f"{path} lies outside the model cache.", "Nothing was deleted there.")
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# --- what is kept ------------------------------------------------------------------------------
def _keepers(
    depth: Depth, settings: Settings, workspace: Workspace, store: ModelStore, in_use: Collection[str]
) -> dict[str, str]:
    """Names of kept models with the reason."""
    entries = registry(workspace)
    kept: dict[str, str] = {}
    if depth == "prune":
        kept |= {one.name: "it was fetched by its name; t2v cache purge deletes it" for one in chat_entries()}
        kept[model("", settings, workspace).name] = "it is the default model (T2V_MODEL_ID)"
    kept |= dict.fromkeys(store.ledger()["pinned"], "it is pinned")
    kept |= dict.fromkeys(entries if "*" in in_use else in_use, "a job uses it or waits for it")
    return kept


def _reason(item: Item, keepers: dict[str, str]) -> str:
    for name in item.models:
        if name in keepers:
            return f"{name}: {keepers[name]}"
    return ""


def _users(workspace: Workspace, store: ModelStore) -> dict[tuple[str, str], list[str]]:
    """Which models need a commit: (repo id, commit) to names."""
    users: dict[tuple[str, str], list[str]] = {}
    entries: list[Any] = [*registry(workspace).values(), *chat_entries()]
    for entry in entries:
        for bundle in entry.bundles():
            users.setdefault((bundle.repo_id, store.commit(bundle)), []).append(entry.name)
    return users


# --- what is there -----------------------------------------------------------------------------
def _hub_items(store: ModelStore, workspace: Workspace) -> list[Item]:
    """Commits in the hub's cache: the studio's own from the ledger, the others as foreign."""
    from huggingface_hub import scan_cache_dir

    if not store.hub.is_dir():
        return []
    own = {(row["repo_id"], row["revision"]) for row in store.ledger()["snapshots"]}
    users = _users(workspace, store)
    items = []
    for repo in scan_cache_dir(store.hub).repos:
        for revision in repo.revisions:
            key = (repo.repo_id, revision.commit_hash)
            ours = key in own and repo.repo_type == "model"
            items.append(
                Item(
                    what="commit" if ours else "foreign",
                    name=repo.repo_id,
                    bytes=revision.size_on_disk,
                    why="" if ours else "the studio did not fetch it",
                    path=str(revision.snapshot_path),
                    models=tuple(users.get(key, ())),
                    revision=revision.commit_hash,
                    last_used=repo.last_accessed,
                )
            )
    return sorted(items, key=lambda item: (item.what, item.name, item.revision))


def _copies(store: ModelStore, workspace: Workspace) -> list[Item]:
    """Converted copies, one item a repository, commit and number format."""
    users = _users(workspace, store)
    items = []
    for folder in sorted(store.converted.glob("*/*/*")):
        repo_id = folder.parts[-3].replace("--", "/", 1)
        items.append(
            Item(
                what="copy",
                name=f"{repo_id} ({folder.name})",
                bytes=store.size_of(folder),
                why="",
                path=str(folder),
                models=tuple(users.get((repo_id, folder.parts[-2]), ())),
                revision=folder.parts[-2],
            )
        )
    return items


def _doubles(store: ModelStore, workspace: Workspace, in_use: Collection[str]) -> list[Item]:
    """Wide files in the hub's cache whose part has a complete narrow copy; fetched by the studio, in no job's use."""
    own = {(row["repo_id"], row["revision"]) for row in store.ledger()["snapshots"]}
    users = _users(workspace, store)
    own -= {key for key, names in users.items() if "*" in in_use or set(names) & set(in_use)}
    found: dict[tuple[str, str], Item] = {}
    for entry in registry(workspace).values():
        for bundle in entry.bundles():
            snapshot = store.snapshot(bundle)
            if snapshot is None or (bundle.repo_id, snapshot.name) not in own:
                continue
            files = [
                file
                for part in bundle.parts
                if part in PARTS and _has_copy(store, bundle, part)
                for file in sorted((snapshot / part).glob("*.safetensors"))
            ]
            key = (bundle.repo_id, snapshot.name)
            if files:
                before = set(found[key].files) if key in found else set()
                every = sorted(before | {str(file) for file in files})
                size = sum(Path(file).stat().st_size for file in every)
                found[key] = Item(
                    "files",
                    bundle.repo_id,
                    size,
                    "a narrower copy is here",
                    str(snapshot),
                    (entry.name,),
                    snapshot.name,
                    files=tuple(every),
                )
    return list(found.values())


def _has_copy(store: ModelStore, bundle: Any, part: str) -> bool:
    folders = [store.converted_folder(bundle, part, dtype) for dtype in ("bfloat16", "float16")]
    return any(folder is not None and (folder / COMPLETE).is_file() for folder in folders)


def _partials(store: ModelStore, in_use: Collection[str]) -> list[Item]:
    """Beginnings of files that no download is working on, in repositories of the ledger."""
    if in_use:
        return []
    own = {row["repo_id"] for row in store.ledger()["snapshots"]}
    return [
        Item("partial", repo_id, path.stat().st_size, "an unfinished download; it would start again", str(path))
        for repo_id in sorted(own)
        for path in sorted((store.repo(repo_id) / "blobs").glob("*.incomplete"))
    ]


def _with(item: Item, *, why: str) -> Item:
    return Item(**{**asdict(item), "why": why})
