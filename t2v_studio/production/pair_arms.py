"""Both arms of a pair drawn alike: what retries changed in one holds for the other.

An arm whose scene needed another seed, more steps, another decoder or the local engine gives these settings to the
other arm, which is drawn again with them. That goes on until both agree, a few times at most.
"""

from __future__ import annotations

import logging
from contextlib import nullcontext
from typing import Any

from t2v_studio.engines.base import SceneSettings
from t2v_studio.errors import StudioError
from t2v_studio.planning.planner import Planned
from t2v_studio.production import records
from t2v_studio.production.again import settings_of
from t2v_studio.production.produce import Report, produce
from t2v_studio.production.record import Arm, SceneRecord, VideoRecord
from t2v_studio.production.request import VideoRequest

log = logging.getLogger(__name__)

ROUNDS = 3
"""Times that an arm is drawn again to agree with the other, before the local engine draws what they differ in."""

PAIR = "pair"
"""Cause of a retry that the other arm of the pair asked for."""

Settings = tuple[SceneSettings | None, ...]


class PairArms:
    """Draws control and treated arm. drawing: what `produce` needs beside the request, its plan and the ids."""

    def __init__(
        self,
        arms: list[tuple[VideoRequest, Planned, Arm]],
        pair_id: str,
        video_ids: tuple[str, str],
        report: Report,
        drawing: dict[str, Any],
    ) -> None:
        self._arms, self._pair_id, self._video_ids = arms, pair_id, video_ids
        self._report, self._drawing = report, drawing
        self._made: list[VideoRecord | None] = [None, None]
        self.notices: list[str] = []

    def alike(self) -> list[VideoRecord]:
        """Both records, with the same settings in every scene as far as that can be reached."""
        together = getattr(self._drawing["engine"], "together", nullcontext)
        with together():
            return self._agreed()

    def _agreed(self) -> list[VideoRecord]:
        for number in range(2):
            self._made[number] = self._kept(number) or self._draw(number, ())
        for attempt in range(ROUNDS + 1):
            unlike = differing(*self.records)
            if not unlike:
                break
            common = common_settings(*self.records, give_up=attempt == ROUNDS and self._may_fall_back())
            drawn = [settings_of(record) for record in self.records]
            behind = [number for number in range(2) if any(drawn[number][i] != common[i] for i in unlike)]
            # Where the settings agree and what else decides pixels does not, memory was short in the later arm.
            for number in behind or [0]:
                self._again(number, common, unlike)
        return self.records

    @property
    def records(self) -> list[VideoRecord]:
        return [record for record in self._made if record is not None]

    def discard(self) -> None:
        """Take both videos away."""
        workspace = self._drawing["workspace"]
        for record in self.records:
            records.discard(workspace, record.id)

    def _may_fall_back(self) -> bool:
        return self._arms[0][0].fallback_local_on_fail and self._drawing["engine"].name != "local"

    def _again(self, number: int, common: Settings, scenes: list[int]) -> None:
        old = self._made[number]
        assert old is not None
        named = ", ".join(str(index + 1) for index in scenes)
        log.info("arm %s is drawn again, so that scenes %s are alike in both", old.arm, named)
        notice = f"Scenes {named} were drawn again in one video, so that a retry in the other holds for both."
        if notice not in self.notices:
            self.notices.append(notice)
        self._made[number] = None
        records.discard(self._drawing["workspace"], old.id)
        tries = [
            [*scene.retries, *([_carried(scene)] if index in scenes else [])] for index, scene in enumerate(old.scenes)
        ]
        self._made[number] = self._draw(number, common, tries)

    def _draw(
        self, number: int, scene_settings: Settings, earlier_tries: list[list[dict[str, Any]]] | None = None
    ) -> VideoRecord:
        asked, plan, arm = self._arms[number]
        return produce(
            asked,
            plan,
            report=_half(self._report, number),
            pair_id=self._pair_id,
            arm=arm,
            video_id=self._video_ids[number],
            scene_settings=scene_settings,
            earlier_tries=earlier_tries or [],
            **self._drawing,
        )

    def _kept(self, number: int) -> VideoRecord | None:
        """The arm that an earlier, killed process had finished under this id, if there is one."""
        workspace, video_id, arm = self._drawing["workspace"], self._video_ids[number], self._arms[number][2]
        if not video_id or not workspace.video(video_id).is_dir():
            return None
        record = records.read_record(workspace.video(video_id) / records.RECORD)
        if (record.pair_id, record.arm) != (self._pair_id, arm):
            raise StudioError("id_taken", f"{video_id} is another video.", "Make the pair under new ids.")
        records.store_row(workspace, record)
        return record


def differing(left: VideoRecord, right: VideoRecord) -> list[int]:
    """Scenes that the two records drew with different settings, engines or numerics."""
    return [index for index in range(min(len(left.scenes), len(right.scenes))) if _unlike(left, right, index)]


def common_settings(left: VideoRecord, right: VideoRecord, *, give_up: bool = False) -> Settings:
    """One choice a scene for both arms: the local engine where either needed it, else what the arm that went further
    down the ladder ended with. give_up: the local engine for every scene in which they still differ."""
    found: list[SceneSettings | None] = []
    for index, (one, two) in enumerate(zip(settings_of(left), settings_of(right), strict=True)):
        assert one is not None and two is not None
        if "local" in (one.engine, two.engine):
            found.append(one if one.engine == "local" else two)
        elif give_up and _unlike(left, right, index):
            reason = "the two arms could not be drawn with the same settings"
            found.append(SceneSettings(engine="local", reason=reason))
        else:
            further = len(one.changes()) >= len(two.changes())
            found.append(one if further else two)
    return tuple(found)


def _unlike(left: VideoRecord, right: VideoRecord, index: int) -> bool:
    one, two = left.scenes[index], right.scenes[index]
    mine, other = (scene.details.get("numerics") for scene in (one, two))
    return _drawn_with(one) != _drawn_with(two) or mine != other


def _drawn_with(scene: SceneRecord) -> tuple[str, str, int, dict[str, Any]]:
    return scene.engine, scene.revision, scene.seed, scene.settings


def _carried(scene: SceneRecord) -> dict[str, Any]:
    """The row of retries that says why a scene, good in itself, was drawn again."""
    return {
        "cause": PAIR,
        "verdict": scene.verdict,
        "settings": scene.settings,
        "next": "drawn again with the settings that both videos share",
        "measures": scene.measures,
    }


def _half(report: Report, number: int) -> Report:
    """Progress of one arm as a half of the whole."""

    def reported(stage: str, step: int = 0, total: int = 0, message: str = "") -> None:
        report(stage, step + number * total, 2 * total, f"video {number + 1} of 2, {message}")

    return reported
