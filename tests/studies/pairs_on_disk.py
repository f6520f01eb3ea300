"""Finished pairs without an engine: tiny H.264 files, records and grounding as production writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from t2v_studio.planning.plan import Scene, ScenePlan, Step
from t2v_studio.production import records
from t2v_studio.production.record import SceneRecord, VideoRecord
from t2v_studio.production.request import VideoRequest
from t2v_studio.studies.blinding import sha256_of
from t2v_studio.video.encode import Encoder
from t2v_studio.video.metadata import Chapter, seal
from t2v_studio.workspace import Workspace, new_id

WIDTH, HEIGHT, FPS = 128, 128, 8.0
SECRET = "Steepest descent subtracts the scaled derivative"
"""Stands in the treated plan and prompt only."""


def make_pair_on_disk(
    workspace: Workspace,
    topic: str,
    *,
    frames: tuple[int, int] = (8, 8),
    control: dict[str, Any] | None = None,
    treated: dict[str, Any] | None = None,
    grounded: bool = True,
    same_pictures: bool = False,
) -> str:
    """A pair under outputs/; control and treated change fields of the records. Returns its id."""
    pair_id, number = new_id("pair"), sum(map(ord, topic))
    arms = {}
    for arm, length, changes in (("no_rag", frames[0], control), ("rag_semantic", frames[1], treated)):
        shade = number if same_pictures or arm == "no_rag" else number + 90
        arms[arm] = _video(workspace, pair_id, arm, topic, length, shade, changes or {})
    folder = workspace.pair(pair_id)
    folder.mkdir(parents=True)
    pair = {"id": pair_id, "topic": topic, "created_at": "2026-01-01T00:00:00.000+00:00", "arms": arms, "notices": []}
    (folder / "pair.json").write_text(json.dumps(pair), encoding="utf-8")
    (folder / "grounding.json").write_text(json.dumps({"ok": grounded, "scenes": []}), encoding="utf-8")
    return pair_id


def _video(
    workspace: Workspace, pair_id: str, arm: str, topic: str, frames: int, shade: int, changes: dict[str, Any]
) -> str:
    video_id, treated = new_id("vid"), arm != "no_rag"
    folder = workspace.video(video_id)
    folder.mkdir(parents=True)
    digest = _encode(folder / "raw.mp4", frames, shade)
    tags = {"comment": json.dumps({"arm": arm, "prompt": SECRET}), "title": f"{topic} {arm}"}
    seal(folder / "raw.mp4", folder / "video.mp4", tags=tags, chapters=[Chapter(f"Scene {arm}", 0, frames / FPS)])
    (folder / "raw.mp4").unlink()
    say = SECRET if treated else "We step downhill."
    scene = Scene(id="start", title="Start", steps=[Step(say=say)], prompt=f"A diagram. {say}")
    record = VideoRecord(
        id=video_id,
        arm=arm,
        pair_id=pair_id,
        created_at="2026-01-01T00:00:00.000+00:00",
        request=VideoRequest(
            topic=topic, use_rag=treated, seed=3, show_sources=False, width=WIDTH, height=HEIGHT, fps=FPS
        ),
        plan=ScenePlan(topic=topic, objective=f"Understand {topic}.", seed=3, scenes=[scene]),
        scenes=[SceneRecord(id="start", engine="local", seed=3, frames=frames, start_s=0, duration_s=frames / FPS)],
        width=WIDTH,
        height=HEIGHT,
        fps=FPS,
        frames=frames,
        duration_s=frames / FPS,
        verdict="ok",
        versions={},
        timings_s={},
        files={"video": "video.mp4", "record": "record.json"},
        video_sha256=sha256_of(folder / "video.mp4"),
        frames_sha256=digest,
    )
    record = VideoRecord.model_validate(_merged(record.model_dump(mode="json"), changes))
    (folder / "record.json").write_text(records.dump(record), encoding="utf-8")
    return video_id


def _encode(path: Path, frames: int, shade: int) -> str:
    with Encoder(path, width=WIDTH, height=HEIGHT, fps=FPS) as encoder:
        for n in range(frames):
            frame = np.full((HEIGHT, WIDTH, 3), 30 + shade % 180, np.uint8)
            frame[20:60, 5 + 4 * n : 40 + 4 * n] = (200, 40, 40)
            encoder.write(frame)
    assert encoder.result is not None
    return encoder.result.frames_sha256


def _merged(data: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`changes` over `data`, dicts merged; "scene": changes of the one scene."""
    for name, value in changes.items():
        if name == "scene":
            data["scenes"][0] |= value
        elif isinstance(value, dict):
            data[name] = data[name] | value
        else:
            data[name] = value
    return data
