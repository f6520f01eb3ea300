"""What this machine has, what it lacks, and what each absence costs: `t2v doctor`."""

from __future__ import annotations

from collections.abc import Callable

from t2v_studio.doctor import diffusion, disks, engines, software
from t2v_studio.doctor.row import Row
from t2v_studio.settings import Settings
from t2v_studio.workspace import Workspace


def examine(settings: Settings, workspace: Workspace) -> list[Row]:
    """Every check, in the order in which a newcomer would mend things. Imports nothing heavy; takes about a second."""
    checks: tuple[Callable[[], Row | list[Row]], ...] = (
        software.python,
        software.packages,
        software.torch_build,
        lambda: diffusion.graphics_card(settings, workspace),
        software.ffmpeg,
        lambda: software.embedding_model(settings),
        lambda: disks.folders(workspace),
        lambda: disks.room(workspace, settings),
        lambda: diffusion.models(settings, workspace),
        lambda: disks.file_system(workspace),
        software.fonts,
        software.chromium,
        engines.engines,
        engines.manim,
        lambda: engines.written_scenes(settings),
        lambda: engines.program("docker", "Docker", "Containers cannot be built or run here; `make run` needs none."),
    )
    rows: list[Row] = []
    for check in checks:
        found = check()
        rows += found if isinstance(found, list) else [found]
    return rows
