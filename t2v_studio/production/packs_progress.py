"""How far a whole pack is, in frames over all of its videos, and the log of each topic."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from datetime import UTC, datetime
from typing import IO

from t2v_studio.production.packs import PackTopic
from t2v_studio.production.packs_files import LOG
from t2v_studio.production.packs_run import PackRun
from t2v_studio.production.produce import Report

_PACE_AFTER_S = 1.0


class PackProgress:
    """Reports one topic as part of the whole: step and total count the frames that were still to be drawn.

    The stage names the topic, so the time left is told in the message: it goes by the pace over all topics.
    """

    def __init__(self, report: Report, run: PackRun, frames: dict[str, int]) -> None:
        self._report = report
        self._frames = frames
        self._slugs = [topic.slug for topic in run.pack.topics]
        self._done = 0
        self._given = 0
        self._started = time.monotonic()

    def of(self, topic: PackTopic) -> Report:
        """The report that one topic's drawing is given."""
        stage = f"Topic {self._slugs.index(topic.slug) + 1} of {len(self._slugs)}: {topic.topic}"
        frames, total = self._frames.get(topic.slug, 0), sum(self._frames.values())
        within, first = 0, True

        def reported(_: str, step: int = 0, of: int = 0, message: str = "") -> None:
            nonlocal within, first
            if of:
                within = min(frames, round(frames * step / of))
                if first:
                    # An arm that an earlier process had drawn says nothing about the pace.
                    self._given, first = self._given + within, False
            parts = (message, self.left(self._done + within, total))
            self._report(stage, self._done + within, total, " · ".join(part for part in parts if part))

        return reported

    def finish(self, topic: PackTopic) -> None:
        """The topic has ended, however it did."""
        self._done += self._frames.get(topic.slug, 0)

    def left(self, done: int, total: int) -> str:
        """Words such as "about 3 min left"; empty before there is a pace."""
        passed, drawn = time.monotonic() - self._started, done - self._given
        if passed < _PACE_AFTER_S or drawn <= 0 or done >= total:
            return ""
        seconds = passed / drawn * (total - done)
        return f"about {max(1, round(seconds))} s left" if seconds < 90 else f"about {round(seconds / 60)} min left"


class TopicLog(logging.Handler):
    """<slug>/<variant>/run.log: what was reported and logged in this thread while that arm was drawn."""

    def __init__(self, run: PackRun, topic: PackTopic) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self._folder = run.folder / topic.slug
        self._variants = run.pack.variants
        self._number = 0
        self._said = ""
        self._thread = threading.get_ident()
        self._file: IO[str] | None = None

    def __enter__(self) -> TopicLog:
        self._open()
        logging.getLogger("t2v_studio").addHandler(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        logging.getLogger("t2v_studio").removeHandler(self)
        with contextlib.suppress(OSError):
            self._write("done" if error is None else f"{type(error).__name__}: {error}")
            if self._file is not None:
                self._file.close()
        self.close()

    def watch(self, report: Report) -> Report:
        """`report`, with a line in the log for each new thing that it says."""

        def reported(stage: str, step: int = 0, total: int = 0, message: str = "") -> None:
            number = (
                1 if message.startswith("video 2 of 2") else 0 if message.startswith("video 1 of 2") else self._number
            )
            if number != self._number and number < len(self._variants):
                self._write("done")
                self._number, self._said = number, ""
                self._open()
            said = f"{stage}: {message}"
            if said != self._said:
                self._said = said
                self._write(said)
            report(stage, step, total, message)

        return reported

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self._write(self.format(record))

    def _open(self) -> None:
        if self._file is not None:
            self._file.close()
        folder = self._folder / self._variants[self._number]
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / LOG).open("a", encoding="utf-8")
        self._write("started")

    def _write(self, line: str) -> None:
        if self._file is not None:
            self._file.write(f"{datetime.now(UTC).isoformat(timespec='milliseconds')} {line}\n")
            self._file.flush()
