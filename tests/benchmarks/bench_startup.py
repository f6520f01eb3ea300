"""Start-up: `import t2v_studio.studio`, and `python app.py` to its first answer and to the first paint in Chromium.

python tests/benchmarks/bench_startup.py [--repeats 5]
Each run is a fresh process on an empty workspace; the first of each is dropped, since it fills the disk cache. Without
Chromium and Playwright the paint is left out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SLOWEST_S = 120
_IMPORT = (
    "import time; t, c = time.perf_counter(), time.process_time(); import t2v_studio.studio; "
    "print(time.perf_counter() - t, time.process_time() - c)"
)
_PAINT = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def import_s() -> tuple[float, float]:
    """Seconds by the clock, and of the processor: the second holds on a busy machine too."""
    done = subprocess.run([sys.executable, "-c", _IMPORT], cwd=ROOT, capture_output=True, text=True, check=True)
    wall, cpu = map(float, done.stdout.split())
    return wall, cpu


@contextmanager
def app(port: int) -> Iterator[float]:
    """The web app on an empty workspace, and the clock's reading at which its process was started."""
    with tempfile.TemporaryDirectory() as folder:
        given = {**os.environ, "T2V_HOME": folder, "T2V_PORT": str(port), "GRADIO_ANALYTICS_ENABLED": "False"}
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            yield started
        finally:
            process.terminate()
            process.wait(30)


def first_answer(url: str) -> None:
    limit = time.monotonic() + SLOWEST_S
    while time.monotonic() < limit:
        try:
            with urllib.request.urlopen(url, timeout=SLOWEST_S) as answer:
                answer.read()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.02)
    raise TimeoutError(f"{url} did not answer within {SLOWEST_S} s")


def page_s() -> tuple[float, float | None]:
    """Seconds from the start of the process to the first answer, and to the first paint (None without a browser)."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    with app(port) as started:
        first_answer(url)
        answered = time.perf_counter()
        painted = paint_ms(url)
    return answered - started, None if painted is None else answered - started + painted / 1000


def paint_ms(url: str) -> float | None:
    """Milliseconds from the request of the page to its first contentful paint, in a browser that runs already."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if not path:
        return None
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 720})
        page.goto(url, wait_until="load", timeout=1000 * SLOWEST_S)
        page.wait_for_function(f"{_PAINT} > 0", timeout=1000 * SLOWEST_S)
        found = float(page.evaluate(_PAINT))
        browser.close()
    return found


def free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])


def show(name: str, seconds: list[float]) -> None:
    if seconds:
        print(f"{name:<32} {statistics.median(seconds):6.2f} s  ({min(seconds):.2f} to {max(seconds):.2f})", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    print(f"load {os.getloadavg()[0]:.1f}, median of {repeats} (least to most)")
    imports = [import_s() for _ in range(repeats + 1)][1:]
    show("import t2v_studio.studio", [wall for wall, _ in imports])
    show("import, of the processor", [cpu for _, cpu in imports])
    pages = [page_s() for _ in range(repeats + 1)][1:]
    show("python app.py to first answer", [answer for answer, _ in pages])
    show("python app.py to first paint", [paint for _, paint in pages if paint is not None])


if __name__ == "__main__":
    main()
