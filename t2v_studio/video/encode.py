"""Frames to an MP4 as they come: H.264, yuv420p, faststart, the same bytes for the same frames."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import queue
import subprocess
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from t2v_studio.errors import LimitError, StudioError, UnavailableError
from t2v_studio.video import ffmpeg
from t2v_studio.video.gif import GifWriter
from t2v_studio.video.planar import ClipDigest, PlanarPicture

log = logging.getLogger(__name__)

STALL_LIMIT_S = 120.0
"""ffmpeg may take this long over one frame, or over the end of a file, before it is given up."""
_PIPE_BYTES = 1 << 20
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ; Linux only
_QUEUED_FRAMES = 4


@dataclass(frozen=True)
class Encoded:
    """A finished file. `path` ends in .gif where no encoder could be had; `notices` then says so."""

    path: Path
    codec: str
    width: int
    height: int
    fps: float
    frames: int
    frames_sha256: str
    notices: list[str] = field(default_factory=list)

    @property
    def duration_s(self) -> float:
        return self.frames / self.fps


class Encoder:
    """A context manager that takes frames one by one.

    Frames are (height, width, 3) RGB or (height, width, 4) RGBA, uint8; each is consumed at once,
    so its buffer may be painted over. A picture equal to the one before costs a comparison and a
    write. The file appears at `path` when the block ends without an exception; until then, and
    after one, there is nothing there.

    threads: x264's threads. Part of what decides the bytes, so never taken from the machine.
    Raises StudioError for a failing ffmpeg, LimitError for a full disk or a stalled ffmpeg.
    """

    def __init__(
        self,
        path: Path,
        *,
        width: int,
        height: int,
        fps: float,
        threads: int = 2,
        content: ffmpeg.Content = "graphics",
        stall_limit_s: float = STALL_LIMIT_S,
    ) -> None:
        self.path, self.fps = path, fps
        self.frames = 0
        self.notices: list[str] = []
        self.result: Encoded | None = None
        self._picture = PlanarPicture(width, height)
        self._digest = ClipDigest(width, height)
        self._threads, self._content, self._stall_limit_s = threads, content, stall_limit_s
        self._sink: _Pipe | GifWriter | None = None

    def __enter__(self) -> Encoder:
        picture = self._picture
        if (picture.coded_width, picture.coded_height) != (picture.width, picture.height):
            self.notices.append(
                f"H.264 needs even sizes: {picture.width}x{picture.height} was padded to "
                f"{picture.coded_width}x{picture.coded_height}."
            )
        try:
            exe = ffmpeg.find_ffmpeg()
            encoder = ffmpeg.h264_encoder(exe)
        except UnavailableError as error:
            self._fall_back_to_gif(error)
            return self
        argv = ffmpeg.encode_argv(
            exe,
            self._part,
            width=picture.coded_width,
            height=picture.coded_height,
            fps=self.fps,
            threads=self._threads,
            content=self._content,
            encoder=encoder,
        )
        self._sink = _Pipe(argv, self._stall_limit_s)
        return self

    @property
    def _part(self) -> Path:
        """The unfinished file, beside the finished one so that renaming is atomic."""
        return self.path.with_name(f".{self.path.name}.part")

    def _fall_back_to_gif(self, error: StudioError) -> None:
        self.path = self.path.with_suffix(".gif")
        self._sink = GifWriter(self._part, self._picture.width, self._picture.height, self.fps)
        self.notices.append(
            f"There is no video encoder ({error.message} {error.hint}) A GIF was written instead: {self.path.name}."
        )

    def write(self, frame: NDArray[np.uint8]) -> float:
        """Add one frame; returns the share of the picture's bands that changed, 0 to 1."""
        assert self._sink is not None, "the encoder is used as a context manager"
        changed = self._picture.update(frame)
        self._digest.add(self._picture.digest)
        if isinstance(self._sink, GifWriter):
            self._sink.write(frame)
        else:
            self._sink.write(self._picture.planes)
        self.frames += 1
        return changed

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._sink is not None
        try:
            if kind is not None:
                self._sink.abort()
                return
            if self.frames == 0:
                self._sink.abort()
                raise StudioError("no_frames", "The engine gave no frames.", "Try another engine, or look at its log.")
            self._sink.close()
            self._part.replace(self.path)
            self.result = self._finished()
        finally:
            self._part.unlink(missing_ok=True)

    def _finished(self) -> Encoded:
        gif = isinstance(self._sink, GifWriter)
        return Encoded(
            path=self.path,
            codec="gif" if gif else "h264",
            width=self._picture.coded_width,
            height=self._picture.coded_height,
            fps=self.fps,
            frames=self.frames,
            frames_sha256=self._digest.hexdigest(),
            notices=list(self.notices),
        )


class _Pipe:
    """ffmpeg with its stdin fed from a thread, so that drawing and encoding overlap."""

    def __init__(self, argv: list[str], stall_limit_s: float) -> None:
        self._limit_s = stall_limit_s
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115  (a pipe nobody reads could fill up)
        try:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=self._stderr,
                env=ffmpeg.clean_environment(),
                bufsize=0,
            )
        except OSError:
            self._stderr.close()
            raise
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            fcntl.fcntl(self._process.stdin, _SET_PIPE_SIZE, _PIPE_BYTES)
        self._frames: queue.Queue[bytes | None] = queue.Queue(_QUEUED_FRAMES)
        self._broken = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="ffmpeg-feed", daemon=True)
        self._thread.start()

    def _feed(self) -> None:
        assert self._process.stdin is not None
        fd = self._process.stdin.fileno()
        while (data := self._frames.get()) is not None:
            if self._broken.is_set():
                continue
            view = memoryview(data)
            try:
                while view:
                    view = view[os.write(fd, view) :]
            except OSError:
                self._broken.set()

    def write(self, planes: bytes) -> None:
        if self._broken.is_set():
            raise self._failure()
        try:
            self._frames.put(planes, timeout=self._limit_s)
        except queue.Full:
            raise self._stalled() from None

    def close(self) -> None:
        """Send the end of the stream and wait for the file. Raises what ffmpeg died of."""
        assert self._process.stdin is not None
        try:
            self._frames.put(None, timeout=self._limit_s)
            self._thread.join(self._limit_s)
            if self._thread.is_alive():
                raise queue.Full
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
            status = self._process.wait(self._limit_s)
        except (queue.Full, subprocess.TimeoutExpired):
            raise self._stalled() from None
        if status != 0 or self._broken.is_set():
            raise self._failure()
        self._stderr.close()

    def abort(self) -> None:
        """Kill ffmpeg and let the thread run out."""
        self._process.kill()
        self._process.wait()
        self._broken.set()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._frames.get_nowait()
            with contextlib.suppress(queue.Full):
                self._frames.put_nowait(None)
            self._thread.join(0.05)
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.close()
        self._stderr.close()

    def _failure(self) -> StudioError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._stderr.seek(0)
        said = self._stderr.read().decode("utf-8", errors="replace")
        self.abort()
        return ffmpeg.failure(self._process.returncode, said)

    def _stalled(self) -> StudioError:
        self.abort()
        return LimitError(
            "ffmpeg_timeout",
            f"ffmpeg took no frame for {self._limit_s:g} s and was stopped.",
            "Try again on a quieter machine, or check that the disk is not full.",
        )
