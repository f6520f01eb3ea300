"""Main memory that can be had: of the machine, of a container, with and without swap."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2v_studio import machine

GIB = 1024**3


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    (tmp_path / "meminfo").write_text(
        f"MemTotal: {32 * 2**20} kB\nMemAvailable:   {20 * 2**20} kB\nSwapFree: {4 * 2**20} kB\nHugePages_Total: 0\n"
    )
    return tmp_path


def test_swap_counts_where_it_is_asked_for(system: Path) -> None:
    assert machine.free_memory() == 20 * GIB
    assert machine.free_memory(swap=True) == 24 * GIB
    (system / "memory.max").write_text("max\n")
    (system / "memory.current").write_text(f"{GIB}\n")
    assert machine.free_memory() == 20 * GIB


@pytest.mark.parametrize(
    ("limit", "used", "stat"),
    [
        ("memory.max", "memory.current", "memory.stat"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat"),
    ],
)
def test_a_containers_limit_is_smaller_than_its_machine(system: Path, limit: str, used: str, stat: str) -> None:
    (system / "memory").mkdir()
    (system / limit).write_text(f"{16 * GIB}\n")
    (system / used).write_text(f"{9 * GIB}\n")
    (system / stat).write_text(f"anon {4 * GIB}\nactive_file {2 * GIB}\ninactive_file {3 * GIB}\n")
    assert machine.free_memory() == machine.free_memory(swap=True) == 12 * GIB
    (system / used).write_text(f"{40 * GIB}\n")
    assert machine.free_memory() == 0


def test_a_system_that_says_nothing_has_no_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "MEMINFO", tmp_path / "none")
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    assert machine.free_memory() == float("inf")
