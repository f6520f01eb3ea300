"""Contact sheets of every diagram kind, theme and size: `python -m t2v_studio.engines.local.gallery [folder]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from t2v_studio.engines.base import Theme
from t2v_studio.engines.local.samples import sample_plans
from t2v_studio.planning.plan import ScenePlan

SIZES = ((1280, 720), (832, 480), (720, 720), (720, 1280))
THEMES: tuple[Theme, ...] = ("light", "dark", "contrast")
MOMENTS = (0.4, 0.97)
MOST_SCENES = 4
COLOURS = 96
FOLDER = Path("docs") / "gallery"
_CELL = {(1280, 720): (464, 261), (832, 480): (364, 210), (720, 720): (310, 310), (720, 1280): (270, 480)}
_GAP = 8


def sheet(plan: ScenePlan, size: tuple[int, int], theme: Theme) -> Any:
    """A contact sheet (PIL image): the scenes of a plan, two moments each."""
    from PIL import Image

    cells = [cell.resize(_CELL[size], Image.Resampling.LANCZOS) for cell in _cells(plan, size, theme)]
    columns = 2 if size[0] > size[1] else 4
    w, h = _CELL[size]
    rows = -(-len(cells) // columns)
    board = Image.new("RGB", (columns * (w + _GAP) + _GAP, rows * (h + _GAP) + _GAP), "#8a8f94")
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        board.paste(cell, (_GAP + column * (w + _GAP), _GAP + row * (h + _GAP)))
    return board


def _cells(plan: ScenePlan, size: tuple[int, int], theme: Theme) -> Iterator[Any]:
    from PIL import Image

    from t2v_studio.engines.local.composition import compose
    from t2v_studio.engines.local.painter import Raster, design_size
    from t2v_studio.engines.local.timeline import moment_at

    chosen = list(range(len(plan.scenes)))
    if len(chosen) > MOST_SCENES:
        chosen = [*chosen[: MOST_SCENES - 1], chosen[-1]]
    moments = MOMENTS if len(chosen) > 2 else (0.2, 0.55, 0.97)
    units = design_size(*size)
    for index in chosen:
        view = compose(plan, index, width=units[0], height=units[1], theme=theme, show_sources=True)
        for at in moments:
            frame = Raster(*size, view.palette.paper).frame(view.items(*moment_at(view.scene, at)))
            yield Image.fromarray(frame[:, :, :3])


def write(folder: Path, kinds: list[str] | None = None) -> list[Path]:
    """Write all sheets (or those of some kinds) as small PNG files; returns their paths."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for kind, plan in sample_plans().items():
        if kinds and kind not in kinds:
            continue
        for theme in THEMES:
            for size in SIZES:
                path = folder / f"{kind}-{theme}-{size[0]}x{size[1]}.png"
                board = sheet(plan, size, theme)
                board.quantize(COLOURS, kmeans=1, dither=Image.Dither.NONE).save(path, optimize=True)
                written.append(path)
    return written


def main(arguments: list[str]) -> None:
    folder = Path(arguments[0]) if arguments else FOLDER
    paths = write(folder, arguments[1:] or None)
    total = sum(path.stat().st_size for path in paths)
    sys.stdout.write(f"{len(paths)} sheets, {total / 1e6:.1f} MB, in {folder}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
