"""A sealed file plays in Chromium, with its subtitles."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from t2v_studio.video import subtitles
from t2v_studio.video.encode import Encoder
from t2v_studio.video.metadata import Chapter, seal

pytestmark = pytest.mark.browser
COLOUR = (0, 114, 178)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    with Encoder(tmp_path / "raw.mp4", width=1280, height=720, fps=10) as encoder:
        for n in range(30):
            frame = np.full((720, 1280, 3), COLOUR, np.uint8)
            frame[:20, : 20 * n] = 255
            encoder.write(frame)
    chapters = [Chapter("One", 0, 1.5), Chapter("Two", 1.5, 3)]
    seal(tmp_path / "raw.mp4", tmp_path / "v.mp4", tags={"comment": "x" * 90_000}, chapters=chapters)
    (tmp_path / "v.vtt").write_text(subtitles.vtt([("a < b & c", 0, 1), ("Then the rest.", 1, 3)]))
    (tmp_path / "index.html").write_text(
        '<video id="v" muted preload="auto" src="v.mp4"><track default kind="subtitles" src="v.vtt"></video>'
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/index.html"
    server.shutdown()
    server.server_close()


LOOK = """async () => {
  const video = document.getElementById("v"), track = video.textTracks[0];
  const ready = test => new Promise(done => { const t = setInterval(() => test() && (clearInterval(t), done()), 20); });
  await ready(() => video.readyState >= 3 && track.cues && track.cues.length == 2);
  await new Promise(done => { video.onseeked = done; video.currentTime = 2.0; });
  const canvas = document.createElement("canvas"); canvas.width = 1280; canvas.height = 720;
  canvas.getContext("2d").drawImage(video, 0, 0);
  const pixel = [...canvas.getContext("2d").getImageData(640, 400, 1, 1).data];
  return {width: video.videoWidth, height: video.videoHeight, duration: video.duration, pixel,
          cues: [...track.cues].map(cue => [cue.startTime, cue.endTime, cue.getCueAsHTML().textContent])};
}"""


def test_it_plays_in_the_right_colours_with_subtitles(chromium: Any, served: str) -> None:
    page = chromium.new_page()
    page.goto(served)
    found = page.evaluate(LOOK)
    page.close()
    assert (found["width"], found["height"], found["duration"]) == (1280, 720, 3)
    assert found["cues"] == [[0, 1, "a < b & c"], [1, 3, "Then the rest."]]
    assert max(abs(a - b) for a, b in zip(found["pixel"], COLOUR, strict=False)) <= 6
