"""CPU seconds to look at, build, check and export a manifest of many clips.

Run: python tests/benchmarks/bench_manifest.py [--clips N] [--megabytes M]
The clips are one real one under many ids, padded to the size of a course clip.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "datasets"))

from training_clips import make_clips

from t2v_studio.jobs.manifest_desk import ManifestDesk
from t2v_studio.studies.blinding import sha256_of
from t2v_studio.workspace import Workspace


def multiply(workspace: Workspace, source: str, clips: int, size: int) -> None:
    """`clips` videos that differ in id, seed and hash."""
    data = json.loads((workspace.video(source) / "record.json").read_text())
    padding = b"\0" * size
    for number in range(clips):
        name = f"vid_bench{number:06d}"
        folder = workspace.video(name)
        shutil.copytree(workspace.video(source), folder)
        with (folder / "video.mp4").open("ab") as stream:
            stream.write(padding + str(number).encode())
        request = data["request"] | {"seed": number}
        changed = {"id": name, "frames_sha256": f"{number:064x}", "video_sha256": sha256_of(folder / "video.mp4")}
        (folder / "record.json").write_text(json.dumps(data | changed | {"request": request}))


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = work()
    return round(time.process_time() - start, 2), result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=240)
    parser.add_argument("--megabytes", type=float, default=1.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clips = make_clips(Path(folder) / "home")
        multiply(clips.workspace, clips.single["plain"], arguments.clips, int(arguments.megabytes * 1e6))
        desk = ManifestDesk(clips.settings, clips.workspace)
        first, found = timed(desk.preview)
        again, _ = timed(desk.preview)
        build, made = timed(desk.build)
        check, _ = timed(lambda: desk.check(made["id"]))
        export, _ = timed(lambda: desk.export(made["id"], "videofolder", Path(folder) / "set"))
        print(
            json.dumps(
                {
                    "clips": len(found["rows"]),
                    "first_look_cpu_s": first,
                    "again_cpu_s": again,
                    "build_cpu_s": build,
                    "check_cpu_s": check,
                    "export_cpu_s": export,
                }
            )
        )


if __name__ == "__main__":
    main()
