"""Giving up rights, in the child: called once Manim is imported and before a stranger's code runs."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from t2v_studio.engines.manim import landlock, seccomp
from t2v_studio.errors import UnavailableError

ORDERS = "T2V_CAGE"
"""Environment variable by which `sandbox.command` tells the child what must hold."""
_PR_SET_PDEATHSIG = 1
_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITIES_VERSION_3 = 0x20080522
_PACKAGES = ("site-packages", "dist-packages")
_SYSTEM = (
    "/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share", "/usr/local/lib", "/usr/local/share",
    "/etc/fonts", "/etc/ld.so.cache", "/etc/localtime", "/var/cache/fontconfig", "/dev/urandom", "/dev/random",
    "/dev/zero",
)  # fmt: skip
REPOSITORY = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Orders:
    """need: "landlock", "seccomp"; what cannot be had of these stops the child before the code runs."""

    need: tuple[str, ...] = ("landlock", "seccomp")
    memory_mb: int = 4096
    cpu_seconds: int = 120
    file_mb: int = 256
    readable: tuple[str, ...] = field(default_factory=tuple)

    def packed(self) -> str:
        return json.dumps(asdict(self))


def ordered() -> Orders:
    """The orders of this process: those of its environment, or the strictest."""
    text = os.environ.pop(ORDERS, "")
    if not text:
        return Orders()
    found = json.loads(text)
    return Orders(**{**found, "need": tuple(found["need"]), "readable": tuple(found["readable"])})


def enter(folder: Path) -> str:
    """Drop this process's rights for good: limits, capabilities, files, system calls. Only `folder` stays writable.

    Landlock binds the calling thread alone, so no other may be alive. Returns by what the process is held.
    Raises UnavailableError where something that was ordered cannot be had.
    """
    orders = ordered()
    threads = len(_entries("/proc/self/task"))
    if threads > 1:
        raise _refused(f"{threads} threads were alive, and Landlock binds one")
    held = ["limits"]
    try:
        _limits(orders)
        _die_with_parent()
        _drop_capabilities()
        if "landlock" in orders.need:
            held.append(landlock.restrict(readable(orders), [folder.resolve(), Path("/dev/null")]))
        if "seccomp" in orders.need:
            held.append(seccomp.forbid())
    except (OSError, ValueError) as error:
        raise _refused(str(error)) from error
    return ", ".join(held)


def readable(orders: Orders) -> list[Path]:
    """The interpreter, its packages, the studio's own code, system libraries and fonts; no home, no data."""
    return [*map(Path, _SYSTEM), *interpreter(), *map(Path, orders.readable)]


def interpreter() -> list[Path]:
    """The folders that Python itself and its packages are read from, and the studio's code."""
    found = {Path(sys.prefix), Path(sys.base_prefix) / "lib", Path(sys.executable).resolve().parent}
    found |= {Path(entry) for entry in sys.path if Path(entry).name in _PACKAGES}
    found |= {Path(entry) for entry in sys.path if entry and Path(entry).is_relative_to(sys.base_prefix)}
    if sys.prefix == sys.base_prefix:
        found.discard(Path(sys.prefix))
    return [*sorted(found), REPOSITORY / "t2v_studio"]


def _limits(orders: Orders) -> None:
    mega = 1 << 20
    wanted = {
        resource.RLIMIT_CPU: orders.cpu_seconds,
        resource.RLIMIT_AS: orders.memory_mb * mega,
        resource.RLIMIT_FSIZE: orders.file_mb * mega,
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_NPROC: _tasks() + 64,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    for limit, value in wanted.items():
        _, hard = resource.getrlimit(limit)
        lowest = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (lowest, lowest))


def _tasks() -> int:
    """Threads of this user now: the limit on processes counts them all."""
    return sum(1 for process in _own_processes() for _ in _entries(f"/proc/{process}/task"))


def _own_processes() -> Iterator[str]:
    me = os.getuid()
    for name in _entries("/proc"):
        try:
            if name.isdigit() and Path("/proc", name).stat().st_uid == me:
                yield name
        except OSError:
            continue


def _entries(path: str) -> list[str]:
    try:
        return [entry.name for entry in Path(path).iterdir()]
    except OSError:
        return []


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _drop_capabilities() -> None:
    """Of root only its name stays. Where the call is unknown, Landlock and seccomp hold without it."""
    number = _CAPSET.get(os.uname().machine)
    if number is None:
        return
    header = struct.pack("=Ii", _CAPABILITIES_VERSION_3, 0)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(ctypes.c_long(number), header, bytes(24)):
        error = ctypes.get_errno()
        raise OSError(error, f"capabilities: {os.strerror(error)}")


def _refused(why: str) -> UnavailableError:
    return UnavailableError(
        "sandbox_failed", f"The sandbox could not be closed ({why}), so the code was not run.", "Run: t2v doctor"
    )
