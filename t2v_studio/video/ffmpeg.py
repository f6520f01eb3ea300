"""The ffmpeg binary: where it is, the argument lists that it gets, and one way to run it."""

from __future__ import annotations

import logging
import os
import re
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Literal

from t2v_studio.errors import LimitError, StudioError, UnavailableError

log = logging.getLogger(__name__)

Content = Literal["graphics", "footage"]
"""What the pictures are: flat drawings with edges and text, or filmed or generated motion."""

VIDEO_ENCODERS = ("libx264", "libopenh264")
"""H.264 encoders, the preferred one first."""

CRF = 18
KEYFRAME_SECONDS = 2.0

GRAPHICS_X264 = "me=dia:subme=1:weightp=0:bframes=0"
"""Flat drawings need no motion search worth the name: a third less CPU than plain veryfast and a
slightly higher PSNR, for a quarter more bytes (measured on a 1280x720 diagram). Without B-frames
the first picture is also shown at time 0 in every player."""

COLOUR_TAGS = "setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=smpte170m"
"""The planes are BT.601, limited range; a 720p file without the tag would be read as BT.709."""


def find_ffmpeg() -> str:
    """Path of the binary: IMAGEIO_FFMPEG_EXE, else the one inside imageio-ffmpeg, else the system's.

    Raises UnavailableError where there is none that runs.
    """
    import imageio_ffmpeg

    try:
        exe = imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise _no_ffmpeg("No ffmpeg was found.") from error
    if not encoders(exe):
        raise _no_ffmpeg(f"ffmpeg ({exe}) does not run.")
    return exe


def h264_encoder(exe: str) -> str:
    """Name of the H.264 encoder to use. Raises UnavailableError where the binary has none."""
    known = encoders(exe)
    for name in VIDEO_ENCODERS:
        if name in known:
            return name
    raise _no_ffmpeg(f"ffmpeg ({exe}) has no H.264 encoder.")


@lru_cache(maxsize=8)
def encoders(exe: str) -> frozenset[str]:
    """Names of the encoders that a binary has; empty when it cannot be run."""
    try:
        done = subprocess.run(
            [exe, "-hide_banner", "-encoders"], capture_output=True, env=clean_environment(), timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(re.findall(r"^ [VAS][\w.]{5} (\S+)", done.stdout.decode(errors="replace"), re.MULTILINE))


def clean_environment() -> dict[str, str]:
    """What a child process sees: no proxy, token or library path of the parent."""
    kept = ("PATH", "HOME", "TMPDIR", "TEMP", "SYSTEMROOT")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C.UTF-8"}


def rate(fps: float) -> str:
    """`fps` as ffmpeg takes it: 30 -> "30", 29.97 -> "30000/1001"."""
    fraction = Fraction(fps).limit_denominator(1001)
    for numerator in (24000, 30000, 60000):
        if abs(fps - numerator / 1001) < 0.005 and fraction.denominator != 1:
            fraction = Fraction(numerator, 1001)
    return str(fraction)


def encode_argv(
    exe: str, target: Path, *, width: int, height: int, fps: float, threads: int, content: Content, encoder: str
) -> list[str]:
    """Raw yuv420p frames on stdin -> an MP4 at `target`."""
    gop = max(1, round(fps * KEYFRAME_SECONDS))
    argv = [exe, "-hide_banner", "-loglevel", "error", "-nostats", "-y"]
    argv += ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", f"{width}x{height}", "-framerate", rate(fps)]
    argv += ["-i", "pipe:0", "-an", "-vf", COLOUR_TAGS, "-c:v", encoder, "-pix_fmt", "yuv420p"]
    if encoder == "libx264":
        argv += ["-preset", "veryfast", "-crf", str(CRF), "-threads", str(threads)]
        if content == "graphics":
            argv += ["-x264-params", GRAPHICS_X264]
    else:
        argv += ["-b:v", str(max(2_000_000, width * height * 4))]
    argv += ["-g", str(gop), "-flags:v", "+cgop+bitexact", "-fflags", "+bitexact", "-map_metadata", "-1"]
    return [*argv, "-movflags", "+faststart", "-f", "mp4", file_url(target)]


def remux_argv(exe: str, source: Path, metadata: Path, target: Path) -> list[str]:
    """Copy the streams of `source` to `target` with the tags and chapters of an ffmetadata file."""
    argv = [exe, "-hide_banner", "-loglevel", "error", "-nostats", "-y", "-i", file_url(source)]
    argv += ["-f", "ffmetadata", "-i", file_url(metadata), "-map", "0:v:0", "-c", "copy"]
    argv += ["-map_metadata", "1", "-map_chapters", "1", "-fflags", "+bitexact"]
    return [*argv, "-movflags", "+faststart", "-f", "mp4", file_url(target)]


def info_argv(exe: str, source: Path) -> list[str]:
    """Describe `source` on stderr and count its video packets without decoding them."""
    argv = [exe, "-hide_banner", "-nostdin", "-loglevel", "info", "-stats", "-i", file_url(source)]
    return [*argv, "-map", "0:v:0", "-c", "copy", "-f", "null", "-"]


def metadata_argv(exe: str, source: Path) -> list[str]:
    """Tags and chapters of `source` as ffmetadata on stdout."""
    argv = [exe, "-hide_banner", "-nostdin", "-loglevel", "error", "-i", file_url(source)]
    return [*argv, "-map_metadata", "0", "-map_chapters", "0", "-f", "ffmetadata", "pipe:1"]


def decode_argv(exe: str, source: Path, *, start_s: float = 0.0, limit: int = 0) -> list[str]:
    """Frames of `source` as raw rgb24 on stdout, every coded frame once."""
    argv = [exe, "-hide_banner", "-nostdin", "-loglevel", "error"]
    if start_s > 0:
        argv += ["-ss", f"{start_s:.6f}"]
    argv += ["-i", file_url(source), "-map", "0:v:0", "-fps_mode", "passthrough"]
    if limit > 0:
        argv += ["-frames:v", str(limit)]
    return [*argv, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"]


def file_url(path: Path) -> str:
    """A path that ffmpeg cannot take for an option or another protocol ("-x.mp4", "concat:a")."""
    return "file:" + str(path.absolute())


def run(argv: Sequence[str], *, limit_s: float = 120.0, check: bool = True) -> subprocess.CompletedProcess[bytes]:
    """Run ffmpeg to its end with nothing on stdin, keeping its output.

    Raises LimitError after `limit_s` seconds, and with `check` a StudioError for a non-zero status.
    """
    try:
        done = subprocess.run(
            list(argv),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=clean_environment(),
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LimitError(
            "ffmpeg_timeout", f"ffmpeg did not end within {limit_s:g} s.", "Try again on a quieter machine."
        ) from error
    except OSError as error:
        raise _no_ffmpeg(f"ffmpeg ({argv[0]}) cannot be started ({error.strerror}).") from error
    if check and done.returncode != 0:
        raise failure(done.returncode, done.stderr.decode("utf-8", errors="replace"))
    return done


def failure(status: int, stderr: str) -> StudioError:
    """The error for a run of ffmpeg that ended with `status`; the last lines of stderr go along."""
    log.error("ffmpeg ended with status %s: %s", status, stderr.strip())
    tail = stderr.strip().splitlines()[-12:]
    text = " ".join(tail).lower()
    if "no space left" in text or "file too large" in text:
        return LimitError(
            "disk_full", "The disk is full: the video could not be written.", "Free some space.", stderr=tail
        )
    if "permission denied" in text or "read-only file system" in text:
        return StudioError(
            "not_writable", "The video's folder cannot be written to.", "Choose another place.", stderr=tail
        )
    last = tail[-1].strip() if tail else "it gave no reason"
    return StudioError(
        "ffmpeg_failed",
        f"ffmpeg ended with status {status}: {last}",
        "The job's log holds its whole output.",
        stderr=tail,
    )


def _no_ffmpeg(message: str) -> UnavailableError:
    return UnavailableError(
        "no_encoder", message, "pip install imageio-ffmpeg, or name a binary in IMAGEIO_FFMPEG_EXE."
    )
