"""Work that goes on in one thread while the caller goes on, in order, with few pieces waiting."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from types import TracebackType


class Background:
    """A context manager with one thread. Leaving it without an error waits for all pieces; with one, drops those that wait.

    An error of a piece is raised by the next `put`, or on leaving.
    """

    def __init__(self, *, waiting: int, name: str) -> None:
        self._pieces: queue.Queue[Callable[[], None] | None] = queue.Queue(waiting)
        self._error: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def put(self, piece: Callable[[], None], meanwhile: Callable[[], None] = lambda: None) -> None:
        """Hand over a piece; while enough are waiting, wait and call `meanwhile`. Raises the error of an earlier one."""
        while True:
            if self._error is not None:
                raise self._error
            meanwhile()
            with contextlib.suppress(queue.Full):
                return self._pieces.put(piece, timeout=0.2)

    def stopping(self) -> bool:
        """For pieces that take long: whether the caller has given up."""
        return self._stop.is_set()

    def _work(self) -> None:
        while (piece := self._pieces.get()) is not None:
            if self._stop.is_set() or self._error is not None:
                continue
            try:
                piece()
            except BaseException as error:  # it is raised where the caller is
                self._error = error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._stop.set()
        self._pieces.put(None)
        self._thread.join()
        if kind is None and self._error is not None:
            raise self._error
