"""The cage for code that a language model or a stranger wrote: what it holds here, and how a child is put into it.

A child gets a clean environment, a process group and a private folder of its own, and limits on time, memory, files
and output. Landlock and seccomp, which the child sets on itself (`enter`), take files and network away; bubblewrap
stands in where the kernel has not both. What holds is measured in a child by `probe`, never assumed.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from t2v_studio.engines.manim import landlock, rights, seccomp
from t2v_studio.engines.manim.rights import enter
from t2v_studio.errors import UnavailableError
from t2v_studio.settings import Settings, load_settings

__all__ = ["Level", "Outcome", "Probe", "command", "dry_run", "enter", "guard", "probe", "require", "run"]

SECONDS = 60.0
MEMORY_MB = 4096
OUTPUT_BYTES = 1_000_000
FOLDER_MB = 512
"""All that a child may leave in its folder."""
_PROBE_SECONDS = 30.0
_LOOK_EVERY_S = 0.1


class Level(IntEnum):
    """What is shut off. Written code runs from `files_and_network` on, unless the user opts in."""

    none = 0
    limits = 1
    files = 2
    files_and_network = 3

    @property
    def words(self) -> str:
        return {0: "none", 1: "limits only", 2: "files", 3: "files and network"}[self.value]


@dataclass(frozen=True)
class Probe:
    """What a child measured here.

    means: by what it is held ("landlock", "seccomp", "bubblewrap"). missing: what succeeded though it must not.
    hint: how to get the rest.
    """

    level: Level
    means: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    hint: str = ""

    def words(self) -> str:
        """For the doctor, the page and records: the level and its means."""
        by = f" by {', '.join(self.means)}" if self.means else ""
        return f"isolation: {self.level.words}{by}"


@dataclass(frozen=True)
class Outcome:
    """rc: exit status, negative for a signal. held: "" or the limit that ended it: time, output, disk."""

    rc: int
    out: bytes
    err: bytes
    seconds: float
    held: str = ""


def require(settings: Settings | None = None) -> Probe:
    """The level of this machine where it suffices, or where the user opted in. Raises UnavailableError."""
    found = probe()
    settings = settings or load_settings()
    if found.level >= Level.files_and_network or settings.manim_unconfined:
        return found
    raise UnavailableError(
        "sandbox_weak",
        f"Written Manim code is off: here it can be shut off from {found.level.words}, not from files and network.",
        f"{found.hint} Or trust what is written and set T2V_MANIM_UNCONFINED=true; template scenes need neither.",
    )


@lru_cache(maxsize=1)
def probe() -> Probe:
    """The level of this machine and its means, measured in a child once a process: about 0.3 s."""
    if sys.platform != "linux":
        return Probe(Level.none, hint="Only Linux has Landlock, seccomp and bubblewrap; WSL 2 or Docker do too.")
    own = tuple(name for name, there in (("landlock", landlock.version() > 0), ("seccomp", seccomp.available())) if there)  # fmt: skip
    best = _measured(own)
    if best.level < Level.files_and_network and shutil.which("bwrap"):
        best = max(best, _measured((*own, "bubblewrap")), key=lambda found: found.level)
    return best


def command(
    argv: Sequence[str],
    folder: Path,
    *,
    readable: Sequence[Path] = (),
    memory_mb: int = MEMORY_MB,
    cpu_seconds: float = 2 * SECONDS,
    means: Sequence[str] | None = None,
) -> tuple[list[str], dict[str, str]]:
    """`argv`, in bubblewrap where that is the means, and the clean environment of a program that calls `enter(folder)`.

    Start it with start_new_session=True, stdin=DEVNULL and cwd=folder, and watch it with `guard`. folder: a fresh one
    a run, for what it holds is read before the rights are dropped. means: those of `probe` by default.
    """
    means = probe().means if means is None else means
    folder = folder.resolve()
    orders = rights.Orders(
        need=tuple(name for name in means if name != "bubblewrap"),
        memory_mb=memory_mb,
        cpu_seconds=max(1, int(cpu_seconds)),
        readable=tuple(str(path.resolve()) for path in readable),
    )
    started = [*_bubblewrap(folder, orders), *argv] if "bubblewrap" in means else list(argv)
    return started, _environment(folder, orders)


def _environment(folder: Path, orders: rights.Orders) -> dict[str, str]:
    """Nothing of ours: no keys, no home. Nothing in the folder, the working directory or a home is imported."""
    packages = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    return {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": os.pathsep.join([str(rights.REPOSITORY), *packages]),
        "PYTHONSAFEPATH": "1",
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "XDG_CACHE_HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        rights.ORDERS: orders.packed(),
    }


def _bubblewrap(folder: Path, orders: rights.Orders) -> list[str]:
    """Namespaces of its own, without network; only what `rights.readable` names is there, read-only."""
    started = ["bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--proc", "/proc", "--dev", "/dev"]
    for path in (*rights.readable(orders), Path("/usr/bin")):
        if path.exists() and not path.is_relative_to("/dev"):
            started += ["--ro-bind", str(path), str(path)]
    started += ["--bind", str(folder), str(folder), "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", str(folder)]
    return [*started, "--"]


def run(
    argv: Sequence[str],
    *,
    folder: Path,
    seconds: float = SECONDS,
    readable: Sequence[Path] = (),
    memory_mb: int = MEMORY_MB,
    output_bytes: int = OUTPUT_BYTES,
    means: Sequence[str] | None = None,
    check: Callable[[], None] | None = None,
) -> Outcome:
    """Run a program that calls `enter(folder)` to its end or its limit; its process group is killed as a whole.

    seconds: wall clock. output_bytes: of standard output and of standard error, each. check: called ten times a
    second; what it raises (CancelledError) ends the child and goes on to the caller.
    """
    started, environment = command(
        argv, folder, readable=readable, memory_mb=memory_mb, cpu_seconds=seconds + 1, means=means
    )
    begin = time.monotonic()
    process = subprocess.Popen(
        started, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        out, err, held = _collected(process, folder, begin + seconds, output_bytes, check)
    finally:
        end(process)
        plain(folder)
    return Outcome(process.returncode, out, err, time.monotonic() - begin, held)


def _collected(
    process: subprocess.Popen[bytes], folder: Path, until: float, most: int, check: Callable[[], None] | None
) -> tuple[bytes, bytes, str]:
    """Both outputs until they end, or until a limit: what was read so far, and the limit's name."""
    assert process.stdout and process.stderr
    kept: dict[IO[bytes], bytearray] = {process.stdout: bytearray(), process.stderr: bytearray()}
    held = ""
    with selectors.DefaultSelector() as waiting:
        for stream in kept:
            waiting.register(stream, selectors.EVENT_READ)
        while not held and (waiting.get_map() or process.poll() is None):
            for key, _ in waiting.select(_LOOK_EVERY_S) if waiting.get_map() else ():
                _read(key.fileobj, kept, waiting)
            if not waiting.get_map():
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_EVERY_S)
            held = _over(folder, until, max(map(len, kept.values())) > most)
            if check is not None:
                check()
    out, err = (bytes(text[:most]) for text in kept.values())
    return out, err, held


def _read(stream: Any, kept: dict[IO[bytes], bytearray], waiting: selectors.BaseSelector) -> None:
    chunk = os.read(stream.fileno(), 1 << 16)
    kept[stream] += chunk
    if not chunk:
        waiting.unregister(stream)


def _over(folder: Path, until: float, too_much: bool) -> str:
    if too_much:
        return "output"
    if time.monotonic() > until:
        return "time"
    return "disk" if _size(folder) > FOLDER_MB << 20 else ""


class Guard:
    """held: "" or the limit at which the child was ended."""

    held = ""


@contextmanager
def guard(process: subprocess.Popen[bytes], folder: Path, *, seconds: float) -> Iterator[Guard]:
    """Watches a child of `command` whose output the caller reads: its group ends at the limit, and with the block."""
    found, done, until = Guard(), threading.Event(), time.monotonic() + seconds

    def watch() -> None:
        while not done.wait(_LOOK_EVERY_S):
            found.held = found.held or _over(folder, until, False)
            if found.held:
                _kill(process)
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()
        end(process)
        plain(folder)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of a child's group, and take its exit status."""
    _kill(process)
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
    process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def plain(folder: Path) -> None:
    """Take away all but plain files and folders: a link or a pipe would lead whoever reads the folder astray."""
    for parent, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(parent, name)
            with suppress(OSError):
                mode = path.lstat().st_mode
                if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                    path.unlink()


def _size(folder: Path) -> int:
    """Bytes of the files below a folder; more than 20,000 of them count as too much."""
    total = count = 0
    for parent, _, files in os.walk(folder):
        for name in files:
            count += 1
            with suppress(OSError):
                total += Path(parent, name).lstat().st_size
            if count > 20_000:
                return 1 << 62
    return total


def _measured(means: tuple[str, ...]) -> Probe:
    """What a child that is held by these means can still do."""
    with tempfile.TemporaryDirectory(prefix="t2v-probe-") as root, _Outside(Path(root)) as outside:
        folder = Path(root) / "private"
        folder.mkdir()
        argv = [sys.executable, "-m", "t2v_studio.engines.manim.confined", str(folder), "--probe", *outside.arguments]
        try:
            done = run(argv, folder=folder, seconds=_PROBE_SECONDS, means=means)
            could: dict[str, bool] = json.loads(done.out)
        except (OSError, ValueError):
            return Probe(Level.none, hint=_hint(means))
    return _judged(could, means)


def _judged(could: dict[str, bool], means: tuple[str, ...]) -> Probe:
    files = not any(could[name] for name in ("read", "list", "write"))
    network = not any(could[name] for name in ("tcp", "udp", "unix", "mode"))
    if not could["write_inside"] or could["memory"]:
        level = Level.none
    elif files:
        level = Level.files_and_network if network else Level.files
    else:
        level = Level.limits
    missing = tuple(name for name, succeeded in could.items() if succeeded and name not in ("write_inside", "program"))
    return Probe(level, means, missing, "" if level == Level.files_and_network else _hint(means))


def _hint(means: tuple[str, ...]) -> str:
    if "bubblewrap" not in means:
        return "Install bubblewrap with your system's packages, or use a kernel from 5.13 on with Landlock and seccomp."
    return "Let bubblewrap make user namespaces here (containers often forbid them), or use a kernel with Landlock."


class _Outside:
    """What the probe's child must not reach: a secret, a folder, a TCP, a UDP and a Unix socket that answer."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "outside"
        self.folder.mkdir()
        self.secret = self.folder / "secret"
        self.secret.write_text("secret", encoding="utf-8")
        self.tcp = socket.create_server(("127.0.0.1", 0))
        port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", port))
        self.udp.settimeout(0.1)
        self.unix = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener = self.folder / "listener"
        self.unix.bind(str(listener))
        self.unix.listen()
        self.arguments = [str(port), str(listener), str(self.secret), str(self.folder)]
        self.over = threading.Event()
        self.answering = threading.Thread(target=self._answer, daemon=True)

    def _answer(self) -> None:
        while not self.over.is_set():
            with suppress(OSError):
                _, sender = self.udp.recvfrom(16)
                self.udp.sendto(b"ack", sender)

    def __enter__(self) -> _Outside:
        self.answering.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.answering.join()
        for one in (self.tcp, self.udp, self.unix):
            one.close()


def dry_run(code: str, scene: str) -> str:
    """As of `dry_run.dry_run`."""
    from t2v_studio.engines.manim.dry_run import dry_run as tried

    return tried(code, scene)
