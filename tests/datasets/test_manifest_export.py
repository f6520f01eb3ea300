"""Manifests as the folders that other trainers read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from training_clips import Clips

from t2v_studio.datasets.files import columns, csv_text
from t2v_studio.datasets.rows import ManifestRow, read_manifest
from t2v_studio.errors import InputError, StudioError
from t2v_studio.jobs.manifest_desk import ManifestDesk
from t2v_studio.video.decode import frames, probe


@pytest.fixture
def desk(own_clips: Clips) -> ManifestDesk:
    return ManifestDesk(own_clips.settings, own_clips.workspace)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_video_folder_has_a_table_a_split(desk: ManifestDesk, tmp_path: Path) -> None:
    made = desk.build(min_score=2)
    out = tmp_path / "set"
    told = desk.export(made["id"], "videofolder", out)
    assert told["clips"] == 6 and told["bytes"] > 0
    rows = {row["id"]: row for row in desk.rows(made["id"])}
    seen = 0
    for split, name in (("train", "train"), ("val", "validation"), ("test", "test")):
        lines = [json.loads(line) for line in (out / name / "metadata.jsonl").read_text().splitlines()]
        for line in lines:
            assert (out / name / line["file_name"]).is_file()
            assert rows[line["id"]]["split"] == split and rows[line["id"]]["caption"] == line["caption"]
        seen += len(lines)
    assert seen == 6
    # as the readers of this layout do it: a path joined from folder and file_name, with its caption
    assert not any(part.name.startswith(".") for part in tmp_path.iterdir()), "no half-made folder stays"


def test_text_layout_has_the_caption_beside_each_clip(desk: ManifestDesk, tmp_path: Path) -> None:
    made = desk.build(min_score=2)
    desk.export(made["jsonl"], "text", tmp_path / "set")
    there = files(tmp_path / "set")
    clips = {name for name in there if name.endswith(".mp4")}
    assert len(clips) == 6 and {name.replace(".mp4", ".txt") for name in clips} == there - clips
    captions = {(tmp_path / "set" / name).with_suffix(".txt").read_text().strip() for name in clips}
    assert captions == {row["caption"] for row in desk.rows(made["id"])}


def test_own_layout_can_be_carried_away_and_read(desk: ManifestDesk, tmp_path: Path) -> None:
    made = desk.build(min_score=2)
    desk.export(made["id"], "jsonl", tmp_path / "set")
    rows = read_manifest(tmp_path / "set", check_hashes=True)
    assert [row.id for row in rows] == [row["id"] for row in desk.rows(made["id"])]
    assert files(tmp_path / "set") == {"manifest.jsonl", "manifest.csv", *(row.video_path for row in rows)}


def test_scenes_become_files_of_their_own(desk: ManifestDesk, own_clips: Clips, tmp_path: Path) -> None:
    made = desk.build(unit="scene", min_score=4)
    desk.export(made["id"], "jsonl", tmp_path / "set")
    rows = read_manifest(tmp_path / "set", check_hashes=True)
    assert len(rows) == made["clips"] == 8
    for row in rows:
        file = tmp_path / "set" / row.video_path
        assert (row.start_frame, row.frames, probe(file).frames) == (0, 4, 4)
    second = next(row for row in rows if row.scene == "end")
    whole = list(frames(own_clips.workspace.video(second.record_id) / "video.mp4"))
    cut = list(frames(tmp_path / "set" / second.video_path))
    difference = [abs(a.astype(int) - b.astype(int)).mean() for a, b in zip(whole[4:], cut, strict=True)]
    assert max(difference) < 3, "the same pictures, but for the second encoding"


def test_an_export_never_writes_over_anything(desk: ManifestDesk, tmp_path: Path) -> None:
    made = desk.build(min_score=2)
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="is there already"):
        desk.export(made["id"], "text", tmp_path / "set")
    assert files(tmp_path / "set") == {"mine.txt"}
    with pytest.raises(InputError, match="videofoldr"):
        desk.export(made["id"], "videofoldr", tmp_path / "other")


def test_a_changed_clip_stops_an_export_and_leaves_nothing(desk: ManifestDesk, tmp_path: Path) -> None:
    made = desk.build(min_score=2)
    Path(desk.rows(made["id"])[-1]["video"]).unlink()
    with pytest.raises(StudioError, match="is gone"):
        desk.export(made["id"], "text", tmp_path / "set")
    assert list(tmp_path.glob("*set*")) == []


def test_a_caption_that_looks_like_a_formula_is_harmless_in_the_csv() -> None:
    row = ManifestRow(
        id="a", video_path="v.mp4", caption="=1+1", split="train", topic_tag="t", family="f", sha256="0" * 64, frames=1, fps=1,
        width=2, height=2, variants=["x", "y"],
    )  # fmt: skip
    head, line, _ = csv_text([row]).split("\n")
    assert head.split(",") == columns() and "'=1+1" in line and "x | y" in line
