"""One scene of a finished video drawn again, the others taken over from its film."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from t2v_studio.engines.local.engine import LocalEngine
from t2v_studio.errors import InputError
from t2v_studio.planning.plan import ScenePlan, parse_plan
from t2v_studio.production.produce import AsRecorded, produce
from t2v_studio.production.record import VideoRecord
from t2v_studio.production.redraw import checked, redraw
from t2v_studio.production.request import parse_request
from t2v_studio.settings import Settings
from t2v_studio.video import decode
from t2v_studio.workspace import Workspace


def plan(title: str = "Second") -> ScenePlan:
    scene = lambda number, title: {  # noqa: E731
        "id": f"s{number}",
        "title": title,
        "steps": [{"say": f"This is what scene {number} tells.", "show": title}, {"say": "And that is all.", "show": "End"}],
    }  # fmt: skip
    return parse_plan({"topic": "Two scenes", "seed": 5, "scenes": [scene(1, "First"), scene(2, title)]})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[VideoRecord, dict[str, Any]]:
    home = tmp_path_factory.mktemp("home")
    around = {"workspace": Workspace.at(home), "settings": Settings(home=home, _env_file=None)}
    request = parse_request({"topic": "Two scenes", "width": 320, "height": 180, "fps": 5, "frames": 21})
    return produce(request, AsRecorded(plan()), engine=LocalEngine(), **around), around


def film(record: VideoRecord, around: dict[str, Any]) -> list[np.ndarray]:
    return list(decode.frames(around["workspace"].video(record.id) / record.files["video"]))


def test_one_scene_is_new_and_the_others_stay(made: tuple[VideoRecord, dict[str, Any]]) -> None:
    old, around = made
    edited = plan("A quite different title").scenes[1]
    new = redraw(old, 2, around["workspace"].video(old.id), engine=LocalEngine(), scene=edited, **around)
    assert new.id != old.id and [scene.frames for scene in new.scenes] == [scene.frames for scene in old.scenes]
    assert new.plan.scenes[1].title == "A quite different title" and new.plan.scenes[0].title == "First"
    assert new.scenes[0].details["taken_from"] == old.id and "taken_from" not in new.scenes[1].details
    assert any("Scene 2 of" in notice and "scenes 1 were taken" in notice for notice in new.notices)
    before, after, first = film(old, around), film(new, around), old.scenes[0].frames
    assert len(before) == len(after) == 21
    apart = [float(np.abs(one.astype(int) - two.astype(int)).mean()) for one, two in zip(before, after, strict=True)]
    assert max(apart[:first]) < 1.0 < max(apart[first:])
    again = redraw(new, 1, around["workspace"].video(new.id), engine=LocalEngine(), **around)
    assert again.scenes[1].details["taken_from"] == new.id


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"number": 3}, "no scene 3"),
        ({"number": 2, "seed": 4}, "--seed"),
        ({"number": 2, "code": "x"}, "--code"),
        ({"number": 2, "edited": plan().scenes[0]}, "is s1, not s2"),
    ],
)
def test_what_does_not_fit_is_refused(
    made: tuple[VideoRecord, dict[str, Any]], asked: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        checked(made[0], **asked)
    with pytest.raises(InputError, match="arm of a pair"):
        checked(made[0].model_copy(update={"pair_id": "pair_1"}), 1)


def test_the_films_folder_is_where_the_record_says(made: tuple[VideoRecord, dict[str, Any]], tmp_path: Path) -> None:
    from t2v_studio.errors import StudioError

    with pytest.raises(StudioError, match="not there"):
        redraw(made[0], 1, tmp_path, engine=LocalEngine(), **made[1])
