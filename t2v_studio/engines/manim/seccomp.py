"""A seccomp filter by ctypes: system calls that drawing never needs fail from now on, for good.

No program can be started, no process forked, no socket opened, nobody else signalled, traced or reprioritised, and no
owner, mode or time of a file changed (which Landlock lets through). What Python and Manim need goes on.
See https://docs.kernel.org/userspace-api/seccomp_filter.html.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from t2v_studio.engines.manim.landlock import set_no_new_privileges

_SECCOMP = {"x86_64": 317, "aarch64": 277}
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SET_FILTER, _ALL_THREADS, _ASK_ACTION = 1, 1, 2
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_NUMBER_AT, _ARCH_AT, _ARGUMENTS_AT = 0, 4, 16
_X32_BIT = 0x40000000
_CLONE_THREAD = 0x00010000
_PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA = 15, 16, 0x53564D41
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C

_DENIED = {
    # name: (x86_64, aarch64); None where the architecture has no such call
    "execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None),
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "process_madvise": (440, 440), "process_mrelease": (448, 448), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424),
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240), "setsid": (112, 157), "setpgid": (109, 154),
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "unshare": (272, 97),
    "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "acct": (163, 89), "quotactl": (179, 60),
    "quotactl_fd": (443, 443), "syslog": (103, 116), "vhangup": (153, 58), "iopl": (172, None),
    "ioperm": (173, None), "sethostname": (170, 161), "setdomainname": (171, 162), "settimeofday": (164, 170),
    "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219),
    "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265), "fanotify_init": (300, 262),
    "inotify_init1": (294, 26), "inotify_init": (253, None), "inotify_add_watch": (254, 27),
    "shmget": (29, 194), "shmat": (30, 196), "msgget": (68, 186), "semget": (64, 190), "mq_open": (240, 180),
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "mknod": (133, None), "mknodat": (259, 33), "symlink": (88, None), "symlinkat": (266, 36), "link": (86, None),
    "linkat": (265, 37),
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "utime": (132, None), "utimes": (235, None),
    "futimesat": (261, None), "utimensat": (280, 88), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattrat": (463, 463), "removexattrat": (466, 466), "file_setattr": (469, 469),
    "setpriority": (141, 140), "ioprio_set": (251, 30), "sched_setscheduler": (144, 119),
    "sched_setparam": (142, 118), "sched_setattr": (314, 274), "sched_setaffinity": (203, 122),
    "setrlimit": (160, 164), "migrate_pages": (256, 238), "move_pages": (279, 239),
}  # fmt: skip
_SIGNALS = {"kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131)}
_CLONE, _CLONE3 = (56, 220), 435
_PRCTL, _IOCTL, _PRLIMIT = (157, 167), (16, 29), (302, 261)


def available() -> bool:
    """Whether this kernel takes such a filter, on an architecture whose calls are listed here."""
    number = _SECCOMP.get(platform.machine())
    if number is None:
        return False
    action = ctypes.c_uint32(_ERRNO)
    return _libc().syscall(ctypes.c_long(number), _ASK_ACTION, 0, ctypes.byref(action)) == 0


def forbid() -> str:
    """Set the filter on every thread of this process. Raises OSError."""
    machine = platform.machine()
    if machine not in _SECCOMP:
        raise OSError(f"no filter is known for {machine}")
    program = _program(machine)
    count = len(program) // 8
    buffer = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HxxxxxxP", count, ctypes.addressof(buffer))
    set_no_new_privileges()
    done = _libc().syscall(ctypes.c_long(_SECCOMP[machine]), _SET_FILTER, _ALL_THREADS, header)
    if done:
        error = ctypes.get_errno()
        raise OSError(error, f"seccomp: {os.strerror(error)}")
    return "seccomp"


def _program(machine: str) -> bytes:
    """The filter in classic BPF: a chain of "if it is this call, then this answer", and yes to the rest."""
    column = 0 if machine == "x86_64" else 1
    deny = _ERRNO | errno.EPERM
    steps = [_op(_LOAD, _ARCH_AT), _op(_EQUAL, _AUDIT[machine], 1, 0), _op(_RETURN, _KILL), _op(_LOAD, _NUMBER_AT)]
    if machine == "x86_64":
        steps += [_op(_AT_LEAST, _X32_BIT, 0, 1), _op(_RETURN, deny)]
    for numbers in _DENIED.values():
        if (number := numbers[column]) is not None:
            steps += [_op(_EQUAL, number, 0, 1), _op(_RETURN, deny)]
    # ENOSYS, not EPERM: glibc then starts its threads by clone, whose flags can be read here
    steps += [_op(_EQUAL, _CLONE3, 0, 1), _op(_RETURN, _ERRNO | errno.ENOSYS)]
    steps += _when(_CLONE[column], 0, [_op(_ANY_BIT, _CLONE_THREAD, 1, 0), _op(_RETURN, deny)])
    for numbers in _SIGNALS.values():
        steps += _when(numbers[column], 0, [_op(_EQUAL, os.getpid(), 1, 0), _op(_RETURN, deny)])
    new_limit = _ARGUMENTS_AT + 16  # a pointer: none in both its halves means that limits are only read
    read_only = [_op(_EQUAL, 0, 0, 2), _op(_LOAD, new_limit + 4), _op(_EQUAL, 0, 1, 0), _op(_RETURN, deny)]
    steps += _when(_PRLIMIT[column], 16, read_only)
    names = [_op(_EQUAL, one, left, 0) for one, left in ((_PR_SET_NAME, 3), (_PR_GET_NAME, 2), (_PR_SET_VMA, 1))]
    steps += _when(_PRCTL[column], 0, [*names, _op(_RETURN, deny)])
    typing = [_op(_EQUAL, _TIOCSTI, 1, 0), _op(_EQUAL, _TIOCLINUX, 0, 1), _op(_RETURN, deny)]
    steps += _when(_IOCTL[column], 8, typing)
    return b"".join([*steps, _op(_RETURN, _ALLOW)])


def _when(number: int, argument_at: int, checks: list[bytes]) -> list[bytes]:
    """Of one call, the lower half of an argument (its offset in bytes) is loaded and checked; else it goes on."""
    body = [_op(_LOAD, _ARGUMENTS_AT + argument_at), *checks, _op(_RETURN, _ALLOW)]
    return [_op(_EQUAL, number, 0, len(body)), *body]


def _op(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
