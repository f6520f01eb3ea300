"""Presets: strict, with limits that are checked and never bent."""

from __future__ import annotations

from pathlib import Path

import pytest
from lora_files import write

from t2v_studio.adapters.card import AdapterCard
from t2v_studio.adapters.catalogue import adopt
from t2v_studio.adapters.presets import checked_scale, preset, preset_for, presets, read_presets
from t2v_studio.errors import InputError
from t2v_studio.workspace import Workspace


@pytest.fixture
def card(tmp_path: Path, workspace: Workspace) -> AdapterCard:
    return adopt(workspace, write(tmp_path / "academic_infographic_v1.safetensors"), scale=0.8)


def test_the_shipped_presets(workspace: Workspace, card: AdapterCard) -> None:
    found = presets(workspace)
    shown = found["academic_infographic_v1"]
    assert (shown.scale, shown.trigger, shown.profile) == (0.7, "acad_infov1", "academic_infographic")
    assert (shown.fps, shown.frames) == (12, 25)
    distilled = [one for one in found.values() if one.guidance == 1]
    assert distilled and all(one.steps is not None and one.steps <= 8 for one in distilled)
    assert preset_for(card, workspace) == shown


def test_the_workspace_adds_its_own(workspace: Workspace, card: AdapterCard) -> None:
    (workspace.data / "adapter_presets.yaml").write_text(
        f"mine:\n  adapter: {card.id}\n  scale: 0.5\nacademic_course_v1:\n  adapter: other\n"
    )
    found = presets(workspace)
    assert found["mine"].scale == 0.5 and found["academic_course_v1"].adapter == "other"
    assert preset_for(card, workspace) == found["mine"], "an id goes before a name"


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("a:\n  adapter: x\n  sacle: 1", '"sacle" is not known', 'Did you mean "scale"?'),
        ("a:\n  adapter: x\n  scale: 2", "scale 2 is not between 0 and 1.5", ""),
        ("a:\n  scale: 1", "adapter: it is missing", ""),
        ("a:\n  adapter: x\n  scale: .nan", "scale", ""),
        ("a: 3", "a preset is a name with fields below it", ""),
        ("a: [", "presets.yaml", ""),
        ("A b:\n  adapter: x", "name", ""),
    ],
)
def test_a_wrong_file_is_said_by_field(tmp_path: Path, text: str, says: str, hint: str) -> None:
    path = tmp_path / "presets.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        read_presets(path)
    assert says in refused.value.message and hint in refused.value.hint and "presets.yaml" in refused.value.message


def test_an_unknown_preset_has_a_neighbour() -> None:
    with pytest.raises(InputError) as refused:
        preset("academic_infografic_v1")
    assert "academic_infographic_v1" in refused.value.hint


def test_the_scale_that_is_used(workspace: Workspace, card: AdapterCard) -> None:
    shown = preset("academic_infographic_v1")
    assert checked_scale(card, None, None) == 0.8
    assert checked_scale(card, shown, None) == 0.7
    assert checked_scale(card, shown, 0.9) == 0.9
    assert checked_scale(card, None, 0) == 0


@pytest.mark.parametrize(("asked", "use"), [(1.2, "1"), (0.1, "0.3"), (-1, "0"), (3, "1.5")])
def test_a_scale_outside_is_refused_and_not_bent(card: AdapterCard, asked: float, use: str) -> None:
    with pytest.raises(InputError) as refused:
        checked_scale(card, preset("academic_infographic_v1"), asked)
    assert refused.value.code == "adapter_scale" and f"{asked:g}" in refused.value.message
    assert f"Use {use}," in refused.value.hint


def test_a_scale_that_is_no_number(card: AdapterCard) -> None:
    with pytest.raises(InputError):
        checked_scale(card, None, float("inf"))
