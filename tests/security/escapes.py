"""What hostile code tries. Each escape tells by a file in its own folder, or by its effect outside, that it succeeded."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

TOLD = "escaped"
"""Written into the private folder by an escape that succeeded."""

ESCAPES: dict[str, str] = {
    "read a secret": "seen = open(SECRET).read()\nassert seen == 'the-secret'\ntell()",
    "read a secret by a link": "os.symlink(SECRET, 'link')\nassert open('link').read() == 'the-secret'\ntell()",
    "list a folder outside": "assert 'secret' in os.listdir(OUTSIDE)\ntell()",
    "read the password file": "assert 'root' in open('/etc/passwd').read()\ntell()",
    "write outside": "open(OUTSIDE + '/planted', 'w').write('x')\ntell()",
    "write outside through a link": "os.symlink(OUTSIDE, 'way')\nopen('way/planted', 'w').write('x')\ntell()",
    "rename a file out": "open('mine', 'w').write('x')\nos.rename('mine', OUTSIDE + '/planted')\ntell()",
    "delete outside": "os.remove(OUTSIDE + '/doomed')\ntell()",
    "truncate outside": "os.truncate(OUTSIDE + '/doomed', 0)\ntell()",
    "change a mode outside": "os.chmod(OUTSIDE + '/doomed', 0o777)\ntell()",
    "change a time outside": "os.utime(OUTSIDE + '/doomed', (1, 1))\ntell()",
    "TCP": "import socket\nsocket.create_connection(('127.0.0.1', PORT), 5).send(b'x')\ntell()",
    "UDP": (
        "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "s.sendto(b'x', ('127.0.0.1', PORT))\ns.settimeout(5)\nassert s.recv(3) == b'ack'\ntell()"
    ),
    "unix socket": "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect(OUTSIDE + '/listener')\ntell()",
    "abstract unix socket": "import socket\ns = socket.socket(socket.AF_UNIX)\ns.connect('\\0' + ABSTRACT)\ntell()",
    "shell": "assert os.system('true') == 0\ntell()",
    "program": "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'true'], check=True)\ntell()",
    "fork": "pid = os.fork()\nif pid == 0:\n    os._exit(0)\nos.waitpid(pid, 0)\ntell()",
    "environment": "assert os.environ['OPENAI_API_KEY'] == 'the-secret'\ntell()",
    "environment of the parent": "assert b'PATH=' in open(f'/proc/{PARENT}/environ', 'rb').read()\ntell()",
    "memory of the parent": "open(f'/proc/{PARENT}/mem', 'rb').close()\ntell()",
    "signal the parent": "import signal\nos.kill(PARENT, signal.SIGCONT)\ntell()",
    "signal everybody": "import signal\nos.kill(-1, 0)\ntell()",
    "trace the parent": (
        "import ctypes\nlibc = ctypes.CDLL(None)\nassert libc.ptrace(16, PARENT, 0, 0) == 0\nlibc.ptrace(17, PARENT, 0, 0)\ntell()"
    ),
    "limits of the parent": (
        "import resource\nlimits = resource.prlimit(PARENT, resource.RLIMIT_CORE)\n"
        "resource.prlimit(PARENT, resource.RLIMIT_CORE, limits)\ntell()"
    ),
    "leave the group": "os.setsid() if os.getpid() != os.getsid(0) else os.setpgid(0, 0)\ntell()",
    "raise its own limits": (
        "import resource\nsoft, hard = resource.getrlimit(resource.RLIMIT_AS)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))\ntell()"
    ),
    "memory": "big = bytearray(6 << 30)\ntell()",
    "memory by another name": "fd = os.memfd_create('m')\ntell()",
    "a file that fills the disk": "f = open('big', 'wb')\nf.truncate(3 << 30)\ntell()",
    "threads that keep the right": (
        "import threading\nfound = []\n"
        "def go():\n    found.append(open(SECRET).read())\n"
        "t = threading.Thread(target=go)\nt.start()\nt.join()\nassert found == ['the-secret']\ntell()"
    ),
    "new namespace": "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0\ntell()",
    "by raw system call": (
        "import ctypes\nfd = ctypes.CDLL(None).syscall(SYS_OPEN, -100, SECRET.encode(), 0, 0)\n"
        "assert fd >= 0 and os.read(fd, 10) == b'the-secret'\ntell()"
    ),
    "a pipe that hangs its reader": "os.mkfifo('report.json')\ntell()",
}  # fmt: skip
"""Code by what it attempts. It finds os, SECRET, OUTSIDE, PORT, ABSTRACT, PARENT, SYS_OPEN and tell()."""

HARMLESS_OUTSIDE = frozenset(ESCAPES) - {"signal everybody", "memory", "trace the parent", "leave the group"}
"""Those that may be shown to succeed without a sandbox, anywhere."""


class Target:
    """What stands outside: a secret, files, sockets that answer."""

    def __init__(self, root: Path) -> None:
        self.root = root / "outside"
        self.root.mkdir()
        (self.root / "secret").write_text("the-secret", encoding="utf-8")
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", self.port))
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(self.root / "listener"))
        self.unix.listen(64)
        self.abstract = f"t2v-{os.getpid()}-{self.port}"
        self.named = socket.socket(socket.AF_UNIX)
        self.named.bind(f"\0{self.abstract}")
        self.named.listen(64)
        threading.Thread(target=self._answer, daemon=True).start()

    def _answer(self) -> None:
        with suppress(OSError):
            while True:
                _, sender = self.udp.recvfrom(16)
                self.udp.sendto(b"ack", sender)

    def close(self) -> None:
        for one in (self.tcp, self.udp, self.unix, self.named):
            one.close()

    def names(self) -> str:
        """The first lines of every escape."""
        return (
            f"import os, platform\nSECRET, OUTSIDE = {str(self.root / 'secret')!r}, {str(self.root)!r}\n"
            f"PORT, ABSTRACT, PARENT = {self.port}, {self.abstract!r}, {os.getpid()}\n"
            "SYS_OPEN = 257 if platform.machine() == 'x86_64' else 56\n"
            f"def tell():\n    open({TOLD!r}, 'w').write('1')\n"
        )

    def reset(self) -> None:
        (self.root / "planted").unlink(missing_ok=True)
        (self.root / "doomed").write_text("precious", encoding="utf-8")
        (self.root / "doomed").chmod(0o644)

    def untouched(self) -> bool:
        doomed = self.root / "doomed"
        return (
            not (self.root / "planted").exists()
            and doomed.read_text(encoding="utf-8") == "precious"
            and doomed.stat().st_mode & 0o777 == 0o644
            and doomed.stat().st_mtime > 1
        )
