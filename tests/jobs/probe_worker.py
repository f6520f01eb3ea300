"""A worker with handlers of the tests alone: what `python -m t2v_studio.jobs.worker` is, with other work to do."""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from t2v_studio.errors import InputError
from t2v_studio.jobs.model import Context, Job, Next
from t2v_studio.jobs.worker import Worker, start_logging
from t2v_studio.settings import load_settings


def nothing(context: Context, job: Job) -> dict[str, Any]:
    return {"pid": os.getpid(), "home": str(context.workspace.outputs.parent)}


def steps(context: Context, job: Job) -> dict[str, Any]:
    """Reports `steps` steps; goes on until the file `gate` appears, where one is named."""
    gate = Path(job.spec["gate"]) if "gate" in job.spec else None
    total = job.spec.get("steps", 5)
    for step in range(1, total + 1):
        context.report("stepping", step, total, f"step {step}")
        time.sleep(job.spec.get("seconds", 0.01))
    while gate is not None and not gate.exists():
        context.report("waiting", 0, 0)
        time.sleep(0.02)
    return {"pid": os.getpid(), "steps": total}


def segfault(context: Context, job: Job) -> dict[str, Any]:
    context.report("falling")
    print("the last words of this job", flush=True)
    for _ in range(4):  # a worker that draws has pools, and the dump of a crash lists their threads first
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    ctypes.string_at(0)
    return {}


def killed(context: Context, job: Job) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def memory(context: Context, job: Job) -> dict[str, Any]:
    raise MemoryError


def broken(context: Context, job: Job) -> dict[str, Any]:
    raise ZeroDivisionError("no number is that large")


def refused(context: Context, job: Job) -> dict[str, Any]:
    raise InputError("bad_probe", "probe: it is bad.", "Give a good one.", depth=3)


def unserialisable(context: Context, job: Job) -> dict[str, Any]:
    return {"path": Path("somewhere")}


def two_lanes(context: Context, job: Job) -> dict[str, Any] | Next:
    if job.lane == "library":
        return Next("studio", {"planned_by": os.getpid()})
    return {"planned_by": job.carry["planned_by"], "drawn_by": os.getpid()}


def deaf(context: Context, job: Job) -> dict[str, Any]:
    """Never looks at its flag, but Python can interrupt it."""
    context.report("deaf")
    for _ in range(6000):
        time.sleep(0.01)
    return {}


def stone(context: Context, job: Job) -> dict[str, Any]:
    """Neither looks at its flag nor takes SIGINT."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    context.report("stone")
    for _ in range(6000):
        time.sleep(0.01)
    return {}


def search(context: Context, job: Job) -> dict[str, Any]:
    return {"results": job.spec["queries"]}


PROBES = {
    handler.__name__: handler
    for handler in (
        nothing,
        steps,
        segfault,
        killed,
        memory,
        broken,
        refused,
        unserialisable,
        two_lanes,
        deaf,
        stone,
        search,
    )
}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--lane", required=True)
    lane = parser.parse_args().lane
    start_logging()
    sys.exit(Worker(load_settings(), lane, PROBES, {}).run())
