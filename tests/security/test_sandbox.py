"""Escapes out of the sandbox: each is really attempted, held inside, and shown to succeed outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from escapes import ESCAPES, HARMLESS_OUTSIDE, TOLD, Target

from t2v_studio.engines.manim import landlock, sandbox, seccomp
from t2v_studio.engines.manim.job import read_report
from t2v_studio.engines.manim.sandbox import Level, Outcome, Probe
from t2v_studio.errors import CancelledError, UnavailableError
from t2v_studio.settings import Settings

CONFINED = "t2v_studio.engines.manim.confined"
SECONDS = 60.0
ALL_MEANS = [
    pytest.param(("landlock", "seccomp"), id="landlock-seccomp"),
    pytest.param(("bubblewrap",), id="bubblewrap"),
]
ONLY_OWN = frozenset(
    {
        "shell", "program", "fork", "leave the group", "raise its own limits", "memory by another name", "new namespace",
        "read a secret by a link", "write outside through a link", "a pipe that hangs its reader",
    }
)  # fmt: skip
"""Bubblewrap alone lets these happen inside its own namespaces, where they reach nothing."""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    found = Target(tmp_path_factory.mktemp("target"))
    yield found
    found.close()


@pytest.fixture
def secret_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "the-secret")


def caged(folder: Path, code: str, means: tuple[str, ...] | None = None, **limits: object) -> Outcome:
    """Run code in the cage; it lies outside the private folder, and is read before the rights are dropped."""
    folder.mkdir(exist_ok=True)
    (folder / "code.py").write_text(code, encoding="utf-8")
    argv = [sys.executable, "-m", CONFINED, str(folder), str(folder / "code.py")]
    return sandbox.run(argv, folder=folder, means=means, **{"seconds": SECONDS, **limits})  # type: ignore[arg-type]


def possible(means: tuple[str, ...]) -> bool:
    return sandbox._measured(means).level == Level.files_and_network


@pytest.mark.usefixtures("secret_environment")
@pytest.mark.parametrize("means", ALL_MEANS)
def test_every_escape_is_held(target: Target, tmp_path: Path, means: tuple[str, ...]) -> None:
    if not possible(means):
        pytest.skip(f"this machine has no {' and '.join(means)}")
    escaped = []
    for number, (name, code) in enumerate(ESCAPES.items()):
        if "bubblewrap" in means and name in ONLY_OWN:
            continue
        target.reset()
        folder = tmp_path / str(number)
        outcome = caged(folder, target.names() + code, means)
        assert outcome.rc != 0 and outcome.err, f"{name}: the attempt was not made ({outcome})"
        if (folder / TOLD).exists() or not target.untouched():
            escaped.append(name)
    assert escaped == []


@pytest.mark.usefixtures("secret_environment")
def test_the_same_code_succeeds_without_the_sandbox(target: Target, tmp_path: Path) -> None:
    failed = {}
    for number, name in enumerate(sorted(HARMLESS_OUTSIDE)):
        target.reset()
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "code.py").write_text(target.names() + ESCAPES[name], encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "code.py"], cwd=folder, capture_output=True, text=True, timeout=SECONDS, check=False
        )
        if done.returncode or not (folder / TOLD).exists():
            failed[name] = done.stderr[-300:]
    allowed = {"new namespace", "memory of the parent", "raise its own limits", "a file that fills the disk"}
    assert set(failed) <= allowed, failed  # these ask for rights or room that not every machine gives


@pytest.mark.usefixtures("secret_environment")
def test_every_escape_is_held_in_a_manim_scene(target: Target, settings: Settings) -> None:
    """The harness imports Manim, closes the cage and then runs the scene: all escapes in one, past the gate."""
    pytest.importorskip("manim")
    from t2v_studio.engines.manim.dry_run import attempt

    if sandbox.probe().level < Level.files_and_network:
        pytest.skip("this machine cannot shut code in")
    target.reset()
    held_otherwise = ONLY_OWN if "bubblewrap" in sandbox.probe().means else frozenset()
    escapes = {name: code for name, code in ESCAPES.items() if name not in held_otherwise}
    scene = (
        f"from manim import *\n{target.names()}\nESCAPES = {escapes!r}\n\n\nclass Hostile(Scene):\n"
        "    def construct(self):\n        self.play(Create(Circle()))\n        out = []\n"
        "        for name, code in ESCAPES.items():\n            try:\n                exec(code, dict(globals()))\n"
        "            except BaseException:\n                continue\n            out.append(name)\n"
        "        raise ValueError(f'escaped by {out} of {len(ESCAPES)}')\n"
    )
    report = attempt(scene, settings=settings)
    assert report.error is not None and report.plays == 1
    assert report.error.message == f"escaped by [] of {len(escapes)}"
    assert target.untouched()


def test_a_fork_bomb_starts_no_process(tmp_path: Path) -> None:
    bomb = "import os, sys\ncount = 0\nwhile count < 200:\n    os.fork()\n    count += 1\n"
    outcome = caged(tmp_path / "in", bomb)
    assert outcome.rc == 1 and b"os.fork()" in outcome.err
    assert not _running_in(tmp_path)


def test_endless_loops_end(tmp_path: Path) -> None:
    asleep = caged(tmp_path / "a", "import time\nwhile True:\n    time.sleep(1)", seconds=2)
    assert asleep.held == "time" and asleep.rc < 0
    deaf = "import signal\nfor one in (15, 2, 1, 24):\n    signal.signal(one, signal.SIG_IGN)\nwhile True:\n    pass"
    busy = caged(tmp_path / "b", deaf, seconds=2)
    assert busy.rc < 0
    assert not _running_in(tmp_path)


def test_huge_output_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = caged(tmp_path / "a", "while True:\n    print('x' * 10000)", output_bytes=100_000)
    assert outcome.held == "output" and len(outcome.out) == 100_000
    monkeypatch.setattr(sandbox, "FOLDER_MB", 4)
    many = "import time\nfor n in range(10**6):\n    open(f'f{n}', 'wb').write(b'x' * (1 << 20))\n    time.sleep(0.02)"
    assert caged(tmp_path / "b", many).held == "disk"
    one = caged(tmp_path / "c", "open('big', 'wb').truncate(300 << 20)")
    assert b"File too large" in one.err


def test_cancel_ends_the_child_and_what_it_started(tmp_path: Path) -> None:
    def stop() -> None:
        if (tmp_path / "in" / "running").exists():
            raise CancelledError

    code = "import time\nopen('running', 'w').close()\nwhile True:\n    time.sleep(1)"
    with pytest.raises(CancelledError):
        caged(tmp_path / "in", code, check=stop)
    assert not _running_in(tmp_path)


def test_a_guard_ends_a_child_whose_output_another_reads(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "code.py").write_text("import time\nprint('here', flush=True)\nwhile True:\n    time.sleep(1)")
    argv, environment = sandbox.command([sys.executable, "-m", CONFINED, str(folder), "code.py"], folder)
    process = subprocess.Popen(
        argv, cwd=folder, env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True
    )
    assert process.stdout
    with sandbox.guard(process, folder, seconds=30) as watched:
        assert process.stdout.readline() == b"here\n"
    assert process.returncode < 0 and watched.held == ""
    process = subprocess.Popen(
        argv, cwd=folder, env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, start_new_session=True
    )
    assert process.stdout
    with sandbox.guard(process, folder, seconds=1) as watched:
        while process.stdout.readline():
            pass
    assert watched.held == "time"


def test_what_a_scene_needs_goes_on(tmp_path: Path) -> None:
    code = """
import os, random, tempfile, threading
import numpy as np
open("kept.txt", "w").write("mine")
os.makedirs("deep/er")
os.replace("kept.txt", "deep/er/kept.txt")
tempfile.TemporaryFile().write(b"x")
found = []
thread = threading.Thread(target=lambda: found.append(1))
thread.start()
thread.join()
import statistics, xml.dom.minidom
print(found, np.linalg.norm(np.ones(4)), os.urandom(2) != b"", sorted(os.environ))
"""
    outcome = caged(tmp_path / "in", code)
    assert outcome.rc == 0, outcome.err.decode()
    assert outcome.out.startswith(b"[1] 2.0 True")
    assert b"T2V_CAGE" not in outcome.out, "the orders are the studio's own"
    assert (tmp_path / "in/deep/er/kept.txt").read_text() == "mine"


def test_nothing_in_the_folder_is_imported_before_the_rights_are_dropped(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    site = folder / ".local/lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    site.mkdir(parents=True)
    trap = f"open({str(tmp_path / 'trapped')!r}, 'w').write('x')\n"
    (site / "trap.pth").write_text(f"import os; {trap}")
    (site / "sitecustomize.py").write_text(trap)
    for name in ("json", "sitecustomize", "usercustomize", "ctypes", "t2v_studio"):
        (folder / f"{name}.py").write_text(trap)
    assert caged(folder, "print('ran')").out == b"ran\n"
    assert not (tmp_path / "trapped").exists()


def test_links_and_pipes_do_not_outlive_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "pipe")
    (folder / "deep").mkdir()
    (folder / "deep/loop").symlink_to(tmp_path)
    (folder / "report.json").symlink_to("/etc/passwd")
    assert read_report(folder) is None
    assert caged(folder, "pass").rc == 0
    assert sorted(path.name for path in folder.rglob("*")) == ["code.py", "deep"]
    os.mkfifo(folder / "report.json")
    assert read_report(folder) is None, "it does not wait for a writer"


def test_the_probe_measures_what_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = sandbox._measured(())
    assert nothing.level == Level.limits
    assert {"read", "write", "list", "tcp", "udp", "unix"} <= set(nothing.missing)
    if landlock.version():
        assert (
            "udp" in sandbox._measured(("landlock",)).missing and "read" not in sandbox._measured(("landlock",)).missing
        )
    if seccomp.available():
        only = sandbox._measured(("seccomp",))
        assert only.level == Level.limits and {"read", "write"} <= set(only.missing) and "tcp" not in only.missing
    assert json.dumps(nothing.words()) == '"isolation: limits only"'


def test_without_landlock_bubblewrap_stands_in_and_without_both_code_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(landlock, "version", lambda: 0)
    monkeypatch.setattr(sandbox.seccomp, "available", lambda: False)
    sandbox.probe.cache_clear()
    try:
        if possible(("bubblewrap",)):
            assert sandbox.probe().means == ("bubblewrap",)
        sandbox.probe.cache_clear()
        monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
        weak = sandbox.probe()
        assert weak.level == Level.limits and "bubblewrap" in weak.hint
        with pytest.raises(UnavailableError) as refused:
            sandbox.require(Settings(_env_file=None))
        assert "T2V_MANIM_UNCONFINED" in refused.value.hint and refused.value.code == "sandbox_weak"
        assert sandbox.require(Settings(_env_file=None, manim_unconfined=True)) is weak
    finally:
        sandbox.probe.cache_clear()


def test_a_cage_that_cannot_be_closed_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The child was ordered what its kernel has not: it stops before the code."""
    monkeypatch.setattr(sandbox.rights, "ORDERS", "T2V_CAGE")
    folder = tmp_path / "in"
    folder.mkdir()
    broken = f"import {CONFINED} as c\nfrom t2v_studio.engines.manim import landlock\nlandlock.version = lambda: 0\n"
    (folder / "code.py").write_text("print('ran')")
    starter = broken + f"c.main([{str(folder)!r}, {str(folder / 'code.py')!r}])"
    argv, environment = sandbox.command([sys.executable, "-c", starter], folder, means=("landlock", "seccomp"))
    done = subprocess.run(argv, env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode and "ran" not in done.stdout and "has no Landlock" in done.stderr


def test_a_second_thread_is_refused(tmp_path: Path) -> None:
    """Landlock binds one thread: with another alive the cage would have a hole."""
    code = (
        "import threading, time\nfrom pathlib import Path\nfrom t2v_studio.engines.manim import rights\n"
        "threading.Thread(target=time.sleep, args=(30,), daemon=True).start()\n"
        f"rights.enter(Path({str(tmp_path)!r}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode and "2 threads were alive" in done.stderr


def test_levels_are_ordered_and_told() -> None:
    assert Level.none < Level.limits < Level.files < Level.files_and_network
    assert Probe(Level.files_and_network, ("landlock",)).words() == "isolation: files and network by landlock"


def test_a_probe_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    sandbox.probe.__wrapped__()
    assert not set(threading.enumerate()) - before


def _running_in(folder: Path) -> list[str]:
    """Processes whose working directory lies below a folder."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if (process / "cwd").resolve().is_relative_to(folder):
                    found.append(process.name)
            except OSError:
                continue
    return found
