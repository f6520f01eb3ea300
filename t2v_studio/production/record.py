"""The record beside each video: everything that is needed to make it again."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from t2v_studio.library.passages import Evidence
from t2v_studio.planning.plan import ScenePlan
from t2v_studio.production.request import VideoRequest

Arm = Literal["", "no_rag", "rag_semantic", "rag_overlay"]


class SceneRecord(BaseModel):
    """What made one scene, and what it looks like."""

    model_config = ConfigDict(extra="forbid")

    id: str
    engine: str
    model: str = ""
    revision: str = ""
    seed: int
    frames: int
    start_s: float
    duration_s: float
    retries: list[dict[str, Any]] = Field(default_factory=list)
    fallback: str = ""
    settings: dict[str, Any] = Field(
        default_factory=dict, description="What retries changed (`SceneSettings`); enough to draw the scene again."
    )
    details: dict[str, Any] = Field(default_factory=dict, description="How it was made: tier, tokens, timings, limit.")
    verdict: str = "ok"
    measures: dict[str, float] = Field(default_factory=dict)


class VideoRecord(BaseModel):
    """`record.json`. Paths are relative to the record's own folder."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = 1
    id: str
    arm: Arm = ""
    pair_id: str = ""
    created_at: str
    request: VideoRequest = Field(description="As asked, with the seed, size, rate and length filled in.")
    plan: ScenePlan
    evidence: dict[str, list[Evidence]] = Field(default_factory=dict, description="Scene id to evidence.")
    grounding: dict[str, Any] | None = None
    scenes: list[SceneRecord]
    width: int
    height: int
    fps: float
    frames: int
    duration_s: float
    verdict: str
    measures: dict[str, float] = Field(default_factory=dict)
    notices: list[str] = Field(default_factory=list, description="What was rounded, replaced or left out, in words.")
    adapter: dict[str, Any] | None = None
    versions: dict[str, str]
    timings_s: dict[str, float]
    files: dict[str, str] = Field(description="video, poster, srt, vtt, first_frame, middle_frame, last_frame, record.")
    video_sha256: str
    frames_sha256: str = Field(description="SHA-256 over the raw RGB frames, before encoding.")
