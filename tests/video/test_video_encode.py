"""Frames in, a file out: exact counts and times, equal bytes, nothing left behind."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from t2v_studio.errors import InputError, LimitError, StudioError
from t2v_studio.video import decode, ffmpeg
from t2v_studio.video.encode import Encoder
from t2v_studio.video.planar import TILE_COLUMNS, TILE_ROWS, PlanarPicture

WIDTH, HEIGHT = 160, 96


def scene(count: int = 12, width: int = WIDTH, height: int = HEIGHT, channels: int = 4) -> list[np.ndarray]:
    """A coloured square that moves over a light page, opaque."""
    frames = []
    for n in range(count):
        frame = np.full((height, width, channels), 245, np.uint8)
        frame[20:44, 8 + 5 * n : 32 + 5 * n, :3] = (0, 114, 178)
        if channels == 4:
            frame[..., 3] = 255
        frames.append(frame)
    return frames


def encoded(path: Path, frames: list[np.ndarray], fps: float = 10, **options: object) -> Encoder:
    height, width = frames[0].shape[:2]
    with Encoder(path, width=width, height=height, fps=fps, **options) as encoder:  # type: ignore[arg-type]
        for frame in frames:
            encoder.write(frame)
    return encoder


def boxes(path: Path) -> list[str]:
    """Types of the top-level boxes of an MP4 (ISO/IEC 14496-12)."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        found.append(kind.decode())
        at += size
    return found


def test_the_file_is_what_browsers_play(tmp_path: Path) -> None:
    encoder = encoded(tmp_path / "a.mp4", scene(25))
    probe = decode.probe(tmp_path / "a.mp4")
    assert (probe.codec, probe.pix_fmt, probe.width, probe.height) == ("h264", "yuv420p", WIDTH, HEIGHT)
    assert (probe.fps, probe.frames, probe.duration_s) == (10, 25, 2.5)
    order = boxes(tmp_path / "a.mp4")
    assert order.index("moov") < order.index("mdat")
    assert encoder.result is not None
    assert (encoder.result.frames, encoder.result.duration_s, encoder.result.codec) == (25, 2.5, "h264")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_frames_come_back_as_they_went_in(tmp_path: Path) -> None:
    frames = scene(6)
    encoded(tmp_path / "a.mp4", frames)
    back = list(decode.frames(tmp_path / "a.mp4"))
    assert len(back) == 6
    for before, after in zip(frames, back, strict=True):
        error = np.abs(before[..., :3].astype(int) - after)
        assert error.mean() < 1.5  # colours survive: no swapped channels, no wrong matrix
    assert np.abs(back[0][30, 20].astype(int) - (0, 114, 178)).max() <= 6


def test_same_frames_same_bytes(tmp_path: Path) -> None:
    sums = set()
    for name in ("a.mp4", "b.mp4"):
        result = encoded(tmp_path / name, scene()).result
        assert result is not None
        sums.add((hashlib.sha256((tmp_path / name).read_bytes()).hexdigest(), result.frames_sha256))
    assert len(sums) == 1


def test_one_changed_pixel_changes_the_digest(tmp_path: Path) -> None:
    frames = scene()
    first = encoded(tmp_path / "a.mp4", frames).result
    frames[7] = frames[7].copy()
    frames[7][90, 150, 2] += 1
    second = encoded(tmp_path / "b.mp4", frames).result
    assert first is not None and second is not None
    assert first.frames_sha256 != second.frames_sha256


def test_digest_does_not_depend_on_the_way_frames_are_passed(tmp_path: Path) -> None:
    """RGB or RGBA, a new array or one buffer painted over: the pictures are the same."""
    rgba, rgb = scene(channels=4), scene(channels=3)
    buffer = np.empty_like(rgba[0])
    digests = set()
    for name, frames in (("a", rgba), ("b", rgb)):
        result = encoded(tmp_path / f"{name}.mp4", frames).result
        assert result is not None
        digests.add(result.frames_sha256)
    with Encoder(tmp_path / "c.mp4", width=WIDTH, height=HEIGHT, fps=10) as encoder:
        for frame in rgba:
            buffer[:] = frame
            encoder.write(buffer)
    assert encoder.result is not None
    assert {*digests, encoder.result.frames_sha256} == digests and len(digests) == 1


def test_held_frames_report_no_change(tmp_path: Path) -> None:
    frame = scene(1)[0]
    with Encoder(tmp_path / "a.mp4", width=WIDTH, height=HEIGHT, fps=10) as encoder:
        shares = [encoder.write(frame) for _ in range(5)]
    assert shares == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert decode.probe(tmp_path / "a.mp4").frames == 5


@pytest.mark.parametrize(("width", "height", "channels"), [(161, 97, 4), (161, 96, 3), (160, 97, 3), (131, 33, 4)])
def test_odd_sizes_are_padded_and_said(tmp_path: Path, width: int, height: int, channels: int) -> None:
    encoder = encoded(tmp_path / "a.mp4", scene(4, width, height, channels))
    probe = decode.probe(tmp_path / "a.mp4")
    assert (probe.width, probe.height) == (width + width % 2, height + height % 2)
    assert f"{width}x{height} was padded to {probe.width}x{probe.height}" in encoder.notices[0]
    picture = next(decode.frames(tmp_path / "a.mp4"))
    edges = (picture[-1].astype(int) - picture[-2], picture[:, -1].astype(int) - picture[:, -2])
    assert max(np.abs(edge).mean() for edge in edges) < 4


@pytest.mark.parametrize(("width", "height", "channels"), [(300, 100, 4), (301, 99, 3), (128, 16, 4), (64, 130, 3)])
def test_partial_conversion_equals_a_whole_one(width: int, height: int, channels: int) -> None:
    rng = np.random.default_rng(3)
    running = PlanarPicture(width, height)
    frame = rng.integers(0, 256, (height, width, channels), dtype=np.uint8)
    for _ in range(12):
        y, x = rng.integers(0, height - 8), rng.integers(0, width - 8)
        frame = frame.copy()
        frame[y : y + 8, x : x + 8, :3] = rng.integers(0, 256, 3)
        share = running.update(frame)
        fresh = PlanarPicture(width, height)
        assert fresh.update(frame) == 1.0
        assert (running.planes, running.digest) == (fresh.planes, fresh.digest)
        assert 0 < share <= 1


def test_planes_agree_with_ffmpegs_own_conversion(tmp_path: Path) -> None:
    """Luma and chroma of flat colours, within rounding of libswscale's BT.601."""
    frame = np.zeros((32, 64, 3), np.uint8)
    colours = [(255, 255, 255), (0, 0, 0), (213, 94, 0), (0, 158, 115)]
    for n, colour in enumerate(colours):
        frame[:, 16 * n : 16 * n + 16] = colour
    picture = PlanarPicture(64, 32)
    picture.update(frame)
    ours = np.frombuffer(picture.planes, np.uint8)
    raw = tmp_path / "in.rgb"
    raw.write_bytes(frame.tobytes())
    argv = [ffmpeg.find_ffmpeg(), "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-video_size", "64x32"]
    argv += ["-i", str(raw), "-sws_flags", "accurate_rnd+full_chroma_int", "-pix_fmt", "yuv420p", "-f", "rawvideo", "-"]
    theirs = np.frombuffer(ffmpeg.run(argv).stdout, np.uint8)
    luma = (slice(0, 64 * 32),)
    assert np.abs(ours[luma].astype(int) - theirs[luma]).max() <= 1
    inner = np.zeros((16, 32), bool)
    for n in range(4):
        inner[:, 8 * n + 2 : 8 * n + 6] = True  # away from the edges, where the two filter differently
    for plane in ours[64 * 32 :].reshape(2, 16, 32).astype(int) - theirs[64 * 32 :].reshape(2, 16, 32):
        assert np.abs(plane[inner]).max() <= 2


def test_tile_digest_is_as_documented() -> None:
    """Recomputed here from the docstring alone."""
    rng = np.random.default_rng(5)
    frame = rng.integers(0, 256, (TILE_ROWS + 5, TILE_COLUMNS + 7, 3), dtype=np.uint8)
    picture = PlanarPicture(frame.shape[1], frame.shape[0])
    picture.update(frame)
    rows, columns = (0, TILE_ROWS, frame.shape[0]), (0, TILE_COLUMNS, frame.shape[1])
    tiles = [frame[rows[i] : rows[i + 1], columns[j] : columns[j + 1]].tobytes() for i in (0, 1) for j in (0, 1)]
    assert picture.digest == hashlib.sha256(b"".join(hashlib.sha256(tile).digest() for tile in tiles)).digest()


@pytest.mark.parametrize(
    "frame",
    [
        np.zeros((HEIGHT, WIDTH), np.uint8),
        np.zeros((HEIGHT, WIDTH, 2), np.uint8),
        np.zeros((WIDTH, HEIGHT, 3), np.uint8),
        np.zeros((HEIGHT, WIDTH, 3), np.float32),
        None,
    ],
)
def test_a_wrong_frame_is_refused(tmp_path: Path, frame: np.ndarray) -> None:
    with (
        pytest.raises(InputError, match="frame:"),
        Encoder(tmp_path / "a.mp4", width=WIDTH, height=HEIGHT, fps=10) as e,
    ):
        e.write(frame)
    assert list(tmp_path.iterdir()) == []


def test_an_exception_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), Encoder(tmp_path / "a.mp4", width=WIDTH, height=HEIGHT, fps=10) as encoder:
        for frame in scene():
            encoder.write(frame)
        raise KeyError("x")
    assert list(tmp_path.iterdir()) == []
    assert encoder.result is None


def test_no_frames_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StudioError, match="no frames"), Encoder(tmp_path / "a.mp4", width=8, height=8, fps=10):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StudioError) as caught:
        encoded(tmp_path / "none" / "a.mp4", scene(60))
    assert caught.value.details["stderr"]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    """/dev/full answers every write with ENOSPC, as a full disk does."""
    full = tmp_path / ".a.mp4.part"
    full.symlink_to("/dev/full")
    with pytest.raises(LimitError) as caught:
        encoded(tmp_path / "a.mp4", scene(40))
    assert caught.value.code == "disk_full"
    assert list(tmp_path.iterdir()) == []


def test_a_stalled_ffmpeg_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ffmpeg, "encode_argv", lambda *args, **kwargs: ["sleep", "60"])
    with pytest.raises(LimitError) as caught:
        encoded(tmp_path / "a.mp4", scene(80, 640, 360), stall_limit_s=0.3)
    assert caught.value.code == "ffmpeg_timeout"


def test_gif_beside_the_path_where_no_encoder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    result = encoded(tmp_path / "a.mp4", scene(30), fps=30).result
    assert result is not None
    assert (result.path.name, result.codec) == ("a.gif", "gif")
    assert "GIF" in result.notices[0] and "IMAGEIO_FFMPEG_EXE" in result.notices[0]
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]
    from PIL import Image

    with Image.open(tmp_path / "a.gif") as picture:
        assert picture.size == (WIDTH, HEIGHT)
        assert picture.n_frames == 10  # type: ignore[attr-defined]
        assert picture.info["duration"] == 100
