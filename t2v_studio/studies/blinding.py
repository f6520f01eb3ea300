"""Copies of videos that say nothing about where they come from."""

from __future__ import annotations

import hashlib
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from t2v_studio.errors import InputError, StudioError, plural

MEDIA = "media"
"""Folder of the copies in a study's own."""
TOKEN_BYTES = 16
_PLAIN_TAGS = frozenset(["major_brand", "minor_version", "compatible_brands", "encoder"])
"""Of the container itself; "encoder" is added by ffmpeg when it prints the others."""
_FILE_TIME_S = 946_684_800
"""Every copy is as old as every other: 2000-01-01."""


@dataclass(frozen=True)
class Copy:
    """A blinded copy. `token` is its file name, random and unrelated to anything."""

    token: str
    path: Path
    sha256: str
    width: int
    height: int
    fps: float
    frames: int

    @property
    def duration_s(self) -> float:
        return self.frames / self.fps


def media_token() -> str:
    """128 random bits in hex."""
    return secrets.token_hex(TOKEN_BYTES)


def blind_pair(control: Path, treated: Path, folder: Path, fps: float) -> tuple[Copy, Copy]:
    """Copies of both videos in `folder`, alike in container, tags, brand, file time and length.

    The streams are copied; only where the lengths differ are both encoded again, the shorter one held on
    its last frame. fps: as recorded. Raises InputError for unequal sizes, StudioError where ffmpeg fails.
    """
    from t2v_studio.video.decode import probe

    shapes = [probe(control), probe(treated)]
    if (shapes[0].width, shapes[0].height) != (shapes[1].width, shapes[1].height):
        raise InputError("unequal_size", "The two videos of a pair differ in size.", "Make the pair again.")
    longest = max(shape.frames for shape in shapes)
    again = shapes[0].frames != shapes[1].frames
    made: list[Copy] = []
    try:
        for source, shape in zip((control, treated), shapes, strict=True):
            hold = longest - shape.frames if again else None
            made.append(_copy(source, folder, fps, longest, hold))
    except BaseException:
        for copy in made:
            copy.path.unlink(missing_ok=True)
        raise
    return made[0], made[1]


def _copy(source: Path, folder: Path, fps: float, frames: int, hold: int | None) -> Copy:
    """hold: encode again and hold the last frame so many times; None: copy the stream."""
    from t2v_studio.video import ffmpeg
    from t2v_studio.video.decode import probe

    token = media_token()
    target = folder / f"{token}.mp4"
    exe = ffmpeg.find_ffmpeg()
    try:
        ffmpeg.run(copy_argv(exe, source, target) if hold is None else hold_argv(exe, source, target, fps, hold))
        found = probe(target)
        left_over = sorted(set(found.tags) - _PLAIN_TAGS)
        if left_over or found.chapters or found.frames != frames:
            what = (
                f"tags {', '.join(left_over)}"
                if left_over
                else f"{plural(found.frames, 'frame')}, {plural(len(found.chapters), 'chapter')}"
            )
            raise StudioError("not_blind", f"A copy of a video is not as it should be ({what}).", "Report this.")
        os.utime(target, (_FILE_TIME_S, _FILE_TIME_S))
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return Copy(token, target, sha256_of(target), found.width, found.height, fps, frames)


def copy_argv(exe: str, source: Path, target: Path) -> list[str]:
    """The picture stream of `source` without tags, chapters, sound, subtitles or data."""
    return [*_input(exe, source), "-c", "copy", *_bare(target)]


def hold_argv(exe: str, source: Path, target: Path, fps: float, frames: int) -> list[str]:
    """As `copy_argv`, encoded again, the last frame shown `frames` times more."""
    from t2v_studio.video import ffmpeg

    held = f"tpad=stop_mode=clone:stop={frames}," if frames else ""
    argv = [*_input(exe, source), "-vf", f"{held}{ffmpeg.COLOUR_TAGS}", "-r", ffmpeg.rate(fps)]
    argv += ["-c:v", ffmpeg.h264_encoder(exe), "-pix_fmt", "yuv420p", "-flags:v", "+bitexact"]
    if ffmpeg.h264_encoder(exe) == "libx264":
        argv += ["-preset", "veryfast", "-crf", str(ffmpeg.CRF), "-threads", "2"]
    else:
        argv += ["-b:v", "4000000"]
    return [*argv, *_bare(target)]


def _input(exe: str, source: Path) -> list[str]:
    from t2v_studio.video.ffmpeg import file_url

    argv = [exe, "-hide_banner", "-nostdin", "-loglevel", "error", "-y", "-i", file_url(source)]
    return [*argv, "-map", "0:v:0", "-an", "-sn", "-dn"]


def _bare(target: Path) -> list[str]:
    from t2v_studio.video.ffmpeg import file_url

    argv = ["-map_metadata", "-1", "-map_metadata:s:v", "-1", "-map_chapters", "-1", "-fflags", "+bitexact"]
    return [*argv, "-movflags", "+faststart", "-f", "mp4", file_url(target)]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
