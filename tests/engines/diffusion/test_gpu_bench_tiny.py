"""The benchmark for a card runs as it stands, on a tiny model."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

BENCH = Path(__file__).resolve().parents[2] / "benchmarks" / "gpu_wan.py"


def test_every_figure_is_there(tmp_path: Path, capsys) -> None:
    import sys

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
        "decode",
        "adapter",
        "adapter, restored bit for bit",
        "cancel, until the card is still",
        "memory kept after 5 clips and 5 cancels",
        "plan of memory",
    }
    restored = next(row for row in report["figures"] if row["metric"] == "adapter, restored bit for bit")
    assert restored["value"] == 1.0
    assert all("share" in row["limit"] for row in report["figures"] if row["metric"] == "step")
