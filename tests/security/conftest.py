"""A served page over a workspace that holds a secret."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "ui"))

from stand_in import StandIn, free_port

from t2v_studio.settings import Settings

SECRET = "the-secret-of-the-library"


@dataclass
class Served:
    url: str
    studio: StandIn
    web: httpx.Client

    def file(self, path: object) -> httpx.Response:
        return self.web.get(f"{self.url}gradio_api/file={path}")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("served")
    settings = Settings(home=home, port=free_port(), upload_max_mb=1, _env_file=None)
    studio = StandIn(settings)
    workspace = studio.workspace
    workspace.database.write_text(SECRET)
    for path in (
        workspace.books / "0123456789abcdef" / "book.txt",
        workspace.run / "job.log",
        workspace.data / ".hidden",
        home / ".env",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SECRET)
    (workspace.outputs / "studies").mkdir(parents=True, exist_ok=True)
    (workspace.outputs / "studies" / "scores.json").write_text(SECRET)
    workspace.videos.mkdir(parents=True, exist_ok=True)
    (workspace.videos / "open.txt").write_text("open")
    from t2v_studio.ui.app import running

    with running(settings, studio) as (_, url), httpx.Client(timeout=30) as web:  # type: ignore[arg-type]
        yield Served(url, studio, web)
