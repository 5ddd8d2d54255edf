"""The Linux calls that the sandbox needs and Python does not have, through ctypes.

ctypes and not a package: the calls are few, and every package that wraps them (python-prctl,
pyseccomp, landlock, pyroute2) needs a compiler or a system library that an instructor may lack.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import signal
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

ON_LINUX = sys.platform == "linux"
MACHINE = platform.machine()

# linux/sched.h
CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# linux/mount.h
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
MNT_DETACH = 2
_AT_FDCWD, _AT_RECURSIVE = -100, 0x8000
_MOUNT_ATTR_RDONLY, _MOUNT_ATTR_NOSUID = 1, 2

# linux/prctl.h
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NAME, _PR_CAPBSET_DROP = 1, 4, 15, 24
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_CAPABILITY_VERSION_3 = 0x20080522

# The same numbers on every architecture that has them, but for pivot_root.
_SYS_MOUNT_SETATTR = 442
_SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}

_libc = ctypes.CDLL(None, use_errno=True) if ON_LINUX else None


def checked(name: str, *arguments: object) -> int:
    """Call a function of the C library; OSError with its name where it returns -1."""
    result = getattr(_libc, name)(*arguments)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return int(result)


def syscall(number: int, *arguments: object) -> int:
    """Make a system call; OSError where it fails."""
    return checked("syscall", ctypes.c_long(number), *arguments)


def fork_into(flags: int) -> int:
    """Fork; the child is the first process of new namespaces. Returns as os.fork does.

    Not unshare and os.fork: a process whose children go to another pid namespace cannot start
    threads. The child must not start threads either, before it forks again: the C library
    does not know of this fork.
    """
    zero = ctypes.c_long(0)
    number = {"x86_64": 56, "aarch64": 220}[MACHINE]
    function = ctypes.PyDLL(None, use_errno=True).syscall  # PyDLL keeps the interpreter's lock
    flags |= signal.SIGCHLD
    result = int(function(ctypes.c_long(number), ctypes.c_ulong(flags), zero, zero, zero, zero))
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"clone: {os.strerror(code)}")
    return result


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Mount a file system, or with MS_BIND show `source` at `target` as well."""
    data = options.encode() if options else None
    checked("mount", source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data)


def make_read_only(target: str) -> None:
    """Make a mount and all mounts below it read-only and blind to set-uid bits."""
    attributes = struct.pack("QQQQ", _MOUNT_ATTR_RDONLY | _MOUNT_ATTR_NOSUID, 0, 0, 0)
    size = ctypes.c_size_t(len(attributes))
    flags = ctypes.c_uint(_AT_RECURSIVE)
    syscall(_SYS_MOUNT_SETATTR, _AT_FDCWD, target.encode(), flags, attributes, size)


def limit_pids(proc: str, most: int) -> None:
    """Limit how many processes and threads this pid namespace can hold; `proc` is its /proc.

    A limit that also holds for a user who is root outside, whom RLIMIT_NPROC does not count.
    Since Linux 6.14; before that the file is the whole machine's, and left alone.
    """
    version = tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])
    if version >= (6, 14):
        # The first 300 numbers are given out only once.
        Path(f"{proc}/sys/kernel/pid_max").write_text(str(300 + most))


def change_root(folder: str) -> None:
    """Make `folder`, a mount point, the root, and forget the old root."""
    os.chdir(folder)
    syscall(_SYS_PIVOT_ROOT[MACHINE], b".", b".")
    checked("umount2", b".", ctypes.c_int(MNT_DETACH))
    os.chdir("/")


def set_host_name(name: str) -> None:
    """Name the machine, in this UTS namespace."""
    checked("sethostname", name.encode(), ctypes.c_size_t(len(name)))


def die_with_parent(parent: int, signum: int) -> None:
    """Get `signum` when the parent ends; end now where it already did."""
    _prctl(_PR_SET_PDEATHSIG, signum)
    if os.getppid() != parent:
        os._exit(1)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def set_dumpable(yes: bool) -> None:
    """Whether processes of the same user may look into this one."""
    _prctl(_PR_SET_DUMPABLE, int(yes))


def no_new_privileges() -> None:
    """From now on no program gives this process more rights than it has."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Give up every capability, for good."""
    for number in range(64):
        try:
            _prctl(_PR_CAPBSET_DROP, number)
        except OSError:  # EINVAL behind the last one; EPERM for a process that has none
            break
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    checked("capset", header, bytes(24))


def rename_process(arguments: Sequence[str]) -> None:
    """Show `arguments` as the command line, and no environment, of this process in /proc.

    Writes over the strings that Linux points at, so it only fits what is not longer.
    """
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    arg_start, arg_end, env_start, env_end = (int(field) for field in fields[45:49])
    room = arg_end - arg_start
    text = b"".join(argument.encode() + b"\0" for argument in arguments)
    if len(text) > room:
        text = text[: room - 1] + b"\0"
    ctypes.memset(env_start, 0, env_end - env_start)
    ctypes.memmove(arg_start, text.ljust(room, b"\0"), room)
    _prctl(_PR_SET_NAME, ctypes.create_string_buffer(arguments[0].rpartition("/")[2].encode()))


def _prctl(option: int, value: object) -> None:
    if isinstance(value, int):
        value = ctypes.c_ulong(value)
    zero = ctypes.c_ulong(0)
    checked("prctl", ctypes.c_int(option), value, zero, zero, zero)
