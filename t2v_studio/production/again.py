"""The video of a record once more, and what its scenes were drawn with."""

from __future__ import annotations

from typing import Any

from t2v_studio.engines.base import SceneSettings
from t2v_studio.production import records
from t2v_studio.production.likeness import changes, require_same_adapter
from t2v_studio.production.produce import AsRecorded, produce
from t2v_studio.production.record import VideoRecord
from t2v_studio.workspace import Workspace


def again(record: VideoRecord, *, workspace: Workspace, **surroundings: Any) -> VideoRecord:
    """The video of a record once more, as a new video: same plan, seed, size and number of frames, and each scene with
    the settings that its retries had found.

    surroundings: as of `produce`. A notice says so where the frames differ, and what has changed since (model, numbers,
    versions). Raises ConflictError adapter_changed, and as `produce`.
    """
    require_same_adapter(record, workspace)
    made = produce(
        record.request,
        AsRecorded(record.plan, record.evidence, record.grounding),
        workspace=workspace,
        scene_settings=settings_of(record),
        **surroundings,
    )
    if made.frames_sha256 != record.frames_sha256:
        changed = changes(record, made)
        why = f"What has changed: {'; '.join(changed)}" if changed else "Nothing that the record names has changed"
        records.add_notices(workspace, made, [f"The frames are not those of {record.id}. {why}."])
    return made


def settings_of(record: VideoRecord) -> tuple[SceneSettings | None, ...]:
    """What each scene of a record was drawn with, to draw it so again."""
    found = []
    for scene in record.scenes:
        settings = SceneSettings.model_validate(scene.settings)
        if scene.engine == "local" != record.request.engine:
            settings = settings.model_copy(update={"engine": "local", "reason": settings.reason or scene.fallback})
        found.append(settings)
    return tuple(found)
