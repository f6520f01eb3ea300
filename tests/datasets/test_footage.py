"""Footage in its publishers' layouts to scenario metadata."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from footage_sets import MARKET, PRESS, film, msr_vtt, panda70m, panda70m_downloaded, scenarios_file, vatex

from t2v_studio.datasets.footage import first_frame
from t2v_studio.datasets.rows import latent_path, read_manifest
from t2v_studio.datasets.scenarios import assign, parse_scenarios, read_scenarios
from t2v_studio.datasets.sources import read_source
from t2v_studio.errors import InputError, NotFoundError, StudioError
from t2v_studio.jobs.manifest_desk import ManifestDesk


@pytest.fixture
def desk(settings: Any, workspace: Any) -> ManifestDesk:
    return ManifestDesk(settings, workspace)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("sets")
    return {
        "msr-vtt": msr_vtt(root / "msr"),
        "vatex": vatex(root / "vatex"),
        "panda70m": panda70m(root / "panda"),
        "downloaded": panda70m_downloaded(root / "downloaded"),
    }


def build(desk: ManifestDesk, sources: list[tuple[str, Path]], folder: Path, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:  # fmt: skip
    made = desk.build_scenarios(sources, folder / "out", scenarios=scenarios_file(folder), **options)
    return made, json.loads(Path(made["metadata"]).read_text())


def test_msr_vtt_uses_every_caption_and_whole_words(desk: ManifestDesk, sets: dict[str, Path], tmp_path: Path) -> None:
    made, data = build(desk, [("msr-vtt", sets["msr-vtt"])], tmp_path, validation_ratio=0.4)
    rows = data["train"] + data["validation"]
    assert made["clips"] == len(rows) == 5
    assert made["counts"] == {
        "read": 7,
        "no_caption": 0,
        "no_video": 1,
        "no_scenario": 1,
        "over_limit": 0,
        "unreadable": 0,
    }
    assert {(row["scenario"], row["caption"]) for row in rows} == {("press_room", PRESS), ("market_floor", MARKET)}
    assert all(len(row["captions"]) == 2 for row in rows), "no caption of a video is lost"
    assert data["counts"] == made["counts"] and data["scenarios"] == made["scenarios"]
    assert sum(one["train"] + one["validation"] for one in made["scenarios"].values()) == 5


def test_train_and_validation_share_no_source_video(desk: ManifestDesk, sets: dict[str, Path], tmp_path: Path) -> None:
    both = [("msr-vtt", sets["msr-vtt"]), ("vatex", sets["vatex"]), ("panda70m", sets["panda70m"])]
    made, data = build(desk, both, tmp_path, validation_ratio=0.5)
    train, validation = ({row["source_video"] for row in data[name]} for name in ("train", "validation"))
    assert train and validation and not train & validation and made["leaks"]["ok"]
    # video1 and video5 of MSR-VTT are cut from one YouTube video
    assert sum(row["source_video"] == "msr-vtt/abcdefghij1" for row in data["train"] + data["validation"]) == 2


def test_every_path_is_relative_and_there(desk: ManifestDesk, sets: dict[str, Path], tmp_path: Path) -> None:
    from PIL import Image

    made, data = build(desk, [("vatex", sets["vatex"])], tmp_path)
    out = Path(made["metadata"]).parent
    for row in data["train"] + data["validation"]:
        assert (out / row["video_path"]).resolve().is_file() and not row["video_path"].startswith("/")
        assert row["latent_path"] == latent_path(row["sha256"], row["scenario"])
        with Image.open(out / row["image_path"]) as picture:
            assert picture.size == (720, 480)
    assert str(tmp_path) not in Path(made["metadata"]).read_text()
    rows = read_manifest(out, check_hashes=True)
    assert {row.id for row in rows} == {f"vatex/Ptf_2VRj-V{n // 2}_00012{n}_00013{n}" for n in range(4)}
    assert {row.source for row in rows} == {"vatex"} and {row.scenario for row in rows} == {
        "press_room",
        "market_floor",
    }


def test_prompts_hold_each_variant_once(desk: ManifestDesk, sets: dict[str, Path], tmp_path: Path) -> None:
    _, data = build(desk, [("vatex", sets["vatex"])], tmp_path, trigger_token="tok")
    press = next(row for row in data["train"] + data["validation"] if row["scenario"] == "press_room")
    assert press["prompt_variants"] == [PRESS, f"A press room, {PRESS.rstrip('.')}"]
    row = next(row for row in read_manifest(tmp_path / "out") if row.scenario == "press_room")
    assert row.caption == f"tok, {PRESS}" and row.variants[0] == "Another view."


def test_panda70m_reads_cut_clips_and_parts_of_whole_videos(
    desk: ManifestDesk, sets: dict[str, Path], tmp_path: Path
) -> None:
    build(desk, [("panda70m", sets["panda70m"])], tmp_path)
    rows = {row.id: row for row in read_manifest(tmp_path / "out", check_hashes=True)}
    assert (rows["panda70m/aaaaaaaaaaa_1"].start_frame, rows["panda70m/aaaaaaaaaaa_1"].frames) == (0, 6)
    parts = [rows[f"panda70m/bbbbbbbbbbb_{n}"] for n in (0, 1)]
    assert [(row.start_frame, row.frames) for row in parts] == [(3, 6), (9, 6)]
    assert parts[0].sha256 == parts[1].sha256 and len({row.split for row in parts}) == 1


def test_panda70m_as_its_downloader_leaves_it(desk: ManifestDesk, sets: dict[str, Path], tmp_path: Path) -> None:
    made, data = build(desk, [("panda70m", sets["downloaded"])], tmp_path, validation_ratio=0.5)
    assert made["clips"] == 4 and made["source_videos"] == 2
    assert {row["source_video"] for row in data["train"] + data["validation"]} == {
        "panda70m/ccccccccc0x",
        "panda70m/ccccccccc1x",
    }


def test_too_few_clips_are_refused_before_anything_is_written(
    desk: ManifestDesk, sets: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(StudioError, match="market_floor has 2 of 3") as caught:
        build(desk, [("vatex", sets["vatex"])], tmp_path, min_examples=3)
    assert caught.value.code == "too_few_examples" and not (tmp_path / "out").exists()
    with pytest.raises(StudioError, match="press_room has 2 of 800"):
        desk.build_scenarios([("vatex", sets["vatex"])], tmp_path / "out")


def test_a_limit_and_a_second_run_that_changes_nothing(
    desk: ManifestDesk, sets: dict[str, Path], tmp_path: Path
) -> None:
    made, _ = build(desk, [("msr-vtt", sets["msr-vtt"])], tmp_path, limit=2)
    assert made["clips"] == 4 and made["counts"]["over_limit"] == 1
    pictures = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")}
    before = Path(made["metadata"]).read_bytes()
    build(desk, [("msr-vtt", sets["msr-vtt"])], tmp_path, limit=2)
    assert Path(made["metadata"]).read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.png")} == pictures


def test_an_unreadable_video_is_counted_and_named(desk: ManifestDesk, tmp_path: Path) -> None:
    root = msr_vtt(tmp_path / "msr")
    (root / "TrainValVideo" / "video5.mp4").write_bytes(b"broken")
    made, _ = build(desk, [("msr-vtt", root)], tmp_path)
    assert made["counts"]["unreadable"] == 1 and any("video5" in text for text in made["warnings"])


def test_first_frames_are_cropped_and_not_stretched(tmp_path: Path) -> None:
    import numpy as np
    from PIL import Image

    for size in ((200, 60), (60, 200)):
        video = film(tmp_path / f"{size[0]}.mp4", 0, size=size)
        with Image.open(first_frame(video, tmp_path / f"{size[0]}.png", (72, 48))) as picture:
            pixels = np.asarray(picture).astype(int)
        red = np.argwhere((pixels[..., 0] > 150) & (pixels[..., 1] < 90))
        height, width = np.ptp(red, axis=0) + 1
        assert abs(height - width) <= 2, "a square stays a square"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ({"scenario": {}}, "scenario"),
        ({"scenarios": {"a": {"keywords": ["x"], "prompt_template": ["{caption}"]}}}, "prompt_template"),
        ({"scenarios": {"a": {"keywords": [], "prompt_templates": ["{caption}"]}}}, "keywords"),
        ({"scenarios": {"a": {"keywords": ["x"], "prompt_templates": ["no field"]}}}, "caption"),
        ({"scenarios": {"a": {"keywords": ["x"], "prompt_templates": ["{caption} {size}"]}}}, "size"),
        ({"scenarios": {"A B": {"keywords": ["x"], "prompt_templates": ["{caption}"]}}}, "A B"),
        (
            {"scenarios": {"a": {"keywords": ["x"], "prompt_templates": ["{caption}"], "min_examples": 0}}},
            "min_examples",
        ),
        ([], "scenarios"),
    ],
)
def test_a_scenarios_file_is_read_strictly(spoil: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_scenarios(spoil)


def test_the_scenarios_that_ship() -> None:
    found = read_scenarios()
    assert {name: one.min_examples for name, one in found.items()} == {
        "press_room": 800, "market_floor": 800, "outdoor_briefing": 500, "studio_panel": 500}  # fmt: skip
    assert assign(["An impressive supermarket trolley"], found) == ("", ""), "words count whole"
    assert assign(["A man talks.", "A Reporter holds a MICROPHONE"], found) == (
        "press_room",
        "A Reporter holds a MICROPHONE",
    )
    assert assign(["traders on the trading  floor"], found)[0] == "market_floor"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "sentences"),
        ('{"sentences": [{"caption": "x"}]}', "video_id"),
        ('{"sentences": []}', "no captions"),
        ("not json", "sentences"),
    ],
)
def test_annotations_that_are_none_are_named(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "info.json").write_text(content)
    with pytest.raises(InputError, match=said):
        read_source("msr-vtt", tmp_path)


def test_a_source_that_is_not_known_or_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="msrvtt"):
        read_source("msrvtt", tmp_path)
    with pytest.raises(NotFoundError, match="nowhere"):
        read_source("vatex", tmp_path / "nowhere")
    (tmp_path / "bad.csv").write_text("videoID,timestamp,caption\naaa,\"[['0:00', '0:01']]\",\"['a', 'b']\"\n")
    with pytest.raises(InputError, match="line 2: 2 captions and 1 timestamps"):
        read_source("panda70m", tmp_path)
