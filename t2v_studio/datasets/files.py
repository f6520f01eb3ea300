"""Manifests as files: JSONL and CSV, and the folders that other trainers read."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from t2v_studio.datasets.rows import JSONL, ManifestRow, clip_file, sha256_of
from t2v_studio.disk import disk_full, is_full
from t2v_studio.errors import InputError, StudioError, UnavailableError, unknown_name
from t2v_studio.production.packs_run import write_whole
from t2v_studio.studies.outcome import safe_cell
from t2v_studio.studies.rubric import labels

Layout = Literal["jsonl", "videofolder", "text"]
LAYOUTS: dict[str, str] = {
    "jsonl": "manifest.jsonl and manifest.csv, with the clips beside them: this studio's own, and trainers that read video_path",
    "videofolder": "train/, validation/ and test/ with metadata.jsonl (file_name, caption): Hugging Face datasets, finetrainers",
    "text": "train/, validation/ and test/ with a .txt beside each clip: musubi-tuner, diffusion-pipe, ai-toolkit",
}
SPLIT_FOLDERS = {"train": "train", "val": "validation", "test": "test"}
"""What the splits are called by readers of folders."""
_LISTS = ("variants",)


def columns() -> list[str]:
    """Columns of the CSV: the fields of a row, one column a criterion in place of `scores`."""
    names = []
    for name in ManifestRow.model_fields:
        names += [f"score_{key}" for key in labels()] if name == "scores" else [name]
    return names


def jsonl_text(rows: Sequence[ManifestRow]) -> str:
    return "".join(row.model_dump_json() + "\n" for row in rows)


def csv_text(rows: Sequence[ManifestRow]) -> str:
    """The same rows for a spreadsheet; text that it would take for a formula gets an apostrophe."""
    out = io.StringIO()
    names = columns()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        data = row.model_dump()
        scores = data.pop("scores")
        data |= {f"score_{key}": scores.get(key, "") for key in labels()}
        data |= {name: " | ".join(data[name]) for name in _LISTS}
        writer.writerow({name: safe_cell("" if data[name] is None else data[name]) for name in names})
    return out.getvalue()


def write_manifest(path: Path, rows: Sequence[ManifestRow]) -> list[Path]:
    """`path` (.jsonl) and its .csv twin, each whole or not at all. Paths in `rows` are relative to its folder."""
    if path.suffix.lower() != ".jsonl":
        raise InputError("bad_output", f"output_jsonl: {path.name} does not end in .jsonl.", "Name it so.")
    with _told(path):
        write_whole(path, jsonl_text(rows))
        write_whole(path.with_suffix(".csv"), csv_text(rows))
    return [path, path.with_suffix(".csv")]


def export(
    manifest: Path,
    rows: Sequence[ManifestRow],
    layout: str,
    folder: Path,
    *,
    report: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, Any]:
    """Copy the clips of a manifest into `folder`, which must not exist yet, in one of LAYOUTS; whole or not at all.

    A row that is a part of its file becomes a file of its own, encoded again. report: called with (done, of how
    many). Returns folder, layout, clips, bytes. Raises InputError; StudioError for a clip that changed meanwhile.
    """
    if layout not in get_args(Layout):
        raise unknown_name("layout", layout, list(get_args(Layout)))
    folder = folder.expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(
            "output_exists", f"output: {folder} is there already.", "Name a folder that does not exist yet."
        )
    part = folder.with_name(f".{folder.name}.part")
    with _told(folder):
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir(parents=True)
            placed = []
            for number, row in enumerate(rows, start=1):
                placed.append(_place(manifest, row, part, _name(row, layout)))
                report(number, len(rows))
            _WRITERS[layout](part, placed)
            if folder.is_dir():
                folder.rmdir()
            part.replace(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return {"folder": str(folder), "layout": layout, "clips": len(rows), "bytes": size}


def zipped(folder: Path, path: Path, report: Callable[[int, int], None] = lambda done, of: None) -> Path:
    """A folder as one ZIP, not compressed since videos do not get smaller; the folder is gone afterwards.

    What `report` raises leaves neither.
    """
    import zipfile

    files = sorted(file for file in folder.rglob("*") if file.is_file())
    with _told(path):
        try:
            with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
                for number, file in enumerate(files, start=1):
                    archive.write(file, file.relative_to(folder.parent).as_posix())
                    report(number, len(files))
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return path


def _name(row: ManifestRow, layout: str) -> str:
    """Where a clip lies in an export. Ids hold plain characters alone; of footage, a hash stands for it."""
    stem = (
        row.id.replace("#", "-")
        if row.record_id
        else row.sha256[:20] + (f"-{row.start_frame}" if row.start_frame else "")
    )
    file = f"{''.join(char if char.isalnum() or char in '-_.' else '_' for char in stem)}{Path(row.video_path).suffix.lower()}"
    return f"clips/{file}" if layout == "jsonl" else f"{SPLIT_FOLDERS[row.split]}/{file}"


def _place(manifest: Path, row: ManifestRow, part: Path, name: str) -> ManifestRow:
    """Copy one clip, or cut it out; the row as it stands in the export."""
    from t2v_studio.video.decode import probe

    source = clip_file(manifest, row)
    if not source.is_file() or sha256_of(source) != row.sha256:
        what = "has changed" if source.is_file() else "is gone"
        raise StudioError("clips_changed", f"{row.id}: {row.video_path} {what}.", "Build the manifest again.")
    target = part / name
    target.parent.mkdir(parents=True, exist_ok=True)
    if row.start_frame == 0 and (not row.scene or probe(source).frames == row.frames):
        shutil.copyfile(source, target)
        return row.model_copy(update={"video_path": name})
    target = target.with_suffix(".mp4")
    cut(source, target, row)
    update = {"video_path": target.relative_to(part).as_posix(), "start_frame": 0, "sha256": sha256_of(target)}
    return row.model_copy(update=update)


def cut(source: Path, target: Path, row: ManifestRow) -> None:
    """Write the frames of a row as a file of their own, H.264. Raises StudioError where the source is too short."""
    from itertools import islice

    from t2v_studio.video.decode import frames
    from t2v_studio.video.encode import Encoder

    with Encoder(target, width=row.width, height=row.height, fps=row.fps) as encoder:
        for frame in islice(frames(source), row.start_frame, row.start_frame + row.frames):
            encoder.write(frame)
    assert encoder.result is not None
    if encoder.result.codec == "gif":
        raise UnavailableError("no_encoder", "There is no video encoder to cut scenes with.", "See t2v doctor.")
    if encoder.result.frames != row.frames:
        raise StudioError("clip_too_short", f"{row.id}: {source.name} ends early.", "Build the manifest again.")


def _write_jsonl(part: Path, rows: Sequence[ManifestRow]) -> None:
    write_manifest(part / JSONL, rows)


def _write_videofolder(part: Path, rows: Sequence[ManifestRow]) -> None:
    for split, name in SPLIT_FOLDERS.items():
        mine = [row for row in rows if row.split == split]
        lines = [
            {"file_name": Path(row.video_path).name, "caption": row.caption}
            | row.model_dump(mode="json", exclude={"video_path", "caption", "split", "variants"})
            for row in mine
        ]
        if mine:
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
            write_whole(part / name / "metadata.jsonl", text)


def _write_text(part: Path, rows: Sequence[ManifestRow]) -> None:
    for row in rows:
        write_whole((part / row.video_path).with_suffix(".txt"), row.caption + "\n")


_WRITERS: dict[str, Callable[[Path, Sequence[ManifestRow]], None]] = {
    "jsonl": _write_jsonl,
    "videofolder": _write_videofolder,
    "text": _write_text,
}


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Failures of the disk in words."""
    try:
        yield
    except OSError as error:
        if is_full(error):
            raise disk_full(str(path)) from error
        raise InputError(
            "not_writable", f"{path} cannot be written ({error.strerror}).", "Choose another place."
        ) from error
