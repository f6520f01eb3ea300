"""Fetch a model: only the files that are needed, at one commit, resumable, refused where the disk cannot hold them."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from t2v_studio.disk import is_full
from t2v_studio.engines.diffusion.chat_files import ChatEntry
from t2v_studio.engines.diffusion.models import Bundle, ModelEntry
from t2v_studio.engines.diffusion.store import ModelStore, find_row, make_root
from t2v_studio.errors import LimitError, StudioError, UnavailableError

MARGIN = 1.2
"""Free disk for a download or a conversion, as a multiple of its bytes."""
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_BLOCK = 1 << 22

Report = Callable[[str, int, int, str], None]
"""Called with (stage, bytes done, bytes in all, file); raises CancelledError to stop."""


@dataclass(frozen=True)
class RemoteFile:
    """A file at a commit of a repository. sha256: of large files, whose hash the hub knows."""

    path: str
    size: int
    sha256: str = ""


@dataclass(frozen=True)
class Fetch:
    """What one repository still has to give."""

    repo_id: str
    commit: str
    files: tuple[RemoteFile, ...]
    missing: tuple[RemoteFile, ...]


def download(
    entry: ModelEntry | ChatEntry, store: ModelStore, report: Report, *, freeable: int = 0, check: bool = False
) -> dict[str, Any]:
    """Fetch what a model lacks. Files that are here are kept; after an interrupted download their hashes are checked.

    freeable: bytes that a prune of the cache would free, for the hint. check: check hashes in any case.
    Returns model, revision, bytes (fetched now), files. Raises UnavailableError (hub_unreachable,
    hub_refused), LimitError (disk_full), CancelledError; a later call goes on where this one ended.
    """
    if not entry.repo_id:
        return {"model": entry.name, "revision": "", "bytes": 0, "files": 0}
    report("asking the hub", 0, 0, entry.repo_id)
    fetches = [_ask(bundle, store, check, report) for bundle in entry.bundles()]
    needed = sum(file.size for fetch in fetches for file in fetch.missing)
    require_room(store.root, needed, entry.title or entry.name, freeable)
    done = 0
    for fetch in fetches:
        done = _fetch(fetch, store, report, done, needed)
    return {
        "model": entry.name,
        "revision": fetches[0].commit,
        "bytes": needed,
        "files": sum(len(fetch.missing) for fetch in fetches),
    }


def require_room(folder: Path, needed: int, what: str, freeable: int = 0) -> None:
    """Raise LimitError `disk_full` where the disk of `folder` has less than 1.2 times `needed` bytes free."""
    make_root(folder)
    free = shutil.disk_usage(folder).free
    if needed and free < MARGIN * needed:
        lacking = (MARGIN * needed - free) / 1e9
        prune = f" t2v cache prune would free {freeable / 1e9:.1f} GB." if freeable else ""
        raise LimitError(
            "disk_full",
            f"{what} needs {MARGIN * needed / 1e9:.1f} GB of free disk, and {free / 1e9:.1f} GB are free.",
            f"Free {lacking:.1f} GB, or set T2V_CACHE_ROOT to a folder on a larger disk.{prune}",
        )


def _ask(bundle: Bundle, store: ModelStore, check: bool, report: Report) -> Fetch:
    """Which files of a bundle are needed, and which of them are missing or damaged here."""
    commit, files = remote_files(bundle, store.commit(bundle))
    snapshot = store.repo(bundle.repo_id) / "snapshots" / commit
    row = find_row(store.ledger(), bundle.repo_id, commit)
    doubtful = check or (row is not None and row["state"] == "started")
    damaged = {part for part in bundle.parts if store.damaged(bundle, part)}
    missing = []
    for file in files:
        part = file.path.split("/")[0]
        kept = store.part_folder(bundle, part) if "/" in file.path else None
        if kept is not None and store.converted in kept.parents:
            continue
        if not _is_here(snapshot / file.path, file, doubtful or part in damaged, report):
            missing.append(file)
    return Fetch(bundle.repo_id, commit, tuple(files), tuple(missing))


def remote_files(bundle: Bundle, commit: str) -> tuple[str, list[RemoteFile]]:
    """The commit and the needed files of a bundle, asked of the hub."""
    with hub_errors(bundle.repo_id):
        from huggingface_hub import HfApi

        info = HfApi(token=hub_token()).model_info(bundle.repo_id, revision=commit or None, files_metadata=True)
    names = sorted(sibling.rfilename for sibling in info.siblings or [])
    wanted = set(needed_files(names, list(bundle.parts)) if bundle.parts else root_files(names))
    files = [
        RemoteFile(sibling.rfilename, sibling.size or 0, sibling.lfs.sha256 if sibling.lfs else "")
        for sibling in info.siblings or []
        if sibling.rfilename in wanted
    ]
    return str(info.sha), sorted(files, key=lambda file: file.path)


def needed_files(names: list[str], parts: list[str]) -> list[str]:
    """Of a repository's files those that the loader reads: configs, tokenizer, safetensors; no second number format."""
    kept = [name for name in names if name == "model_index.json"]
    for name in names:
        part, _, rest = name.partition("/")
        suffix = Path(rest).suffix
        plain = not re.search(r"\.(fp16|bf16|non_ema|ema)\b", rest)
        if (
            part in parts
            and rest
            and "/" not in rest
            and plain
            and suffix in (".json", ".safetensors", ".model", ".txt")
        ):
            kept.append(name)
    return kept


def root_files(names: list[str]) -> list[str]:
    """Of a language model's repository those in its root that transformers reads; no pickle, no second copy of the weights."""
    kept = (".json", ".safetensors", ".model", ".txt", ".jinja")
    return [
        name for name in names if "/" not in name and Path(name).suffix in kept and not name.startswith("consolidated")
    ]


def _is_here(path: Path, file: RemoteFile, doubtful: bool, report: Report) -> bool:
    """Whether a file lies here whole; a damaged one is removed, so that it is fetched again."""
    if not path.is_file():
        return False
    whole = path.stat().st_size == file.size
    if whole and doubtful and file.sha256:
        report("checking files", 0, 0, file.path)
        whole = sha256_of(path, lambda: report("checking files", 0, 0, file.path)) == file.sha256
    if not whole:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
    return whole


def _fetch(fetch: Fetch, store: ModelStore, report: Report, done: int, total: int) -> int:
    from huggingface_hub import hf_hub_download

    if not fetch.missing:
        _record(fetch, store, "complete")
        return done
    _record(fetch, store, "started")
    for file in fetch.missing:
        report("fetching", done, total, file.path)
        with hub_errors(fetch.repo_id):
            hf_hub_download(
                fetch.repo_id,
                file.path,
                revision=fetch.commit,
                cache_dir=store.hub,
                token=hub_token(),
                tqdm_class=_meter(partial(_moved, report, done, total, file.path)),
            )
        done += file.size
    report("fetching", done, total, "")
    _record(fetch, store, "complete")
    return done


def _record(fetch: Fetch, store: ModelStore, state: str) -> None:
    """Into the ledger goes what the studio fetched; files that were here before it are not its own."""
    row = find_row(store.ledger(), fetch.repo_id, fetch.commit)
    if row is None and not fetch.missing:
        return
    store.note(fetch.repo_id, fetch.commit, state, {file.path: file.size for file in fetch.missing})


def _moved(report: Report, before: int, total: int, name: str, of_file: int) -> None:
    report("fetching", before + of_file, total, name)


def _meter(moved: Callable[[int], None]) -> type:
    """A stand-in for tqdm that passes on how many bytes of the file are here."""
    from tqdm import tqdm

    class Meter(tqdm):  # type: ignore[misc, type-arg]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})
            self.bytes = int(kwargs.get("initial") or 0)

        def update(self, n: float | None = 1) -> None:
            self.bytes += int(n or 0)
            moved(self.bytes)

    return Meter


def hub_token() -> str | bool:
    """The token of the environment alone; none that lies in a file of the machine is sent."""
    return os.environ.get("HF_TOKEN") or False


@contextmanager
def hub_errors(repo_id: str) -> Iterator[None]:
    """Say in plain words what went wrong with the hub."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError as error:
        raise UnavailableError(
            "hub_refused",
            f"{repo_id} is behind a form of its authors.",
            f"Accept its terms on huggingface.co/{repo_id}, then set HF_TOKEN to a token of that account.",
        ) from error
    except (errors.RepositoryNotFoundError, errors.RevisionNotFoundError, errors.EntryNotFoundError) as error:
        if isinstance(error, errors.LocalEntryNotFoundError):
            raise _unreachable(repo_id, error) from error
        raise UnavailableError(
            "hub_refused",
            f"The hub has no {repo_id} at this commit, or it is private.",
            "Check the repository in models.local.yaml; a private one needs HF_TOKEN.",
        ) from error
    except errors.HFValidationError as error:
        raise UnavailableError("hub_refused", f"{repo_id}: {error}", "Check models.local.yaml.") from error
    except OSError as error:
        if is_full(error):
            raise LimitError(
                "disk_full", "The disk became full while the model was fetched.", "Free some, then start it again."
            ) from error
        raise _unreachable(repo_id, error) from error
    except StudioError:
        raise
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "hf_xet"):
            raise _unreachable(repo_id, error) from error
        raise


def _unreachable(repo_id: str, error: Exception) -> UnavailableError:
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return UnavailableError(
            "hub_unreachable",
            f"Nothing was asked of the model hub for {repo_id}: HF_HUB_OFFLINE is set.",
            "Unset HF_HUB_OFFLINE and start the download again; it goes on where it stopped.",
        )
    first = next(iter(str(error).splitlines()), type(error).__name__)[:200]
    return UnavailableError(
        "hub_unreachable",
        f"The model hub could not be reached for {repo_id} ({first}).",
        "Check the network or the proxy and start the download again; it goes on where it stopped.",
    )


def sha256_of(path: Path, tick: Callable[[], None] = lambda: None) -> str:
    """Hash of a file; `tick` is called after every 4 MB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            tick()
    return digest.hexdigest()
