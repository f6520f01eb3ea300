"""Whether what drew a video is still there as it was, and what is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from t2v_studio.adapters.catalogue import find, worn_experts
from t2v_studio.errors import ConflictError
from t2v_studio.production.record import SceneRecord, VideoRecord
from t2v_studio.workspace import Workspace

_OF_A_LORA = {
    "sha256": "Add the file that the record names, or make a new video with this one.",
    "alpha": "Remove it and add its file again with --alpha {then}, or make a new video with it as it is.",
    "experts": "Set it back with: t2v adapters edit {id} --experts {then}; or make a new video with it as it is.",
}
"""What decides how a LoRA changes a model, and what to do where it is no longer so."""


def require_same_adapter(record: VideoRecord, workspace: Workspace) -> None:
    """Raise ConflictError where the LoRA of a record changes a model otherwise by now: its id goes by its file, and the
    same file may come back with another alpha."""
    if record.adapter is None or not record.request.adapter:
        return
    card = find(workspace, record.request.adapter)
    present = {"sha256": card.sha256, "alpha": card.alpha, "experts": worn_experts(workspace, card)}
    for name, now in present.items():
        then = record.adapter.get(name)
        if then is not None and then != now:
            raise ConflictError(
                "adapter_changed",
                f"The LoRA {card.name} has {name} {_short(now)} now, and {record.id} was drawn with {_short(then)}.",
                _OF_A_LORA[name].format(id=card.id, then=_short(then)),
            )


def changes(then: VideoRecord, now: VideoRecord) -> list[str]:
    """What two records of one plan were drawn with that is not the same, such as "attention: cudnn then, native now"."""
    versions = {name: then.versions.get(name, "none") for name in now.versions}
    scenes = (said for old, new in zip(then.scenes, now.scenes, strict=False) for said in _of_a_scene(old, new))
    return list(dict.fromkeys([*scenes, *_unlike(versions, now.versions)]))


def _of_a_scene(old: SceneRecord, new: SceneRecord) -> Iterator[str]:
    own = ("engine", "model", "revision")
    yield from _unlike({name: getattr(old, name) for name in own}, {name: getattr(new, name) for name in own})
    lora = [one.details.get("adapter") or {} for one in (old, new)]
    for name in _OF_A_LORA:
        mine = [{f"{name} of the LoRA": one[name]} for one in lora if name in one]
        if len(mine) == 2:
            yield from _unlike(*mine)
    yield from _unlike(old.details.get("numerics", {}), new.details.get("numerics", {}))


def _unlike(then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    return (
        f"{name.replace('_', ' ')}: {_short(then[name])} then, {_short(now[name])} now"
        for name in now
        if name in then and then[name] != now[name]
    )


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)[:16] if len(str(value)) > 40 else str(value)
