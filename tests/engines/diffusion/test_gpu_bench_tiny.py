"""The benchmark for a card runs as it stands, on a tiny model."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

from t2v_studio.engines.diffusion import compile

BENCH = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu_wan.py"


def test_every_figure_is_there(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(compile, "BACKEND", "eager")  # no compiler is needed
    monkeypatch.setattr(compile, "why_not", lambda device, cache: "")
    spec = importlib.util.spec_from_file_location("gpu_wan", BENCH)
    assert spec is not None and spec.loader is not None
    bench = importlib.util.module_from_spec(spec)
    sys.modules["gpu_wan"] = bench  # its dataclass looks its own module up
    try:
        spec.loader.exec_module(bench)
        assert bench.main(["--tiny", "--steps", "1", "--output", str(tmp_path / "figures.json")]) == 0
    finally:
        del sys.modules["gpu_wan"]
    report = json.loads((tmp_path / "figures.json").read_text())
    metrics = {row["metric"] for row in report["figures"]}
    assert metrics == {
        "step",
        "our loop against raw",
        "compile, first clip",
        "graphs added by one more clip",
        "adapter beside the weights, rank 32",
        "decode",
        "adapter",
        "adapter, restored bit for bit",
        "cancel, until the card is still",
        "memory kept after 5 clips and 5 cancels",
        "plan of memory",
        "second video, to its first step",
        "second video, parts loaded or moved",
        "8 scenes, job over steps and decodes",
        "memory kept after more videos",
        "step under a cap of memory",
    }
    figures = report["figures"]
    assert {row["way"] for row in figures if row["metric"] == "decode"} > {"float32", "float32, channels last"}
    capped = [row for row in figures if row["metric"] == "step under a cap of memory"]
    assert [row["tier"] for row in capped] == ["cpu-lean", "cpu"] and all(row["value"] > 0 for row in capped)
    assert next(row["value"] for row in figures if row["metric"] == "second video, parts loaded or moved") == 0
    assert next(row["value"] for row in figures if row["metric"].startswith("8 scenes")) >= 1
    restored = next(row for row in report["figures"] if row["metric"] == "adapter, restored bit for bit")
    assert restored["value"] == 1.0
    assert all("share" in row["limit"] for row in figures if row["metric"] in ("step", "decode"))
    assert all(row["limit"]["tflop"] > 0 for row in figures if row["metric"] == "decode")
    cold, warm = (row for row in figures if row["metric"] == "compile, first clip")
    assert cold["graphs"] == warm["graphs"] > 0
    assert [row["value"] for row in figures if row["metric"] == "graphs added by one more clip"] == [0]
