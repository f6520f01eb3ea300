"""The argument lists, in full, and how failures of the binary are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2v_studio.errors import LimitError, StudioError, UnavailableError
from t2v_studio.video import ffmpeg


def test_encode_argv_of_drawings() -> None:
    argv = ffmpeg.encode_argv(
        "ff", Path("/v/a.mp4"), width=1280, height=720, fps=30, threads=2, content="graphics", encoder="libx264"
    )
    assert " ".join(argv) == (
        "ff -hide_banner -loglevel error -nostats -y -f rawvideo -pix_fmt yuv420p -video_size 1280x720 -framerate 30 "
        "-i pipe:0 -an -vf setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=smpte170m "
        "-c:v libx264 -pix_fmt yuv420p -preset veryfast -crf 18 -threads 2 "
        "-x264-params me=dia:subme=1:weightp=0:bframes=0 -g 60 -flags:v +cgop+bitexact -fflags +bitexact "
        "-map_metadata -1 -movflags +faststart -f mp4 file:/v/a.mp4"
    )


def test_encode_argv_of_footage_keeps_the_motion_search() -> None:
    argv = ffmpeg.encode_argv(
        "ff", Path("/a.mp4"), width=64, height=48, fps=10, threads=1, content="footage", encoder="libx264"
    )
    assert "-x264-params" not in argv
    assert argv[argv.index("-g") + 1] == "20"


def test_encode_argv_of_openh264_takes_a_bit_rate() -> None:
    argv = ffmpeg.encode_argv(
        "ff", Path("/a.mp4"), width=1280, height=720, fps=30, threads=2, content="graphics", encoder="libopenh264"
    )
    assert argv[argv.index("-b:v") + 1] == "3686400"
    assert "-crf" not in argv and "-preset" not in argv


def test_remux_argv_copies() -> None:
    argv = ffmpeg.remux_argv("ff", Path("/a.mp4"), Path("/t.txt"), Path("/b.mp4"))
    assert " ".join(argv) == (
        "ff -hide_banner -loglevel error -nostats -y -i file:/a.mp4 -f ffmetadata -i file:/t.txt -map 0:v:0 -c copy "
        "-map_metadata 1 -map_chapters 1 -fflags +bitexact -movflags +faststart -f mp4 file:/b.mp4"
    )


def test_reading_argvs() -> None:
    assert " ".join(ffmpeg.info_argv("ff", Path("/a.mp4"))) == (
        "ff -hide_banner -nostdin -loglevel info -stats -i file:/a.mp4 -map 0:v:0 -c copy -f null -"
    )
    assert " ".join(ffmpeg.metadata_argv("ff", Path("/a.mp4"))) == (
        "ff -hide_banner -nostdin -loglevel error -i file:/a.mp4 -map_metadata 0 -map_chapters 0 -f ffmetadata pipe:1"
    )
    assert " ".join(ffmpeg.decode_argv("ff", Path("/a.mp4"), start_s=1.5, limit=3)) == (
        "ff -hide_banner -nostdin -loglevel error -ss 1.500000 -i file:/a.mp4 -map 0:v:0 -fps_mode passthrough "
        "-frames:v 3 -f rawvideo -pix_fmt rgb24 pipe:1"
    )


@pytest.mark.parametrize(
    ("fps", "text"), [(30, "30"), (10.0, "10"), (29.97, "30000/1001"), (23.976, "24000/1001"), (12.5, "25/2")]
)
def test_rate(fps: float, text: str) -> None:
    assert ffmpeg.rate(fps) == text


def test_a_name_is_never_an_option_or_a_protocol() -> None:
    assert ffmpeg.file_url(Path("-y.mp4")).startswith("file:/")
    assert ffmpeg.file_url(Path("/x/concat:a|b.mp4")) == "file:/x/concat:a|b.mp4"


def test_environment_is_clean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "x")
    monkeypatch.setenv("LD_PRELOAD", "x.so")
    assert {"SECRET_TOKEN", "LD_PRELOAD"}.isdisjoint(ffmpeg.clean_environment())


def test_a_binary_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    with pytest.raises(UnavailableError, match="does not run") as caught:
        ffmpeg.find_ffmpeg()
    assert "IMAGEIO_FFMPEG_EXE" in caught.value.hint


def test_the_named_binary_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = ffmpeg.find_ffmpeg()
    link = tmp_path / "my ffmpeg"
    link.symlink_to(real)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(link))
    assert ffmpeg.find_ffmpeg() == str(link)
    assert ffmpeg.h264_encoder(str(link)) == "libx264"


def test_time_limit_ends_a_run() -> None:
    endless = [ffmpeg.find_ffmpeg(), "-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc", "-f", "null", "-"]
    with pytest.raises(LimitError) as caught:
        ffmpeg.run(endless, limit_s=0.5)
    assert caught.value.code == "ffmpeg_timeout"


def test_failure_keeps_what_ffmpeg_said() -> None:
    with pytest.raises(StudioError) as caught:
        ffmpeg.run([ffmpeg.find_ffmpeg(), "-hide_banner", "-i", "file:/no/such.mp4"])
    assert caught.value.code == "ffmpeg_failed"
    assert any("No such file" in line for line in caught.value.details["stderr"])


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("av_interleaved_write_frame(): No space left on device", "disk_full"),
        ("/x: Permission denied", "not_writable"),
        ("Unknown encoder", "ffmpeg_failed"),
        ("", "ffmpeg_failed"),
    ],
)
def test_failures_by_cause(said: str, code: str) -> None:
    assert ffmpeg.failure(1, said).code == code
