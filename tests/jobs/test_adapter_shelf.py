"""studio.adapters: what is taken for which model, what is said about it, what stands in the way."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from t2v_studio.errors import BusyError, InputError, NotFoundError
from t2v_studio.jobs.adapter_shelf import AdapterShelf
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace

WAN = ("blocks.0.attn1.to_q", "blocks.1.attn2.to_out.0")


def lora(
    path: Path, modules: tuple[str, ...] = WAN, *, width: int = 24, seed: float = 1.0, alpha: float | None = 8
) -> Path:
    tensors = {}
    for name in modules:
        tensors[f"diffusion_model.{name}.lora_A.weight"] = torch.full((4, width), float(seed))
        tensors[f"diffusion_model.{name}.lora_B.weight"] = torch.ones(width, 4)
        if alpha is not None:
            tensors[f"diffusion_model.{name}.alpha"] = torch.tensor(float(alpha))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path)
    return path


@pytest.fixture
def jobs() -> list[Any]:
    return []


@pytest.fixture
def shelf(settings: Settings, workspace: Workspace, jobs: list[Any]) -> AdapterShelf:
    return AdapterShelf(settings, workspace, lambda: jobs)


def test_adding_says_what_is_not_known(shelf: AdapterShelf, tmp_path: Path) -> None:
    row = shelf.adopt(lora(tmp_path / "a.safetensors", alpha=None))
    assert row["new"] and any("alpha = rank = 4 is assumed" in words for words in row["notices"])
    assert any("which model" in words for words in row["notices"])
    again = shelf.adopt(tmp_path / "a.safetensors", trigger="late")
    assert not again["new"] and again["id"] == row["id"]
    assert "in the catalogue already" in again["notices"][0] and "trigger" in again["notices"][0]
    known = shelf.adopt(lora(tmp_path / "b.safetensors", seed=2), base="tiny-wan")
    assert known["notices"] == [] and known["base_model"] == "tiny-wan"


def test_a_base_that_cannot_be_is_refused_before_anything_is_kept(shelf: AdapterShelf, tmp_path: Path) -> None:
    for base, width in (("wan2.1-14b", 1536), ("cogvideox-2b", 24)):
        with pytest.raises(InputError) as refused:
            shelf.adopt(lora(tmp_path / f"{width}.safetensors", width=width), base=base)
        assert refused.value.code == "adapter_wrong_base" and base in refused.value.message
    deep = lora(tmp_path / "deep.safetensors", ("blocks.35.attn1.to_q",), width=1536)
    with pytest.raises(InputError, match="not for wan2"):
        shelf.adopt(deep, base="wan2.1-1.3b")
    with pytest.raises(InputError) as unknown:
        shelf.adopt(deep, base="wan2.1-14")
    assert "wan2.1-14b" in unknown.value.hint and shelf.rows() == []
    assert shelf.adopt(lora(tmp_path / "1536.safetensors", width=1536), base="Wan-AI/Wan2.1-T2V-1.3B-Diffusers")[
        "base_model"
    ] == "wan2.1-1.3b"  # fmt: skip


def torn(path: Path, value: float, dtype: torch.dtype = torch.float32) -> Path:
    """A LoRA for tiny-wan with `value` in one of its numbers."""
    tensors = {name: one.to(dtype) for name, one in load_file(lora(path)).items()}
    tensors["diffusion_model.blocks.1.attn2.to_out.0.lora_B.weight"][3, 1] = value
    save_file(tensors, path)
    return path


@pytest.mark.parametrize("base", ["tiny-wan", "wan2.1-14b"])
def test_layers_of_another_name_are_counted_and_refused_at_once(shelf: AdapterShelf, tmp_path: Path, base: str) -> None:
    """tiny-wan is on this disk; of wan2.1-14b the registry knows the names."""
    width = 24 if base == "tiny-wan" else 5120
    none = lora(tmp_path / "none.safetensors", ("blocks.0.attnx.to_q", "blocks.1.attny.to_k"), width=width)
    with pytest.raises(InputError) as refused:
        shelf.adopt(none, base=base)
    assert refused.value.code == "adapter_no_match" and "none of the 2 layers" in refused.value.message
    assert len(refused.value.details["unmatched"]) == 2 and refused.value.details["matched"] == []
    with pytest.raises(InputError) as used:
        shelf.adopt(none, used_on=base)
    assert used.value.code == "adapter_no_match" and shelf.rows() == []
    some = lora(tmp_path / "some.safetensors", (*WAN, "blocks.1.attny.to_k"), width=width)
    row = shelf.adopt(some, base=base)
    assert any("2 of its 3 layers match" in words and "attny" in words for words in row["notices"])


def test_another_shape_is_counted(shelf: AdapterShelf, tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        shelf.adopt(lora(tmp_path / "wide.safetensors", width=36), base="tiny-wan")
    assert refused.value.code == "adapter_wrong_base"
    assert "0 of 2 layers match, 2 of another shape" in refused.value.message and shelf.rows() == []


def test_the_base_that_a_file_names_is_held_to(shelf: AdapterShelf, tmp_path: Path) -> None:
    path = lora(tmp_path / "a.safetensors", ("blocks.35.attn1.to_q",), width=5120)
    save_file(load_file(path), path, metadata={"base_model": "wan2.1-1.3b"})
    with pytest.raises(InputError, match="not for wan2"):
        shelf.adopt(path)
    assert shelf.rows() == [] and shelf.adopt(path, base="wan2.1-14b")["base_model"] == "wan2.1-14b"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("value", "code"),
    [(float("nan"), "adapter_not_finite"), (float("-inf"), "adapter_not_finite"), (6e4, "adapter_out_of_range")],
)
def test_numbers_that_cannot_be_used_are_refused_at_once(
    shelf: AdapterShelf, workspace: Workspace, tmp_path: Path, dtype: torch.dtype, value: float, code: str
) -> None:
    path = torn(tmp_path / "a.safetensors", value, dtype)
    with pytest.raises(InputError) as refused:
        shelf.adopt(path)
    assert refused.value.code == code and "blocks.1.attn2.to_out.0" in refused.value.message
    assert list(workspace.adapters.iterdir()) == []
    looked = shelf.check(path, "wan2.1-14b" if dtype == torch.float16 else "tiny-wan")
    assert not looked["ok"]


def test_choices_are_those_that_fit_the_model(shelf: AdapterShelf, tmp_path: Path) -> None:
    ids = {
        name: shelf.adopt(path, name=name, base=base)["id"]
        for name, path, base in (
            ("tiny", lora(tmp_path / "1.safetensors"), "tiny-wan"),
            ("small", lora(tmp_path / "2.safetensors", width=1536), ""),
            ("large", lora(tmp_path / "3.safetensors", width=5120), "wan2.1-14b"),
            ("cog", lora(tmp_path / "4.safetensors", ("transformer_blocks.0.attn1.to_q",), width=1920), ""),
        )
    }

    def offered(model: str = "") -> set[str]:
        found = {adapter_id for _, adapter_id in shelf.choices(model)}
        return {name for name, adapter_id in ids.items() if adapter_id in found}

    assert offered() == set(ids)
    assert offered("tiny-wan") == {"tiny"}
    assert offered("wan2.1-1.3b") == {"small"} and offered("cogvideox-2b") == {"cog"}
    assert offered("wan2.1-14b") == {"large"} and offered("wan2.2-t2v-a14b") == set()
    shelf.edit("large", also_for=["wan2.2-t2v-a14b"])
    assert offered("wan2.2-t2v-a14b") == {"large"}
    labels = dict((adapter_id, label) for label, adapter_id in shelf.choices("wan2.1-1.3b"))
    assert labels[ids["small"]] == "small (scale 0.7, base unknown)"


def test_checking_a_file_against_a_model(shelf: AdapterShelf, tmp_path: Path) -> None:
    fits = shelf.check(lora(tmp_path / "fits.safetensors"), "tiny-wan")
    assert fits["ok"] and fits["depth"] == "layers" and len(fits["matched"]) == 2 and fits["alpha"] == 8
    wrong = shelf.check(lora(tmp_path / "wide.safetensors", width=36), "tiny-wan")
    assert (
        not wrong["ok"]
        and len(wrong["wrong_shape"]) == 2
        and wrong["rank"] == 4
        and "was made for a wan transformer of width 36" in wrong["error"]
    )
    other = shelf.check(tmp_path / "fits.safetensors", "tiny-cogvideox")
    assert not other["ok"] and "not for tiny-cogvideox" in other["error"]
    absent = shelf.check(lora(tmp_path / "big.safetensors", width=5120), "wan2.1-14b")
    assert absent["ok"] and absent["depth"] == "names" and len(absent["matched"]) == 2
    assert absent["made_for"].startswith("Wan 2.1 14B or Wan 2.2 A14B")
    assert shelf.rows() == [], "a check adds nothing"


def test_a_card_names_no_base_that_its_layers_do_not_fit(shelf: AdapterShelf, tmp_path: Path) -> None:
    shelf.adopt(lora(tmp_path / "a.safetensors", (*WAN, "blocks.1.attny.to_k")), name="Course")
    for wrong in ({"base": "tiny-cogvideox"}, {"also_for": ["tiny-wan", "wan2.1-14b"]}):
        with pytest.raises(InputError, match=r"Course .* not for") as refused:
            shelf.edit("Course", **wrong)
        now = shelf.row("Course")
        assert refused.value.code == "adapter_wrong_base" and (now["base_model"], now["also_for"]) == ("", [])
    edited = shelf.edit("Course", base="tiny-wan")
    assert edited["base_model"] == "tiny-wan" and "2 of its 3 layers match tiny-wan" in edited["notices"][0]
    assert shelf.edit("Course", base="tiny-wan22")["base_model"] == "tiny-wan22", "the old base rules nothing out"
    assert shelf.edit("Course", base="")["base_model"] == ""


def test_checking_an_adapter_of_the_catalogue(shelf: AdapterShelf, tmp_path: Path) -> None:
    row = shelf.adopt(lora(tmp_path / "a.safetensors"), name="Course", base="tiny-wan")
    assert shelf.check("Course", "tiny-wan")["ok"]
    other = shelf.check(row["id"], "tiny-wan22")
    assert not other["ok"] and "Course was made for tiny-wan, not for tiny-wan22" in other["error"]
    shelf.edit("Course", also_for=["tiny-wan22"])
    assert shelf.check("Course", "tiny-wan22")["ok"]
    with pytest.raises(NotFoundError):
        shelf.check("Cuorse", "tiny-wan")


def test_the_scale_is_checked_with_the_preset_that_names_the_adapter(shelf: AdapterShelf, tmp_path: Path) -> None:
    shelf.adopt(lora(tmp_path / "a.safetensors"), name="academic_course_v1", scale=0.9)
    assert shelf.scale("academic_course_v1") == 0.7 and shelf.scale("academic_course_v1", 0.9) == 0.9
    with pytest.raises(InputError, match="limits of the preset academic_course_v1"):
        shelf.scale("academic_course_v1", 1.2)
    rows = {row["name"]: row for row in shelf.presets()}
    assert rows["academic_course_v1"]["adapter_id"] and not rows["lightx2v_14b_4step"]["adapter_id"]
    assert shelf.row("academic_course_v1")["preset"] == "academic_course_v1"


def test_removing_waits_for_jobs_that_use_it(shelf: AdapterShelf, tmp_path: Path, jobs: list[Any]) -> None:
    row = shelf.adopt(lora(tmp_path / "a.safetensors"), name="Course")
    jobs.append(SimpleNamespace(id="job_1", spec={"request": {"adapter": row["id"], "frames": 17}}))
    with pytest.raises(BusyError, match="job_1 uses this adapter"):
        shelf.remove("Course")
    jobs.clear()
    assert shelf.remove("Course") == {"id": row["id"], "name": "Course"} and shelf.rows() == []


def test_a_wrong_preset_file_hides_no_adapter(shelf: AdapterShelf, workspace: Workspace, tmp_path: Path) -> None:
    shelf.adopt(lora(tmp_path / "a.safetensors"))
    (workspace.data / "adapter_presets.yaml").write_text("a:\n  sacle: 1\n")
    (row,) = shelf.rows()
    assert row["preset"] == "" and "sacle" in row["error"]


def test_damaged_folders_are_listed_with_their_error_and_can_go(
    shelf: AdapterShelf, workspace: Workspace, tmp_path: Path
) -> None:
    row = shelf.adopt(lora(tmp_path / "a.safetensors"))
    (workspace.adapter(row["id"]) / "card.json").write_text("{")
    (broken,) = shelf.rows()
    assert broken["id"] == row["id"] and "cannot be read" in broken["error"]
    shelf.remove(row["id"])
    assert shelf.rows() == []


def test_size_limit_of_the_settings(settings: Settings, workspace: Workspace, tmp_path: Path) -> None:
    small = AdapterShelf(settings.model_copy(update={"adapter_max_mb": 1}), workspace, lambda: [])
    from t2v_studio.errors import LimitError

    with pytest.raises(LimitError):
        small.adopt(lora(tmp_path / "a.safetensors", width=60_000))
