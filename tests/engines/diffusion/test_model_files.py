"""Model folders of one's own: what names their weights, and what follows when they change under a running engine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_studio import Counts, canvas, drawn, make_plan

from t2v_studio.engines.diffusion.engine import DiffusionEngine
from t2v_studio.engines.diffusion.families.base import Source
from t2v_studio.engines.diffusion.model_files import BLOCK, SAMPLES, fingerprint, stamp
from t2v_studio.engines.diffusion.models import register
from t2v_studio.engines.diffusion.text import prompt_key
from t2v_studio.engines.diffusion.tiny import make_tiny
from t2v_studio.workspace import Workspace

WEIGHTS = Path("transformer") / "diffusion_pytorch_model.safetensors"


@pytest.fixture
def own(with_tiny: Workspace, tmp_path: Path) -> Path:
    """A model folder of one's own, listed as "mine"."""
    folder = make_tiny("wan", tmp_path / "mine", 0)
    register(with_tiny, "mine", "wan", folder, tiny=True)
    return folder


def test_weights_that_change_under_a_running_engine_are_seen_and_named(
    engine: DiffusionEngine, own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, on = make_plan(1), canvas(model="mine", scenes=1)
    (first,), (source,) = drawn(engine, plan, on)
    assert len(source.revision) == 16 and int(source.revision, 16) > 0
    other = make_tiny("wan", tmp_path / "other", 1)
    kept = (own / WEIGHTS).read_bytes()
    shutil.copyfile(other / WEIGHTS, own / WEIGHTS)
    counts = Counts().watch(monkeypatch)
    (changed,), (changed_source,) = drawn(engine, plan, on)
    assert not np.array_equal(first, changed) and changed_source.revision != source.revision
    assert counts["encodes"] == 0, "the text encoder is the same"
    (own / WEIGHTS).write_bytes(kept)
    (back,), (back_source,) = drawn(engine, plan, on)
    assert np.array_equal(first, back) and back_source.revision == source.revision


def test_a_fingerprint_goes_by_contents_and_a_stamp_by_every_write(tmp_path: Path) -> None:
    part = tmp_path / "one" / "transformer"
    part.mkdir(parents=True)
    large = np.random.default_rng(0).integers(0, 256, 3 * SAMPLES * BLOCK, np.uint8)
    (part / "a.safetensors").write_bytes(large.tobytes())
    (part / "config.json").write_text("{}")
    before, mark = fingerprint([part]), stamp([part])
    copy = Path(shutil.copytree(part, tmp_path / "two" / "transformer"))
    assert fingerprint([copy]) == before and stamp([copy]) != mark
    os.utime(part / "config.json", ns=(1, 1))
    assert fingerprint([part]) == before and stamp([part]) != mark
    (part / "config.json").write_text("[]")
    assert fingerprint([part]) != before
    (part / "config.json").write_text("{}")
    for changed in (large + 1, large[:-1], np.concatenate([large[:-1], large[-1:] + 1])):
        (part / "a.safetensors").write_bytes(changed.tobytes())
        assert fingerprint([part]) != before


def test_files_are_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.safetensors").write_bytes(b"weights")
    before = fingerprint([tmp_path])

    def unread(*_: Any) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(Path, "open", unread)
    assert fingerprint([tmp_path]) == before
    os.utime(tmp_path / "a.safetensors", ns=(1, 1))
    with pytest.raises(AssertionError, match="read again"):
        fingerprint([tmp_path])


def test_models_that_share_a_text_encoder_share_its_prompts(own: Path, tmp_path: Path) -> None:
    shared = {part: own / part for part in ("tokenizer", "text_encoder")}
    small = Source(tmp_path / "small", "small", "someone/small", "a" * 40, shared)
    large = Source(tmp_path / "large", "large", "someone/large", "b" * 40, shared)
    assert prompt_key(small, "a ball", 512, "float32") == prompt_key(large, "a  ball ", 512, "float32")
    assert prompt_key(small, "a ball", 512, "float32") != prompt_key(small, "a ball", 512, "bfloat16")
    weights = own / "text_encoder" / "model.safetensors"
    before = prompt_key(small, "a ball", 512, "float32")
    os.utime(weights, ns=(1, 1))
    assert prompt_key(small, "a ball", 512, "float32") != before
