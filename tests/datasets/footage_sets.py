"""Small sets of footage in the layouts of their publishers."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

from t2v_studio.video.encode import Encoder

PRESS, MARKET, NEITHER = "A reporter asks at a press conference.", "Vendors shout at a market.", "A cat sleeps."
SCENARIOS = """scenarios:
  press_room:
    keywords: [press conference, reporter, press]
    prompt_templates: ["{caption}", "A {scenario}, {caption}"]
    min_examples: 2
  market_floor:
    keywords: [market, vendors]
    prompt_templates: ["{caption}"]
    min_examples: 2
"""


def film(path: Path, shade: int, *, frames: int = 6, size: tuple[int, int] = (96, 64)) -> Path:
    """A few frames with a red square in the middle of a grey picture; each shade is another file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    with Encoder(path, width=width, height=height, fps=6) as encoder:
        for n in range(frames):
            frame = np.full((height, width, 3), 40 + shade, np.uint8)
            frame[height // 2 - 10 : height // 2 + 10, width // 2 - 10 : width // 2 + 10] = (200, 20 + n, 20)
            encoder.write(frame)
    return path


def msr_vtt(root: Path) -> Path:
    """Six videos of four YouTube videos; the keyword never stands in the last caption."""
    said = [PRESS, MARKET, PRESS, MARKET, NEITHER, PRESS]
    videos = [
        {"video_id": f"video{n}", "url": f"https://www.youtube.com/watch?v=abcdefghij{n % 4}", "split": "train"}
        for n in range(len(said))
    ]
    sentences = []
    for n, caption in enumerate(said):
        sentences.append({"video_id": f"video{n}", "sen_id": 2 * n, "caption": caption})
        sentences.append({"video_id": f"video{n}", "sen_id": 2 * n + 1, "caption": "Someone impressive is there."})
        film(root / "TrainValVideo" / f"video{n}.mp4", 10 * n)
    sentences.append({"video_id": "video99", "sen_id": 99, "caption": PRESS})
    (root / "train_val_videodatainfo.json").write_text(
        json.dumps({"info": {}, "videos": videos, "sentences": sentences})
    )
    return root


def vatex(root: Path) -> Path:
    rows = []
    for n, caption in enumerate([PRESS, PRESS, MARKET, MARKET]):
        name = f"Ptf_2VRj-V{n // 2}_00012{n}_00013{n}"
        rows.append({"videoID": name, "enCap": [caption, "Another view."], "chCap": ["一个人"]})
        film(root / "videos" / f"{name}.mp4", 10 * n + 3)
    (root / "vatex_training_v1.0.json").write_text(json.dumps(rows))
    return root


def panda70m(root: Path) -> Path:
    """One video that is cut already, one that is whole on the disk."""
    table = [
        ("https://www.youtube.com/watch?v=aaaaaaaaaaa", "aaaaaaaaaaa", "[['0:00:00.000', '0:00:01.000'], ['0:00:01.000', '0:00:02.000']]",
         str([PRESS, MARKET]), "[0.5, 0.4]"),
        ("https://www.youtube.com/watch?v=bbbbbbbbbbb", "bbbbbbbbbbb", "[['0:00:00.500', '0:00:01.500'], ['0:00:01.500', '0:00:02.500']]",
         str([PRESS, MARKET]), "[0.5, 0.4]"),
    ]  # fmt: skip
    root.mkdir(parents=True, exist_ok=True)
    with (root / "panda70m_training_2m.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("url", "videoID", "timestamp", "caption", "matching_score"), *table])
    for part in (0, 1):
        film(root / "clips" / f"aaaaaaaaaaa_{part}.mp4", 7 + part)
    film(root / "clips" / "bbbbbbbbbbb.mp4", 90, frames=18)
    return root


def panda70m_downloaded(root: Path) -> Path:
    """What the publisher's downloader leaves: a folder a shard, .mp4, .txt and .json of one name."""
    for n, caption in enumerate([PRESS, MARKET, PRESS, MARKET]):
        stem = root / "00000" / f"000000{n // 2}_0000{n % 2}"
        film(stem.with_suffix(".mp4"), 11 * n + 1)
        stem.with_suffix(".txt").write_text(caption)
        stem.with_suffix(".json").write_text(json.dumps({"url": f"https://www.youtube.com/watch?v=ccccccccc{n // 2}x"}))
    return root


def scenarios_file(folder: Path) -> Path:
    path = folder / "scenarios.yaml"
    path.write_text(SCENARIOS)
    return path
