"""A small program in the cage: `python -m t2v_studio.engines.manim.confined FOLDER FILE` runs a file of code.

With `--probe PORT SOCKET SECRET OUTSIDE` in place of the file it tries what must not work, and prints as JSON what did.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from t2v_studio.engines.manim import rights


def main(arguments: list[str]) -> int:
    folder = Path(arguments[0])
    os.chdir(folder)
    if arguments[1] == "--probe":
        port, listener, secret, outside = arguments[2:]
        rights.enter(folder)
        sys.stdout.write(json.dumps(_measured(folder, int(port), listener, Path(secret), Path(outside))))
        return 0
    code = Path(arguments[1]).read_text(encoding="utf-8")
    rights.enter(folder)
    exec(compile(code, "code.py", "exec"), {"__name__": "__main__"})  # what the cage is for
    return 0


def _measured(folder: Path, port: int, listener: str, secret: Path, outside: Path) -> dict[str, bool]:
    """Each attempt and whether it succeeded."""
    attempts: dict[str, Callable[[], object]] = {
        "write_inside": lambda: (folder / "mine").write_text("1", encoding="utf-8"),
        "read": secret.read_bytes,
        "list": lambda: list(secret.parent.iterdir()),
        "write": lambda: (outside / "planted").write_text("1", encoding="utf-8"),
        "mode": lambda: secret.chmod(0o600),
        "tcp": lambda: socket.create_connection(("127.0.0.1", port), timeout=2).close(),
        "udp": lambda: _datagram(port),
        "unix": lambda: _unix(listener),
        "program": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True, timeout=10),
        "memory": lambda: bytearray(8 << 30),
    }
    return {name: _succeeds(attempt) for name, attempt in attempts.items()}


def _succeeds(attempt: Callable[[], object]) -> bool:
    with contextlib.suppress(OSError, MemoryError, subprocess.SubprocessError):
        attempt()
        return True
    return False


def _datagram(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        sender.send(b"out")
        sender.settimeout(2)
        sender.recv(3)  # the parent answers what reaches it


def _unix(listener: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.settimeout(2)
        client.connect(listener)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
