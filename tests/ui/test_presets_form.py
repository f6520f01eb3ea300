"""What choosing one preset after another leaves in the form."""

from __future__ import annotations

from typing import Any

from t2v_studio.settings import Settings
from t2v_studio.studio import Studio
from t2v_studio.ui import form
from t2v_studio.ui.components.diffusion_form import EMPTY, FILLED, filled


class Form:
    """The fields that presets fill, as the page holds them."""

    def __init__(self, settings: Settings) -> None:
        self.studio = Studio(settings)
        self.now: dict[str, Any] = {name: EMPTY.get(name, "") for name in FILLED}
        self.last: dict[str, Any] = {}

    def choose(self, preset: str) -> None:
        self.last = filled(self.studio, preset, "", self.last, self.now)
        self.now |= self.last


def test_the_next_preset_begins_from_an_empty_form_but_for_what_a_person_chose(settings: Settings) -> None:
    page = Form(settings)
    page.now["seed"] = "99"
    page.choose("tiny")
    assert (page.now["scene_frames"], page.now["steps"], page.now["seed"]) == ("9", "2", "7")
    page.now["fps"] = "12"  # typed after the preset
    page.choose("cogvideox-example")
    assert page.now["scene_frames"] == "" and page.now["seed"] == "", "not the tiny one's"
    assert (page.now["model_id"], page.now["steps"], page.now["fps"]) == ("cogvideox-2b", "24", "8")
    page.now["steps"] = "30"
    page.choose("")
    assert page.now["steps"] == "30", "a person's"
    left = {name: value for name, value in page.now.items() if name != "steps"}
    assert left == {name: EMPTY.get(name, "") for name in FILLED if name != "steps"}


def test_what_a_preset_locks_it_unlocks(settings: Settings) -> None:
    page = Form(settings)
    page.choose("academic-stable")
    assert page.now["diagram_lock"] is True and page.now["size"] in form.SIZES
    page.choose("teacher")
    assert page.now["diagram_lock"] is False and page.now["seed"] == "13"
