"""Real books, each read once for all tests and processes of a session: reading one takes up to twenty seconds."""

from __future__ import annotations

import fcntl
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from t2v_studio.library.reading import Reading, admit, read
from t2v_studio.settings import Settings


@pytest.fixture(scope="session")
def reading_of(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Reading]:
    """The reading of a file of the shared data, with the studio's own settings."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "readings"
    folder.mkdir(exist_ok=True)
    known: dict[str, Reading] = {}

    def once(name: str) -> Reading:
        if name not in known:
            kept = folder / f"{name.replace('/', '-')}.pickle"
            with kept.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not kept.exists():
                    settings = Settings(_env_file=None)
                    kept.write_bytes(pickle.dumps(read(admit(shared_data / name, settings), settings)))
                known[name] = pickle.loads(kept.read_bytes())
        return known[name]

    return once
