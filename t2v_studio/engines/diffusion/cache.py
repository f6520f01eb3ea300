"""What models take on the disk, what a prune would free, and why the rest stays.

A plan is shown first and named by its token; only that very plan is carried out. It holds nothing but
what the ledger says the studio fetched or made itself, file by file: of a repository that two models share, a part
may go. The system's temporary folder is never touched.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from t2v_studio.engines.diffusion.chat_files import chat_entries
from t2v_studio.engines.diffusion.convert import PARTS
from t2v_studio.engines.diffusion.models import model, registry
from t2v_studio.engines.diffusion.store import ModelStore
from t2v_studio.errors import ConflictError
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

Depth = Literal["prune", "purge", "doubles"]
"""prune: what no kept model needs. purge: all that the studio fetched. doubles: wide files of which a narrow copy exists."""

DOUBLE = "a narrower copy is here"


@dataclass(frozen=True)
class Item:
    """One thing on the disk. what: fetched, foreign, copy or partial. files: of fetched ones, as they lie in the snapshot.

    why: the reason of a plan; before there is one, DOUBLE for wide files of which a narrow copy exists.
    """

    what: Literal["fetched", "foreign", "copy", "partial"]
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


def plan(depth: Depth, settings: Settings, workspace: Workspace, in_use: Collection[str], only: str = "") -> Plan:
    """The plan of a depth. in_use: names of models that a job needs; "*" keeps them all. only: of doubles, one model's.

    Raises InputError for a mistake in T2V_MODEL_ID or in the user's list of models, which say what is to be kept.
    """
    store = ModelStore.of(settings, workspace)
    held = {*in_use, *store.held()}
    firm, usual = _keepers(depth, settings, workspace, store, held)
    goes: list[Item] = []
    stays: list[Item] = []
    users = _users(workspace, store)
    for item in [*_fetched(store, workspace, users), *_copies(store, users)]:
        double = item.why == DOUBLE and (not only or only in item.models)
        reason = _reason(item, firm) or ("" if double else _reason(item, usual))
        if item.what == "foreign":
            stays.append(item)
        elif reason or (depth == "doubles" and not double):
            stays.append(replace(item, why=reason or "no narrower copy of it is here"))
        else:
            other = "no kept model needs it" if depth == "prune" else "everything is to go"
            goes.append(replace(item, why=DOUBLE if double else other))
    goes += _partials(store, held) if depth != "doubles" else []
    freed = sum(item.bytes for item in goes)
    text = repr([(item.what, item.name, item.revision, item.path, item.files) for item in goes])
    return Plan(depth, goes, stays, freed, hashlib.sha256(text.encode()).hexdigest()[:16])


def execute(
    shown: str, depth: Depth, settings: Settings, workspace: Workspace, in_use: Collection[str], only: str = ""
) -> Plan:
    """Carry out the plan whose token was shown. Raises ConflictError `plan_changed` where the disk says otherwise now."""
    store = ModelStore.of(settings, workspace)
    current = plan(depth, settings, workspace, in_use, only)
    if current.token != shown:
        raise ConflictError(
            "plan_changed", "The cache has changed since the plan was shown.", "Look at the new plan first."
        )
    _delete_fetched(store, [item for item in current.goes if item.what == "fetched"])
    for item in current.goes:
        if item.what in ("copy", "partial"):
            _remove(Path(item.path), store)
    return current


def _delete_fetched(store: ModelStore, items: list[Item]) -> None:
    """Files, then the commits of which nothing is left, then their lines in the ledger."""
    from huggingface_hub import scan_cache_dir

    if not items:
        return
    wanted = {path for item in items for path in item.files}
    found = scan_cache_dir(store.hub)
    listed = [file for repo in found.repos for one in repo.revisions for file in one.files]
    found.delete_files(*[file for file in listed if str(file.file_path) in wanted]).execute()
    found, ours = scan_cache_dir(store.hub), {item.revision for item in items}
    empty = [one.commit_hash for repo in found.repos for one in repo.revisions if not one.files]
    empty = [commit for commit in empty if commit in ours]
    found.delete_revisions(*empty).execute()
    with store.editing() as ledger:
        for row in ledger["snapshots"]:
            folder = store.repo(row["repo_id"]) / "snapshots" / row["revision"]
            row["files"] = {name: size for name, size in row["files"].items() if str(folder / name) not in wanted}
        ledger["snapshots"] = [row for row in ledger["snapshots"] if row["files"]]


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
    depth: Depth, settings: Settings, workspace: Workspace, store: ModelStore, held: Collection[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Names of kept models with the reason: those whose every file stays, and those that can do with a narrow copy."""
    entries = registry(workspace)
    firm = dict.fromkeys(store.ledger()["pinned"], "it is pinned")
    firm |= dict.fromkeys(entries if "*" in held else held, "a job uses it or waits for it")
    if depth != "prune":
        return firm, {}
    usual = {one.name: "it was fetched by its name; t2v cache purge deletes it" for one in chat_entries()}
    usual |= dict.fromkeys(store.defaults_elsewhere(workspace), "it is the default model of another workspace")
    return firm, usual | {model("", settings, workspace).name: "it is the default model (T2V_MODEL_ID)"}


def _reason(item: Item, keepers: dict[str, str]) -> str:
    return next((f"{name}: {keepers[name]}" for name in item.models if name in keepers), "")


Users = dict[tuple[str, str, str], tuple[str, ...]]
"""Which models need a part of a commit: (repo id, commit, part) to names; "" for the files beside the parts."""


def _users(workspace: Workspace, store: ModelStore) -> Users:
    users: dict[tuple[str, str, str], dict[str, None]] = {}
    entries: list[Any] = [*registry(workspace).values(), *chat_entries()]
    for entry in entries:
        for bundle in entry.bundles():
            for part in (*bundle.parts, ""):
                users.setdefault((bundle.repo_id, store.commit(bundle), part), {})[entry.name] = None
    return {key: tuple(names) for key, names in users.items()}


# --- what is there -----------------------------------------------------------------------------
def _fetched(store: ModelStore, workspace: Workspace, users: Users) -> Iterator[Item]:
    """What lies in the hub's cache: the files of the ledger, together where the same models need them; the rest as foreign."""
    from huggingface_hub import scan_cache_dir

    if not store.hub.is_dir():
        return
    own = {(row["repo_id"], row["revision"]): row["files"] for row in store.ledger()["snapshots"]}
    doubles = _doubles(store, workspace)
    for repo in sorted(scan_cache_dir(store.hub).repos, key=lambda one: one.repo_id):
        for revision in sorted(repo.revisions, key=lambda one: one.commit_hash):
            key = (repo.repo_id, revision.commit_hash)
            listed = own.get(key, {}) if repo.repo_type == "model" else {}
            groups: dict[tuple[bool, tuple[str, ...], str], list[Any]] = {}
            for file in revision.files:
                name = file.file_path.relative_to(revision.snapshot_path).as_posix()
                part = name.rpartition("/")[0]
                group = (
                    name in listed,
                    users.get((*key, part), ()) if name in listed else (),
                    DOUBLE if (*key, part) in doubles and name.endswith(".safetensors") else "",
                )
                groups.setdefault(group, []).append(file)
            for (ours, names, why), files in sorted(groups.items()):
                parts = sorted({file.file_path.parent.name for file in files} - {revision.snapshot_path.name})
                yield Item(
                    what="fetched" if ours else "foreign",
                    name=f"{repo.repo_id} ({', '.join(parts)})" if len(groups) > 1 and parts else repo.repo_id,
                    bytes=sum(file.size_on_disk for file in files),
                    why=why if ours else "the studio did not fetch it",
                    path=str(revision.snapshot_path),
                    models=names,
                    revision=revision.commit_hash,
                    last_used=repo.last_accessed,
                    files=tuple(sorted(str(file.file_path) for file in files)) if ours else (),
                )


def _copies(store: ModelStore, users: Users) -> Iterator[Item]:
    """Converted copies, one item a part."""
    for folder in sorted(store.converted.glob("*/*/*/*")):
        name, revision, dtype, part = folder.parts[-4:]
        repo_id = name.replace("--", "/", 1)
        needed = users.get((repo_id, revision, part), ())
        yield Item("copy", f"{repo_id} ({part}, {dtype})", store.size_of(folder), "", str(folder), needed, revision)


def _doubles(store: ModelStore, workspace: Workspace) -> set[tuple[str, str, str]]:
    """(repo id, commit, part) of which a complete narrow copy is here."""
    bundles: Iterable[Any] = (bundle for entry in registry(workspace).values() for bundle in entry.bundles())
    return {
        (bundle.repo_id, store.commit(bundle), part)
        for bundle in bundles
        for part in bundle.parts
        if part in PARTS and store.narrow_copy(bundle, part) is not None
    }


def _partials(store: ModelStore, held: Collection[str]) -> list[Item]:
    """Beginnings of files that no download is working on, in repositories of the ledger."""
    if held:
        return []
    own = {row["repo_id"] for row in store.ledger()["snapshots"]}
    return [
        Item("partial", repo_id, path.stat().st_size, "an unfinished download; it would start again", str(path))
        for repo_id in sorted(own)
        for path in sorted((store.repo(repo_id) / "blobs").glob("*.incomplete"))
    ]
