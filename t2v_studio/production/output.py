"""--output: a copy of a finished video, with its side files, where the user wants it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from t2v_studio.disk import is_full
from t2v_studio.errors import InputError, LimitError, StudioError
from t2v_studio.production.record import VideoRecord

_SIDE_FILES = {"srt": ".srt", "vtt": ".vtt", "poster": ".png", "record": ".record.json"}
_SUFFIXES = (".mp4",)


def check_output(output: Path) -> None:
    """Refuse a place that a video cannot be copied to, before any frame is drawn. Raises InputError."""
    if output.is_dir():
        raise _refused("output_is_folder", f"{output} is a folder.", "Name a file in it, such as lesson.mp4.")
    if output.suffix.lower() not in _SUFFIXES:
        raise _refused("output_suffix", f"{output.name} does not end in .mp4.", "The video is an MP4: name it so.")
    folder = output.parent
    if not folder.is_dir():
        raise _refused("output_no_folder", f"the folder {folder} does not exist.", "Make it first, or name another.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _refused("output_not_writable", f"the folder {folder} cannot be written to.", "Choose another place.")
    replaces_own = output.exists() and is_ours(output)
    for path in (output, *_side_paths(output).values()):
        if path.exists() and not replaces_own:
            raise _refused(
                "output_exists",
                f"{path} exists and was not made here; it would be lost.",
                "Name another file, or move that one away.",
            )


def is_ours(path: Path) -> bool:
    """Whether a file is a video of the studio: it holds a record in its comment tag."""
    from t2v_studio.production.records import record_in_video

    try:
        record_in_video(path)
    except StudioError:
        return False
    return True


def copy_out(record: VideoRecord, folder: Path, output: Path) -> list[str]:
    """Copy video and side files; returns notices. Each file appears whole or not at all.

    Raises LimitError for a full disk and StudioError otherwise; the video in outputs/ is kept.
    """
    notices = [f"{output} was a video of the studio and has been replaced."] if output.exists() else []
    video = folder / record.files["video"]
    if video.suffix != output.suffix.lower():
        output = output.with_suffix(video.suffix)
        notices.append(f"Written beside the requested path, as there is no video encoder: {output}.")
    pairs = [(folder / record.files[name], path) for name, path in _side_paths(output).items() if name in record.files]
    try:
        for source, target in [(video, output), *pairs]:
            part = target.with_name(f".{target.name}.part")
            try:
                shutil.copyfile(source, part)
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        kind = LimitError if is_full(error) else StudioError
        raise kind(
            "output_failed",
            f"output: {output} could not be written ({error.strerror}). The video itself is kept as {record.id}.",
            "Free some space or choose another place, and copy it from there.",
            video=record.id,
        ) from error
    return notices


def _side_paths(output: Path) -> dict[str, Path]:
    return {name: output.with_name(output.stem + suffix) for name, suffix in _SIDE_FILES.items()}


def _refused(code: str, message: str, hint: str) -> InputError:
    return InputError(code, f"--output: {message}", hint)
