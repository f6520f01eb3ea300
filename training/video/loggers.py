"""Second logs beside the JSON lines, by option: TensorBoard or trackio."""

from __future__ import annotations

from typing import Any, Protocol

from t2v_studio.adapters.recipe import Recipe
from t2v_studio.adapters.runs import Part
from t2v_studio.errors import UnavailableError


class Logger(Protocol):
    def log(self, step: int, row: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


class _Silent:
    def log(self, step: int, row: dict[str, Any]) -> None:
        pass

    def close(self) -> None:
        pass


class _TensorBoard:
    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def log(self, step: int, row: dict[str, Any]) -> None:
        for name, value in _numbers(row).items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Trackio:
    def __init__(self, library: Any) -> None:
        self._library = library

    def log(self, step: int, row: dict[str, Any]) -> None:
        self._library.log(_numbers(row), step=step)

    def close(self) -> None:
        self._library.finish()


def open_logger(name: str, part: Part, recipe: Recipe, run_id: str) -> Logger:
    """The logger of a name. Raises UnavailableError where its package is not installed."""
    if name == "none":
        return _Silent()
    try:
        if name == "tensorboard":
            from torch.utils.tensorboard import SummaryWriter

            return _TensorBoard(SummaryWriter(str(part.folder / "tensorboard")))
        import trackio
    except ImportError as error:
        raise UnavailableError(
            "no_logger", f"logger: {name} is not installed.", f"pip install {name}, or set logger to none."
        ) from error
    trackio.init(project="t2v-studio", name=f"{run_id}-{part.name}", config=recipe.model_dump(mode="json"))
    return _Trackio(trackio)


def _numbers(row: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in row.items() if isinstance(value, int | float)}
