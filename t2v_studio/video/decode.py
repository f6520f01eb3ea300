"""Files to frames, and what a file says about itself, without ffprobe and without a window system."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from t2v_studio.errors import InputError, NotFoundError, StudioError
from t2v_studio.video import ffmpeg
from t2v_studio.video.metadata import Chapter, parse_ffmetadata

_STREAM = re.compile(
    r"Stream #0:\d+\S*: Video: (?P<codec>\w+).*?, (?P<pix_fmt>[a-z]\w+)(?:\([^)]*\))?, (?P<width>\d+)x(?P<height>\d+)"
)
_FPS = re.compile(r", (?P<fps>[\d.]+k?) fps")
_DURATION = re.compile(r"Duration: (\d+):(\d+):([\d.]+)")
_COUNT = re.compile(r"frame=\s*(\d+)")


@dataclass(frozen=True)
class Probe:
    """What a video file holds. `duration_s` is that of the container, rounded to 10 ms by ffmpeg."""

    codec: str
    pix_fmt: str
    width: int
    height: int
    fps: float
    frames: int
    duration_s: float
    tags: dict[str, str] = field(default_factory=dict)
    chapters: list[Chapter] = field(default_factory=list)

    @property
    def comment(self) -> str:
        return self.tags.get("comment", "")


def probe(path: Path) -> Probe:
    """Describe a file. Raises NotFoundError, or InputError for a file that holds no readable video."""
    _must_exist(path)
    exe = ffmpeg.find_ffmpeg()
    done = ffmpeg.run(ffmpeg.info_argv(exe, path), check=False)
    said = done.stderr.decode("utf-8", errors="replace")
    # A comment tag is printed too, and could hold text that looks like a stream: skip the metadata lines.
    shown = "\n".join(line for line in said.splitlines() if not re.match(r"\s+\S*\s+: ", line))
    stream = _STREAM.search(shown)
    counts = _COUNT.findall(said)
    if done.returncode != 0 or stream is None or not counts:
        raise _not_a_video(path, said)
    fps = _FPS.search(shown, stream.end())
    duration = _DURATION.search(shown)
    tags, chapters = parse_ffmetadata(ffmpeg.run(ffmpeg.metadata_argv(exe, path)).stdout.decode("utf-8", "replace"))
    return Probe(
        codec=stream["codec"],
        pix_fmt=stream["pix_fmt"],
        width=int(stream["width"]),
        height=int(stream["height"]),
        fps=float(fps["fps"].replace("k", "e3")) if fps else 0.0,
        frames=int(counts[-1]),
        duration_s=int(duration[1]) * 3600 + int(duration[2]) * 60 + float(duration[3]) if duration else 0.0,
        tags=tags,
        chapters=chapters,
    )


def comment(path: Path) -> str:
    """The comment tag of a video file, "" where it has none. Raises as `probe`."""
    _must_exist(path)
    done = ffmpeg.run(ffmpeg.metadata_argv(ffmpeg.find_ffmpeg(), path), check=False)
    if done.returncode != 0:
        raise _not_a_video(path, done.stderr.decode("utf-8", errors="replace"))
    return parse_ffmetadata(done.stdout.decode("utf-8", errors="replace"))[0].get("comment", "")


def frames(path: Path, *, start_s: float = 0.0, limit: int = 0) -> Iterator[NDArray[np.uint8]]:
    """The frames of a file, (height, width, 3) RGB uint8, one by one; each array is the caller's own.

    limit: at most so many; 0 is all. Leaving the loop early stops ffmpeg. Raises as `probe`.
    """
    shape = probe(path)
    size = shape.width * shape.height * 3
    argv = ffmpeg.decode_argv(ffmpeg.find_ffmpeg(), path, start_s=start_s, limit=limit)
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=ffmpeg.clean_environment(),
            bufsize=size,
        )
        assert process.stdout is not None
        try:
            while data := process.stdout.read(size):
                if len(data) < size:
                    break
                yield np.frombuffer(bytearray(data), np.uint8).reshape(shape.height, shape.width, 3)
            if process.wait(30) != 0:
                stderr.seek(0)
                raise ffmpeg.failure(process.returncode, stderr.read().decode("utf-8", errors="replace"))
        finally:
            process.stdout.close()
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise NotFoundError("no_such_file", f"There is no file {path}.", "Check the path.")


def _not_a_video(path: Path, said: str) -> StudioError:
    tail = [line.strip() for line in said.splitlines() if line.strip()][-1:]
    return InputError(
        "not_a_video",
        f"{path.name} holds no video that can be read ({tail[0] if tail else 'ffmpeg gave no reason'}).",
        "Name an MP4 that a player opens.",
    )
