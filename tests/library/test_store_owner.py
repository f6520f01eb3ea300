"""One owner of the store: a second process is refused, a dead one is forgotten, acknowledged vectors survive a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from t2v_studio.errors import BusyError
from t2v_studio.library.index_chroma import EmbeddedChromaIndex
from t2v_studio.library.owner import StoreOwner, store_owner
from t2v_studio.workspace import Workspace

HOLD = """
import sys
from pathlib import Path
from t2v_studio.library.owner import StoreOwner
from t2v_studio.workspace import Workspace
owner = StoreOwner(Workspace.at(Path(sys.argv[1])), "test").acquire()
print("held", flush=True)
sys.stdin.read()
"""

WRITE = """
import sys
from pathlib import Path
import numpy as np
from t2v_studio.library.index_chroma import EmbeddedChromaIndex
index = EmbeddedChromaIndex(Path(sys.argv[1]))
index.create("bk-kill")
rng = np.random.default_rng(3)
place = 0
while True:
    vectors = rng.standard_normal((50, 32)).astype(np.float32)
    ids = [f"p{place + row:06d}" for row in range(50)]
    index.upsert("bk-kill", ids, vectors, ids, [{"page": 1}] * 50)
    place += 50
    print(place, flush=True)
"""


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    root = Path(__file__).resolve().parents[2]
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )


def test_a_second_process_is_refused_until_the_first_is_killed(workspace: Workspace) -> None:
    holder = start(HOLD, str(workspace.data.parent))
    assert holder.stdout is not None
    assert holder.stdout.readline().strip() == "held"
    with pytest.raises(BusyError) as raised, store_owner(workspace):
        pass
    assert raised.value.code == "library_busy"
    assert str(holder.pid) in raised.value.message
    assert raised.value.details["pid"] == holder.pid
    holder.send_signal(signal.SIGKILL)
    holder.wait(timeout=20)
    with store_owner(workspace) as owner:
        assert owner.held


def test_a_second_owner_in_one_process_is_refused_too(workspace: Workspace) -> None:
    with store_owner(workspace) as owner:
        assert owner.acquire() is owner
        with pytest.raises(BusyError):
            StoreOwner(workspace).acquire()
    with store_owner(workspace):
        pass


def test_two_workspaces_have_two_owners(workspace: Workspace, tmp_path: Path) -> None:
    with store_owner(workspace), store_owner(Workspace.at(tmp_path / "another")) as other:
        assert other.held


def test_a_kill_while_writing_loses_no_acknowledged_vector(tmp_path: Path) -> None:
    folder = tmp_path / "chroma"
    writer = start(WRITE, str(folder))
    assert writer.stdout is not None
    acknowledged = 0
    while acknowledged < 1200:
        acknowledged = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    acknowledged = max([acknowledged, *(int(line) for line in writer.stdout.read().split())])
    writer.wait(timeout=20)
    index = EmbeddedChromaIndex(folder)
    assert index.count("bk-kill") >= acknowledged
    rng = np.random.default_rng(3)
    batches = [rng.standard_normal((50, 32)).astype(np.float32) for _ in range(acknowledged // 50)]
    vectors = np.concatenate(batches)
    for place in range(0, acknowledged, 37):
        assert index.query("bk-kill", vectors[place], 1)[0][0] == f"p{place:06d}"
    again = [f"p{place:06d}" for place in range(50)]
    before = index.count("bk-kill")
    index.upsert("bk-kill", again, vectors[:50], again, [{"page": 1}] * 50)
    assert index.count("bk-kill") == before
    index.close()
