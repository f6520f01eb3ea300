"""The trainer as a process: killed at any step it goes on to the same bits, on SIGTERM it saves, two processes agree."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from small_clips import small

from t2v_studio.adapters.files import WEIGHTS
from t2v_studio.adapters.runs import TrainingRun, read_lines
from t2v_studio.errors import BusyError
from t2v_studio.settings import Settings
from t2v_studio.workspace import REPOSITORY, Workspace
from training.video import cache_text
from training.video.checkpoints import checkpoints
from training.video.run import work
from training.video.session import Session, locked, open_session

NewRun = Callable[..., TrainingRun]
PATIENCE_S = 240
STOPPED = 3


def environment(workspace: Workspace) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("T2V_")}
    return kept | {"T2V_HOME": str(workspace.outputs.parent), "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


def started(run: TrainingRun, workspace: Workspace, *before: str) -> subprocess.Popen[bytes]:
    argv = [*(before or (sys.executable,)), "-m", "training.video.run", str(run.folder)]
    with (run.folder / "output.log").open("ab") as output:
        return subprocess.Popen(argv, env=environment(workspace), cwd=REPOSITORY, stdout=output, stderr=output)


def until_step(run: TrainingRun, step: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the log holds a step, or the process has ended."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and process.poll() is None:
        rows, _ = read_lines(run.part().log)
        if rows and rows[-1]["step"] >= step:
            return
        time.sleep(0.01)


def weights_of(workspace: Workspace, result: dict[str, Any]) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(workspace.adapter(result["adapter"]) / WEIGHTS)


@pytest.mark.slow
def test_killed_at_a_random_step_and_resumed_the_weights_are_the_same_bits(
    new_run: NewRun, settings: Settings, workspace: Workspace
) -> None:
    """The killed trainer is a process of its own; the unbroken one and the one that goes on run here."""
    recipe = small(steps=60, save_every=4, validate_every=60, sigma_quantiles=1, lora_dropout=0.1, workers=1)
    broken, unbroken = new_run(recipe), new_run(recipe)
    process = started(broken, workspace)
    until_step(broken, random.randint(5, 20), process)
    process.send_signal(signal.SIGKILL)
    assert process.wait(PATIENCE_S) == -signal.SIGKILL, "it was killed before it was done"
    left = checkpoints(broken.part())
    assert left and left[-1][0] < 60
    resumed, whole = (work(open_session(run, settings, workspace))[0] for run in (broken, unbroken))
    ours, theirs = weights_of(workspace, whole), weights_of(workspace, resumed)
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    losses = [{row["step"]: row["loss"] for row in read_lines(run.part().log)[0]} for run in (broken, unbroken)]
    assert losses[0] == losses[1] and len(losses[0]) == 60


@pytest.mark.slow
def test_sigterm_saves_and_leaves_and_a_second_trainer_is_refused(new_run: NewRun, workspace: Workspace) -> None:
    run = new_run(small(steps=100_000, save_every=50_000, validate_every=100_000, validation_clips=0))
    process = started(run, workspace)
    until_step(run, 3, process)
    with pytest.raises(BusyError), locked(run):
        pass
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE_S) == STOPPED, (run.folder / "output.log").read_text()[-3000:]
    last = json.loads(run.progress.read_text().splitlines()[-1])
    assert last["stage"] == "stopped" and last["error"]["code"] == "cancelled"
    rows, _ = read_lines(run.part().log)
    assert [step for step, _ in checkpoints(run.part())] == [rows[-1]["step"]]


@pytest.mark.parametrize("late", [0, 1])
def test_what_is_cached_is_shared_out_though_one_process_looks_late(
    late: int, new_run: NewRun, settings: Settings, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The late one may find on the disk what the other has just written: still nothing is nobody's."""
    together, written = threading.Barrier(2, timeout=PATIENCE_S), threading.Event()
    made: set[Path] = set()
    files = open_session(new_run(), settings, workspace).cache
    prompts = [f"a square at speed {number}" for number in range(5)]

    def is_right(path: Path, header: dict[str, str]) -> bool:
        if threading.current_thread().name == f"rank {late}":
            written.wait(0.5)  # long enough for the other to begin, which it must not
        return path in made

    def encode(session: Session, texts: Sequence[str]) -> None:
        made.update(map(files.text_file, texts))
        written.set()

    monkeypatch.setattr(cache_text.cache, "is_right", is_right)
    monkeypatch.setattr(cache_text, "_encode", encode)

    def process(rank: int) -> None:
        accelerator = SimpleNamespace(
            process_index=rank, num_processes=2, is_main_process=not rank, wait_for_everyone=together.wait
        )
        session = replace(open_session(run, settings, workspace), accelerator=accelerator)
        cache_text.cache_text(session, prompts)

    run = new_run()
    threads = [threading.Thread(target=process, args=(rank,), name=f"rank {rank}") for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == {files.text_file(text) for text in ["", *prompts]}


@pytest.mark.slow
def test_two_processes_train_one_adapter(new_run: NewRun, workspace: Workspace) -> None:
    """accelerate's own launcher starts one process on a CPU without a word; torchrun starts two."""
    run = new_run(small(steps=3, save_every=3, validate_every=3, sigma_quantiles=1))
    launch = Path(sys.executable).with_name("torchrun")
    argv = [str(launch), "--standalone", "--nproc_per_node", "2"]
    env = environment(workspace) | {"ACCELERATE_USE_CPU": "true"}
    with (run.folder / "output.log").open("wb") as output:
        done = subprocess.run(
            [*argv, "-m", "training.video.run", str(run.folder)],
            env=env, cwd=REPOSITORY, stdout=output, stderr=output, timeout=PATIENCE_S, check=False,
        )  # fmt: skip
    assert done.returncode == 0, (run.folder / "output.log").read_text()[-3000:]
    result = run.part().result
    rows, _ = read_lines(run.part().log)
    assert result["step"] == 3 and [row["step"] for row in rows] == [1, 2, 3], "one log, written by one of them"
    # Five clips in epochs of five batches; two processes take two a pass, four a step.
    assert rows[-1]["epoch"] == pytest.approx(3 * 2 * 2 / 5)
