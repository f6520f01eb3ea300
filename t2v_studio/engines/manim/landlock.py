"""Landlock by its three system calls: what this process may read and write from now on, for good.

See https://docs.kernel.org/userspace-api/landlock.html. The numbers are the same on every architecture.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_ASK_VERSION, _PATH_BENEATH = 1, 1
_PR_SET_NO_NEW_PRIVS = 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
REMOVE_DIR, REMOVE_FILE, MAKE_DIR, MAKE_REG = 1 << 4, 1 << 5, 1 << 7, 1 << 8
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_FIRST_RIGHTS = (1 << 13) - 1
_ADDED = {2: REFER, 3: TRUNCATE, 5: IOCTL_DEV}
"""Rights that later versions of the interface know."""
READ = READ_FILE | READ_DIR
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE
"""Plain files and folders: no links, sockets, pipes or devices, and nothing that can be executed."""
_ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_TCP, _SCOPES = 0b11, 0b11


def version() -> int:
    """The kernel's version of the interface; 0 where there is none."""
    try:
        found = _call(_CREATE, None, 0, _ASK_VERSION)
    except OSError:
        return 0
    return max(found, 0)


def restrict(readable: Iterable[Path], writable: Iterable[Path]) -> str:
    """Nothing but these paths from now on; no TCP (version 4), no signals or abstract sockets to others (version 6).

    Binds the calling thread and what it starts. Returns the name with the version. Raises OSError.
    """
    known = version()
    if not known:
        raise OSError("the kernel has no Landlock")
    handled = _FIRST_RIGHTS
    for since, right in _ADDED.items():
        handled |= right if known >= since else 0
    fields = [handled, *([_TCP] if known >= 4 else []), *([_SCOPES] if known >= 6 else [])]
    attributes = struct.pack(f"<{len(fields)}Q", *fields)
    ruleset = _call(_CREATE, attributes, len(attributes), 0)
    try:
        for paths, rights in ((readable, READ), (writable, WRITE)):
            for path in paths:
                _allow(ruleset, path, rights & handled)
        set_no_new_privileges()
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)
    return f"Landlock {known}"


def set_no_new_privileges() -> None:
    """No program that this process starts may gain rights; both Landlock and seccomp ask for it."""
    if _libc().prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no_new_privs")


def _allow(ruleset: int, path: Path, rights: int) -> None:
    """A path that is not there needs no rule."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        granted = rights if path.is_dir() else rights & _ON_FILES
        _call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", granted, place), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: int | bytes | None) -> int:
    as_c = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    found: int = _libc().syscall(ctypes.c_long(number), *as_c)
    if found < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return found


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
