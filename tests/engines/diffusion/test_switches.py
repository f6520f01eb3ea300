"""Attention, compilation and step cache: chosen once, said in words, never against the rules."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from t2v_studio.engines.diffusion import attention, compile, load, step_cache
from t2v_studio.engines.diffusion.memory_plan import PartBytes, Work, on_cpu, plan_of
from t2v_studio.errors import InputError

PARTS, WORK = PartBytes(3e9, 1e9, 5e8), Work(1e9, 8e9, 1e9)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A machine with a card on which flash3 is missing and cudnn works; returns what was tested there."""
    tested: list[str] = []

    def why_not(name: str, device: str, dtype: str, masked: bool) -> str:
        tested.append(name)
        return {"flash3": "it needs the package kernels", "cudnn": "", "native": ""}[name]

    monkeypatch.setattr(attention, "_found_here", {})
    monkeypatch.setattr(attention, "why_not", why_not)
    monkeypatch.setattr(attention, "_machine_mark", lambda device, dtype: f"card, {dtype}")
    return tested


def test_the_fastest_kernel_that_passes_is_found_once_a_machine(card: list[str], tmp_path: Path) -> None:
    cache = tmp_path / "attention.json"
    assert attention.choose("auto", "cuda", "bfloat16", cache) == "cudnn"
    assert card == ["flash3", "cudnn"]
    assert attention.choose("auto", "cuda", "bfloat16", cache) == "cudnn"
    assert card == ["flash3", "cudnn"], "remembered"
    assert json.loads(cache.read_text())["card, bfloat16"]["cudnn"] == ""
    cache.write_text("{ broken")
    assert attention.choose("auto", "cuda", "bfloat16", cache) == "cudnn"


def test_a_kernel_that_was_asked_for_and_fails_is_refused(card: list[str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="package kernels"):
        attention.choose("flash3", "cuda", "bfloat16", tmp_path / "attention.json")
    assert attention.choose("native", "cuda", "bfloat16", tmp_path / "attention.json") == "native"


@pytest.fixture
def hopper(monkeypatch: pytest.MonkeyPatch) -> dict[str, float | Exception]:
    """A machine that could run flash3; what each backend's self-test comes to is set by the test."""
    answers: dict[str, float | Exception] = {"_native_cudnn": ConnectionError("no network"), "_flash_3_hub": 0.001}

    def difference(backend: str, *_: object) -> float:
        answer = answers[backend]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(attention, "_difference", difference)
    monkeypatch.setattr(attention, "_no_flash3", lambda device: "")
    monkeypatch.setattr(attention, "_machine_mark", lambda device, dtype: f"card, {dtype}")
    monkeypatch.setattr(attention, "_found_here", {})
    return answers


def test_a_download_that_failed_is_no_verdict_on_the_kernel(
    hopper: dict[str, float | Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "attention.json"
    hopper["_flash_3_hub"] = ConnectionError("hub not reachable")
    assert attention.choose("auto", "cuda", "bfloat16", cache) == "native"
    assert "hub not reachable" not in (cache.read_text() if cache.is_file() else "")
    hopper["_flash_3_hub"] = 0.001
    assert attention.choose("auto", "cuda", "bfloat16", cache) == "native", "not fetched again by each video"
    assert attention.choose("flash3", "cuda", "bfloat16", cache) == "flash3", "asked for: tried again"
    assert attention.choose("auto", "cuda", "bfloat16", cache) == "flash3"

    cache.write_text(json.dumps({"card, bfloat16": {"flash3": "hub not reachable", "cudnn": 1}}))
    monkeypatch.setattr(attention, "_found_here", {})
    assert attention.choose("auto", "cuda", "bfloat16", cache) == "flash3", "as an earlier version kept it"


def test_wrong_results_are_remembered_until_a_kernel_is_asked_for(
    hopper: dict[str, float | Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "attention.json"
    hopper |= {"_flash_3_hub": 0.5, "_native_cudnn": 0.001}
    assert attention.choose("auto", "cuda", "bfloat16", cache) == "cudnn"
    monkeypatch.setattr(attention, "_found_here", {})  # another process
    hopper["_flash_3_hub"] = 0.001
    assert attention.choose("auto", "cuda", "bfloat16", cache) == "cudnn"
    assert json.loads(cache.read_text())["card, bfloat16"] == {"flash3": "its results are off by 0.5", "cudnn": ""}
    assert attention.choose("flash3", "cuda", "bfloat16", cache) == "flash3"
    assert json.loads(cache.read_text())["card, bfloat16"]["flash3"] == ""
    hopper["_flash_3_hub"] = ConnectionError("hub not reachable")
    assert attention.choose("flash3", "cuda", "bfloat16", cache) == "flash3", "passed: not tested again"


def test_a_verdict_that_cannot_be_kept_costs_no_job(
    hopper: dict[str, float | Exception], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert attention.choose("flash3", "cuda", "bfloat16", tmp_path / "file" / "attention.json") == "flash3"
    step_cache.keep_ratios(tmp_path / "file" / "magcache.json", "key", [1.0])
    assert caplog.text.count("could not be kept") == 2
    assert step_cache.kept_ratios(tmp_path / "file" / "magcache.json", "key", 1) is None


def test_without_a_card_there_is_one_kernel(tmp_path: Path) -> None:
    assert attention.choose("auto", "cpu", "float32", tmp_path / "attention.json") == "native"
    with pytest.raises(InputError, match="CUDA"):
        attention.choose("cudnn", "cpu", "float32", tmp_path / "attention.json")
    assert not any("sage" in backend for backend in attention.BACKENDS.values())


def test_the_self_test_measures_against_float32() -> None:
    assert attention._difference("native", "cpu", "bfloat16") < attention.TOLERANCE


def test_a_kernel_is_set_once_and_not_left_to_the_next_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention, "_last", ["native"])
    calls: list[str] = []
    first, second = (SimpleNamespace(set_attention_backend=calls.append) for _ in range(2))
    for name in ("native", "cudnn", "cudnn"):
        attention.use([first], name)
    assert calls == ["_native_cudnn"]
    attention.use([second], "native")
    assert calls == ["_native_cudnn", "native"], "a new model follows the kernel that was set last"
    attention.use([first], "cudnn")
    assert calls == ["_native_cudnn", "native"], "the first one has kept its own"


@pytest.mark.parametrize(
    ("asked", "tier", "cache", "on"),
    [
        ("auto", "A", "off", True),
        ("auto", "B", "off", True),
        ("auto", "C", "off", False),
        ("on", "D", "off", False),
        ("off", "A", "off", False),
        ("on", "A", "first_block", False),
        ("auto", "cpu", "off", False),
        ("on", "cpu", "off", True),
    ],
)
def test_when_blocks_are_compiled(asked: str, tier: str, cache: str, on: bool) -> None:
    plan = on_cpu(PARTS, WORK) if tier == "cpu" else plan_of(tier, PARTS, WORK, 0.0)  # type: ignore[arg-type]
    wanted, why = compile.wanted(asked, plan, step_cache=cache)
    assert wanted is on and why


def test_graphs_are_kept_in_the_given_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")  # so that it is as it was, after the test
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    compile.use([], True, tmp_path / "graphs")
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "graphs")


def test_ratios_are_kept_by_key(tmp_path: Path) -> None:
    path = tmp_path / "magcache.json"
    assert step_cache.kept_ratios(path, "a", 2) is None
    step_cache.keep_ratios(path, "a", [1.0, 0.9])
    step_cache.keep_ratios(path, "b", [1.0])
    assert step_cache.kept_ratios(path, "a", 2) == [1.0, 0.9]
    assert step_cache.kept_ratios(path, "a", 3) is None and step_cache.kept_ratios(path, "b", 2) is None
    path.write_text("[]")
    assert step_cache.kept_ratios(path, "a", 2) is None


def test_number_formats_by_what_the_card_can(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    assert load.dtype_for("bfloat16", "bf16", "cpu") == "float32"
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    assert load.dtype_for("bfloat16", "", "cuda") == "float16"
    with pytest.raises(InputError, match="Tesla T4"):
        load.dtype_for("bfloat16", "bf16", "cuda")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    assert load.dtype_for("bfloat16", "", "cuda") == "bfloat16"
    assert load.dtype_for("float16", "", "cuda") == "float16"
    assert load.dtype_for("bfloat16", "fp16", "cuda") == "float16"
