"""Video models and their cache, as the interfaces see them. `Studio.models` is one of these."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from t2v_studio.errors import ConflictError, InputError, StudioError, UnavailableError, unknown_name
from t2v_studio.jobs.model import Job
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

Depth = Literal["prune", "purge", "doubles"]
Ask = Callable[[dict[str, Any]], bool]
KINDS = ("download", "convert_model")
_DTYPES = {"bf16": "bfloat16", "fp16": "float16", "bfloat16": "bfloat16", "float16": "float16"}


class ModelShelf:
    """Rows are plain dicts, ready for JSON. Nothing here loads a model; downloads and conversions are jobs."""

    def __init__(
        self, settings: Settings, workspace: Workspace, submit: Callable[..., Job], jobs: Callable[..., list[Job]]
    ) -> None:
        """submit: queues (kind, lane, spec, title). jobs: the newest jobs of the queue."""
        self._settings = settings
        self._workspace = workspace
        self._submit = submit
        self._jobs = jobs

    # --- models ------------------------------------------------------------------------------
    def rows(self) -> list[dict[str, Any]]:
        """Every model: name, label, title, about, family, repo_id, revision, commit, license, origin, parameters, gigabytes
        (to fetch), bf16_gigabytes, trained_frames, trained_fps, size_multiple, here, damaged (files of it are, but not
        whole), parts (part to where it stands), converted, pinned, default, job (id of a download or conversion), message, hint."""
        from t2v_studio.engines.diffusion.models import registry, usual_models

        try:
            entries = registry(self._workspace)
        except StudioError:  # `problem` says so
            entries = usual_models()
        return [self._row(entry) for entry in entries.values()]

    def problem(self) -> StudioError | None:
        """A mistake in T2V_MODEL_ID, T2V_CACHE_ROOT or the user's own list of models, which leaves the others as they are."""
        from t2v_studio.engines.diffusion.models import registry

        try:
            registry(self._workspace)
            self._entry("")
            self._require_root()
        except StudioError as error:
            return error
        return None

    def row(self, name: str) -> dict[str, Any]:
        """One row of `rows` by name or repository id. Raises InputError with the nearest name."""
        return self._row(self._entry(name))

    def choices(self) -> list[tuple[str, str]]:
        """(label, name) for a menu: the default first, then what is here, then the rest."""
        rows = sorted(self.rows(), key=lambda row: (not row["default"], not row["here"], row["origin"] == "tiny"))
        return [(row["label"], row["name"]) for row in rows]

    def to_fetch(self, name: str) -> dict[str, Any]:
        """What fetching a model takes: name, title, bytes (of the whole model), begun (whether a part is here already),
        needs (free bytes that are asked for), free (of its disk), folder. Raises InputError with the nearest name."""
        from t2v_studio.engines.diffusion.chat_files import chat_entries, chat_entry
        from t2v_studio.engines.diffusion.download import MARGIN
        from t2v_studio.planning.chat_model import chat_models

        self._require_root()
        entry: Any = chat_entry(name) or self._entry(name, more=[row.name for row in chat_entries()])
        chats = {row["name"]: 1e9 * row["download_gb"] for row in chat_models()}
        size = chats[entry.name] if entry.name in chats else float(entry.bytes())
        root = self._store().root
        return {
            "name": entry.name,
            "title": entry.title or entry.name,
            "bytes": size,
            "begun": any(self._store().repo(bundle.repo_id).exists() for bundle in entry.bundles()),
            "needs": MARGIN * size,
            "free": shutil.disk_usage(_existing(root)).free,
            "folder": str(root),
        }

    def submit_download(self, name: str, *, check: bool = False) -> Job:
        """Queue a download. Result: model, revision, bytes, files. Raises InputError, ConflictError (download_running)."""
        from t2v_studio.engines.diffusion.chat_files import chat_entries, chat_entry

        entry = chat_entry(name) or self._entry(name, more=[row.name for row in chat_entries()])
        if not entry.repo_id:
            absent = self._absent(entry)
            state = f"{absent.message} {absent.hint}" if absent else "It is ready for use."
            raise InputError("nothing_to_fetch", f"{entry.name} is not on the hub: nothing is to be fetched.", state)
        self._require_root()
        self._refuse_twice(entry.name)
        if default := self._default():
            self._store().note_default(self._workspace, default)
        spec = {"model": entry.name, "check": check, "freeable": self._freeable()}
        return self._submit("download", "files", spec, f"Fetch {entry.title or entry.name}")

    def submit_convert(self, name: str, dtype: str = "bf16") -> Job:
        """Queue a narrower copy. Result: model, dtype, parts, before, after. Raises InputError, UnavailableError."""
        from t2v_studio.engines.diffusion.models import source

        if dtype not in _DTYPES:
            raise InputError("bad_dtype", f"dtype: {dtype!r} is not known.", "Use bf16 or fp16.")
        entry = self._entry(name)
        if not entry.repo_id:
            raise InputError("nothing_to_convert", f"{entry.name} is not a fetched model.", "Only those are converted.")
        source(entry, self._settings, self._workspace)
        self._refuse_twice(entry.name)
        spec = {"model": entry.name, "dtype": _DTYPES[dtype], "freeable": self._freeable()}
        return self._submit("convert_model", "files", spec, f"Copy {entry.title or entry.name} in {dtype}")

    def make_tiny(self, family: str, folder: Path, *, name: str = "", seed: int = 0) -> dict[str, Any]:
        """Write a tiny random pipeline into a new folder and register it. Returns its row with bytes and folder."""
        from t2v_studio.engines.diffusion.families.registry import family as family_of
        from t2v_studio.engines.diffusion.models import register, require_free
        from t2v_studio.engines.diffusion.tiny import make_tiny

        family_of(family)
        target = folder.expanduser().absolute()
        wanted = name or target.name.lower().replace(" ", "-")
        require_free(self._workspace, wanted)
        made = make_tiny(family, target, seed)
        try:
            entry = register(self._workspace, wanted, family, made, title=f"Tiny {family}", tiny=True)
        except StudioError:
            shutil.rmtree(made)
            raise
        size = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
        return self._row(entry) | {"bytes": size, "folder": str(made)}

    def forget(self, name: str) -> dict[str, Any]:
        """Take a model of your own out of the list: name, and the folder that stays. Raises InputError, ConflictError."""
        from t2v_studio.engines.diffusion.models import forget

        entry = self._entry(name)
        if {entry.name, "*"} & self._in_use():
            raise ConflictError("model_in_use", f"{entry.name} is needed by a job.", "Wait for it, or cancel it.")
        forget(self._workspace, entry.name)
        return {"name": entry.name, "folder": entry.folder}

    def chat_rows(self) -> list[dict[str, Any]]:
        """Language models that can plan, write prompts or be trained: name, repo_id, license, download_gb, here, revision, job."""
        from t2v_studio.engines.diffusion.chat_files import chat_entries
        from t2v_studio.planning.chat_model import chat_model_folder, chat_models

        registered = {row["name"]: row for row in chat_models()}
        rows = []
        for entry in chat_entries():
            try:
                folder = str(chat_model_folder(entry.name, self._settings))
            except StudioError:
                folder = ""
            job = next((job.id for job in self._working() if job.spec.get("model") == entry.name), "")
            row = registered[entry.name] | {"here": bool(folder), "folder": folder, "job": job}
            rows.append(row | {"revision": row["revision"] or self._store().commit(entry.bundles()[0])})
        return rows

    def pin(self, name: str, on: bool = True) -> dict[str, Any]:
        """Keep a model whatever is pruned or purged, or no longer. Returns its row."""
        self._store().pin(self._entry(name).name, on)
        return self.row(name)

    # --- the cache ---------------------------------------------------------------------------
    def cache_plan(
        self, depth: Depth = "prune", *, only: str = "", request: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """What would go and what stays: depth, goes[], stays[] (what, name, bytes, why, path, models, revision), freed, token.

        only: of doubles, those of one model. request: of a video that is about to be made, whose models stay.
        Raises InputError while `problem` names a mistake: what is to be kept is not known then, or where it lies.
        """
        from t2v_studio.engines.diffusion.cache import plan

        self._require_root()
        return plan(depth, self._settings, self._workspace, self._in_use(request), only).as_json()

    def cache_delete(
        self, token: str, depth: Depth, *, only: str = "", request: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Carry out the plan that was shown. Raises ConflictError `plan_changed` where it is no longer that one."""
        from t2v_studio.engines.diffusion.cache import execute

        return execute(token, depth, self._settings, self._workspace, self._in_use(request), only).as_json()

    def cache_report(self) -> dict[str, Any]:
        """root, bytes, free (of its disk), items[] (as in plans, all of them), prune and purge (bytes that each would free)."""
        pruned, purged = self.cache_plan("prune"), self.cache_plan("purge")
        root = self._store().root
        items = pruned["goes"] + pruned["stays"]
        return {
            "root": str(root),
            "bytes": sum(item["bytes"] for item in items),
            "free": shutil.disk_usage(_existing(root)).free,
            "items": items,
            "prune": pruned["freed"],
            "purge": purged["freed"],
        }

    def before_generate(
        self, *, prune: bool, purge: bool, ask: Ask, request: dict[str, Any] | None = None
    ) -> dict[str, Any] | None:
        """What --prune-hf-cache and --purge-hf-cache do: the plan is put to `ask`, and deleted where it says yes.

        None where nothing was asked for, nothing would go, or the answer was no. The models of `request` stay.
        Raises InputError for a T2V_CACHE_ROOT that can be no folder, where anything here needs one.
        """
        if self._lies_in_the_cache(request or {}):
            self._require_root()
        if not (prune or purge):
            return None
        found = self.cache_plan("purge" if purge else "prune", request=request)
        if not found["goes"] or not ask(found):
            return None
        return self.cache_delete(found["token"], found["depth"], request=request)

    # --- inside ------------------------------------------------------------------------------
    def _entry(self, name: str, more: Sequence[str] = ()) -> Any:
        """more: other names that would have been right, for the hint."""
        from t2v_studio.engines.diffusion.models import model, usual_models

        try:
            return model(name, self._settings, self._workspace)
        except InputError as error:
            if error.code == "unknown_name" and more:
                raise unknown_name("model_id", name, [*usual_models(), *more]) from error
            raise

    def _default(self) -> str:
        """The model that stands for none; "" where T2V_MODEL_ID names none."""
        try:
            return str(self._entry("").name)
        except StudioError:
            return ""

    def _freeable(self) -> float:
        """Bytes that a prune would free; 0 where that cannot be said."""
        try:
            return float(self.cache_plan("prune")["freed"])
        except StudioError:
            return 0

    def _absent(self, entry: Any) -> StudioError | None:
        """Why a model cannot be used as it stands; None where it can. A tiny one is made when it is asked for."""
        from t2v_studio.engines.diffusion.models import source
        from t2v_studio.engines.diffusion.store import DAMAGED

        if entry.origin == "tiny":
            return None
        for bundle in entry.bundles():
            for part in bundle.parts:
                if file := self._store().damaged(bundle, part):
                    return UnavailableError(
                        "model_broken",
                        f"{entry.title or entry.name} cannot be used: its part {part} has a {file} that is {DAMAGED}.",
                        f"Fetch what is damaged again with: t2v models download {entry.name}",
                    )
        try:
            source(entry, self._settings, self._workspace)
        except StudioError as error:
            return error
        return None

    def _require_root(self) -> None:
        """Raise InputError for a T2V_CACHE_ROOT that can be no folder of models."""
        from t2v_studio.engines.diffusion.store import require_root

        require_root(self._settings, self._workspace)

    def _store(self) -> Any:
        from t2v_studio.engines.diffusion.store import ModelStore

        return ModelStore.of(self._settings, self._workspace)

    def _row(self, entry: Any) -> dict[str, Any]:
        store = self._store()
        folders = store.part_folders(entry) if entry.repo_id else {}
        parts = {part: _state(folder, store.converted) for part, folder in folders.items()}
        job = next((job for job in self._working() if job.spec.get("model") == entry.name), None)
        absent = None if folders and all(folders.values()) else self._absent(entry)
        here, damaged = absent is None, absent is not None and absent.code == "model_broken"
        size = entry.bytes() / 1e9
        elsewhere = f"{size:.0f} GB to fetch" if entry.repo_id else "not here"
        about = "ready" if here else "damaged" if damaged else elsewhere
        return {
            "name": entry.name,
            "label": f"{entry.title or entry.name} ({about})",
            "title": entry.title or entry.name,
            "about": entry.about,
            "family": entry.family,
            "repo_id": entry.repo_id,
            "revision": entry.revision,
            "commit": store.commit(entry.bundles()[0]) if entry.repo_id else "",
            "license": entry.license,
            "origin": entry.origin,
            "parameters": entry.parameters(),
            "gigabytes": round(size, 1),
            "bf16_gigabytes": round(entry.bytes("bfloat16") / 1e9, 1),
            "trained_frames": list(entry.rules.trained_frames),
            "trained_fps": entry.rules.trained_fps,
            "size_multiple": entry.rules.size_multiple,
            "here": here,
            "damaged": damaged,
            "parts": parts,
            "converted": "narrow copy" in parts.values(),
            "pinned": entry.name in store.ledger()["pinned"],
            "default": entry.name == self._default(),
            "job": job.id if job else "",
            "message": absent.message if absent else "",
            "hint": absent.hint if absent else "",
        }

    def _working(self) -> list[Job]:
        return [job for job in self._jobs(active=True, limit=200) if job.kind in KINDS]

    def _refuse_twice(self, name: str) -> None:
        busy = next((job for job in self._working() if job.spec.get("model") == name), None)
        if busy is not None:
            raise ConflictError(
                "download_running",
                f"{name} is being worked on now ({busy.id}).",
                "Wait for it, or cancel it.",
                job=busy.id,
            )

    def _in_use(self, request: dict[str, Any] | None = None) -> set[str]:
        """Models of jobs that wait or run, and of a request; "*" where that cannot be told.

        A model that stays loaded after its job is held by the process that loaded it (`ModelStore.held`).
        """
        jobs = self._jobs(active=True, limit=200)
        return set().union(*(self._models_of(job) for job in jobs), self._drawn(request or {}))

    def _models_of(self, job: Job) -> set[str]:
        if job.kind in KINDS:
            return {job.spec["model"]}
        if job.kind == "train":
            return self._trained(job.spec.get("run", ""))
        if job.kind == "pack":
            return self._packed(job)
        return self._drawn(job.spec.get("request") or (job.spec.get("record") or {}).get("request") or {})

    def _drawn(self, request: dict[str, Any]) -> set[str]:
        """Models that a video needs: of diffusion, and the language models that plan and write for it."""
        from t2v_studio.engines.diffusion.chat_files import chat_entry

        usual = self._settings.planner_model_id if request.get("use_llm_planner") else ""
        author = self._settings.manim_model_id if request.get("manim_scenes") == "written" else ""
        asked = [
            request.get("planner_model_id") or usual,
            request.get("manim_model_id") or author,
            self._base_of(request.get("prompt_writer") or ""),
            self._base_of(request.get("manim_adapter") or ""),
        ]
        return {entry.name for name in asked if name and (entry := chat_entry(name))} | self._video_model(request)

    def _base_of(self, name: str) -> str:
        """The chat model under a text adapter; any other name as it is."""
        from t2v_studio.adapters.catalogue import find

        try:
            return str(find(self._workspace, name).base_model) if name else ""
        except StudioError:
            return name

    def _video_model(self, request: dict[str, Any]) -> set[str]:
        if request.get("engine") != "diffusion":
            return set()
        try:
            return {self._entry(request.get("model_id") or "").name}
        except StudioError:
            return {"*"}

    def _lies_in_the_cache(self, request: dict[str, Any]) -> bool:
        """Whether a video's own model does: whoever loads it leaves a lock there."""
        return request.get("engine") == "diffusion" and bool(self._entry(request.get("model_id") or "").repo_id)

    def _trained(self, run_id: str) -> set[str]:
        from t2v_studio.adapters.runs import find_run

        try:
            return {self._entry(find_run(self._workspace, run_id).recipe.model).name}
        except StudioError:
            return {"*"}

    def _packed(self, job: Job) -> set[str]:
        from t2v_studio.production.packs_run import read_run

        try:
            run = read_run(Path(job.spec["folder"]))
            requests = [run.request(topic) for topic in run.pack.topics]
        except (StudioError, OSError):
            return {"*"}
        return set().union(*(self._drawn(request.model_dump()) for request in requests))


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next(one for one in (folder, *folder.parents) if one.exists())


def _state(folder: Path | None, converted: Path) -> str:
    if folder is None:
        return "missing"
    return "narrow copy" if converted in folder.parents else "as published"
