"""The record in the comment tag, chapters, and files that are no videos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from t2v_studio.errors import InputError, NotFoundError
from t2v_studio.video import decode
from t2v_studio.video.encode import Encoder
from t2v_studio.video.metadata import Chapter, ffmetadata, parse_ffmetadata, seal

AWKWARD = (
    "a=b; c#d \\ e\nzwei Zeilen\n\nÜber ∇f → „x“ 梯度 \\= [CHAPTER]\n;x\nStream #0:9: Video: vp9, gray, 1x1, 99 fps\\"
)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with Encoder(path, width=64, height=48, fps=10) as encoder:
        for n in range(40):
            encoder.write(np.full((48, 64, 3), 100 + n, np.uint8))
    return path


def test_ffmetadata_text() -> None:
    text = ffmetadata({"title": "a=b"}, [Chapter("One; two", 0, 1.5)])
    assert text == (";FFMETADATA1\ntitle=a\\=b\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=1500\ntitle=One\\; two\n")


def test_ffmetadata_reads_back() -> None:
    chapters = [Chapter("One = 1", 0.0, 2.5), Chapter("Zwei\nZeilen", 2.5, 4.0)]
    assert parse_ffmetadata(ffmetadata({"Comment": AWKWARD, "title": ""}, chapters)) == (
        {"comment": AWKWARD, "title": ""},
        chapters,
    )


@pytest.mark.parametrize("size", [1, 100_000, 2_000_000])
def test_the_comment_survives(clip: Path, tmp_path: Path, size: int) -> None:
    text = json.dumps({"text": AWKWARD, "long": ("ü∇" * size)[:size]}, ensure_ascii=False)
    seal(clip, tmp_path / "s.mp4", tags={"title": "Über = #1", "comment": text})
    assert decode.comment(tmp_path / "s.mp4") == text
    probe = decode.probe(tmp_path / "s.mp4")
    assert probe.comment == text
    assert probe.tags["title"] == "Über = #1"
    assert (probe.codec, probe.frames, probe.duration_s, probe.fps) == ("h264", 40, 4.0, 10.0)


def test_a_comment_that_looks_like_a_stream_is_not_believed(clip: Path, tmp_path: Path) -> None:
    seal(clip, tmp_path / "s.mp4", tags={"comment": AWKWARD, "title": "Stream #0:0: Video: vp9, gray, 1x1, 99 fps"})
    probe = decode.probe(tmp_path / "s.mp4")
    assert (probe.codec, probe.width, probe.fps) == ("h264", 64, 10.0)


def test_chapters(clip: Path, tmp_path: Path) -> None:
    chapters = [Chapter("The loss; a landscape", 0, 1.7), Chapter("Schritt #2 = −η∇f", 1.7, 4)]
    seal(clip, tmp_path / "s.mp4", tags={}, chapters=chapters)
    found = decode.probe(tmp_path / "s.mp4").chapters
    assert [chapter.title for chapter in found] == [chapter.title for chapter in chapters]
    assert [chapter.start_s for chapter in found] == pytest.approx([0, 1.7], abs=0.002)
    assert [chapter.end_s for chapter in found] == pytest.approx([1.7, 4], abs=0.002)


def test_sealing_copies_frames_and_keeps_the_index_in_front(clip: Path, tmp_path: Path) -> None:
    seal(clip, tmp_path / "s.mp4", tags={"comment": "x" * 70_000}, chapters=[Chapter("a", 0, 4)])
    for before, after in zip(decode.frames(clip), decode.frames(tmp_path / "s.mp4"), strict=True):
        assert np.array_equal(before, after)
    data = (tmp_path / "s.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    assert [path.name for path in tmp_path.iterdir()] == ["s.mp4"]


def test_sealing_is_deterministic(clip: Path, tmp_path: Path) -> None:
    for name in ("a.mp4", "b.mp4"):
        seal(clip, tmp_path / name, tags={"comment": "x"}, chapters=[Chapter("a", 0, 4)])
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_no_comment_is_an_empty_text(clip: Path) -> None:
    assert decode.comment(clip) == ""


def test_part_of_a_clip(clip: Path) -> None:
    frames = list(decode.frames(clip, start_s=2.0, limit=3))
    assert [round(float(frame.mean())) for frame in frames] == pytest.approx([120, 121, 122], abs=2)


def test_leaving_early_ends_ffmpeg(clip: Path) -> None:
    reader = decode.frames(clip)
    next(reader)
    reader.close()  # would hang if the child were waited for with a full pipe


@pytest.mark.parametrize("data", [b"", b"no video at all", b"\0" * 5000])
def test_what_is_no_video(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.mp4"
    path.write_bytes(data)
    for read in (decode.probe, decode.comment, lambda p: list(decode.frames(p))):
        with pytest.raises(InputError) as caught:
            read(path)
        assert caught.value.code == "not_a_video"


def test_a_cut_file_is_no_video(clip: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(clip.read_bytes()[:300])
    with pytest.raises(InputError):
        decode.probe(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        decode.probe(tmp_path / "none.mp4")
