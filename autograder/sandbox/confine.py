"""Fork a process into a sandbox of its own.

    worker ---- keeper ---- student's process ---- whatever that starts
                [pid, mount, net, ipc and user namespace ..............]

The keeper is the first process of the pid namespace: it passes SIGINT on, reaps, ends with the
student's process, and when it ends Linux kills all that is left. Where there are no
namespaces the same two processes stay in the machine's, and Landlock alone confines.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from autograder.sandbox import landlock, linux, seccomp
from autograder.sandbox.view import CACHE, DEVICES, HOME, UID, View, build, give, make_home

THROW_AWAY_UIDS = (1_900_000_000, 4096)  # first and count; above what user databases hand out
_PROC_FILES = ("cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "sys", "uptime", "version")
_NAMESPACES = (
    linux.CLONE_NEWNS
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWNET
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWCGROUP
)


@dataclass(frozen=True)
class Means:
    """By which means to confine; `probe` finds those that this machine offers."""

    namespaces: bool = False
    user_namespace: bool = False
    landlock: bool = False
    seccomp: bool = False
    other_uid: bool = False  # a throw-away user; for a grader that runs as root


NO_MEANS = Means()  # --unsafe-local


@dataclass(frozen=True)
class Box:
    """The folder on this machine that holds one submission, and what it may use.

    `folder` holds `work`, the files that its home starts with, and `root`, which is empty.
    """

    folder: str
    memory_bytes: int
    disk_bytes: int
    processes: int


def home_inside(box: Box, means: Means) -> str:
    """The home of the student as the student's process sees it."""
    return HOME if means.namespaces else f"{box.folder}/work"


def home_outside(box: Box, means: Means, keeper: int) -> str:
    """The same folder as this process reaches it."""
    return f"/proc/{keeper}/root{HOME}" if means.namespaces else f"{box.folder}/work"


def start(
    box: Box, view: View, means: Means, keep: Collection[int], arguments: Sequence[str] = ()
) -> int:
    """Fork a sandboxed process. Returns 0 in it, in its home, and in the caller the keeper's pid.

    `keep` are the file descriptors that the new process keeps; its standard input and output
    are /dev/null. `arguments` are what /proc shows as its command line, in place of the
    caller's. OSError where the machine refuses.
    """
    hold, go = os.pipe()
    parent = os.getpid()
    flags = _NAMESPACES if means.namespaces else 0
    if means.user_namespace:
        flags |= linux.CLONE_NEWUSER
    keeper = linux.fork_into(flags) if flags else os.fork()
    if keeper == 0:
        try:
            os.close(go)
            if arguments and linux.ON_LINUX:
                linux.rename_process(arguments)
            status = _keep(box, view, means, {*keep}, hold, parent)
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        if status is None:
            return 0
        os._exit(status)
    os.close(hold)
    try:
        if means.user_namespace:
            _map_users(keeper, means)
        os.write(go, b"g")
    except OSError:
        os.kill(keeper, signal.SIGKILL)
        os.waitpid(keeper, 0)
        raise
    finally:
        os.close(go)
    return keeper


def _keep(
    box: Box, view: View, means: Means, keep: set[int], hold: int, parent: int
) -> int | None:
    """Set the scene, fork, wait for the student's process: its status, or None if in it."""
    if linux.ON_LINUX:
        linux.die_with_parent(0 if means.namespaces else parent, signal.SIGKILL)
        if not means.namespaces:
            linux.adopt_orphans()
    if os.read(hold, 1) != b"g":
        return 1
    os.setsid()
    home = home_inside(box, means)
    _furnish(home, box, view, means)
    uid = _uid_for(parent, means)
    if uid is not None:
        give(home, uid)
    waited = {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, waited)
    student = os.fork()
    if student == 0:
        _confine(box, view, means, home, uid)
        _close_all_but(keep)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, waited)
        return None
    _close_all_but(set())
    return _wait(student, waited)


def _furnish(home: str, box: Box, view: View, means: Means) -> None:
    """Put the student's files, and with namespaces all that is visible, in place."""
    if means.namespaces:
        linux.set_host_name("localhost")
        root, work = f"{box.folder}/root", f"{box.folder}/work"
        build(view, root, work, box.disk_bytes, box.processes)
        return
    make_home(home, home)
    if view.cache:
        os.rmdir(f"{home}/{CACHE}")
        os.symlink(view.cache, f"{home}/{CACHE}")


def _wait(student: int, waited: set[signal.Signals]) -> int:
    while True:
        what = signal.sigwait(waited)
        if what == signal.SIGINT:
            os.kill(student, signal.SIGINT)
        elif what == signal.SIGTERM:
            return 1
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == student:
                    return os.waitstatus_to_exitcode(ended[1]) & 0xFF


def _confine(box: Box, view: View, means: Means, home: str, uid: int | None) -> None:
    """Give up, in the student's process and for good, all that it does not need."""
    os.setsid()
    os.chdir(home)
    _limit(box, means)
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    if linux.ON_LINUX:
        linux.die_with_parent(os.getppid(), signal.SIGKILL)
    if means == NO_MEANS:
        return
    linux.drop_capabilities()
    linux.set_dumpable(True)  # of its own /proc/self; changing the user had forbidden that
    linux.no_new_privileges()
    if means.landlock:
        # In a root folder of its own, all that there is may be listed.
        landlock.restrict(*_allowed(view, means, home), ["/"] if means.namespaces else [])
    if means.seccomp:
        seccomp.install(connect=means.namespaces)


def _allowed(view: View, means: Means, home: str) -> tuple[list[str], list[str]]:
    """Readable and writable paths, as the student's process sees them."""
    devices = [f"/dev/{name}" for name in DEVICES]
    if means.namespaces:
        own = ["/dev/ptmx", "/dev/pts", "/dev/shm", "/tmp"]
        return [*view.allowed(), "/dev", "/etc", "/proc"], [home, *own, *devices]
    proc = [f"/proc/{name}" for name in _PROC_FILES]
    names = [f"/etc/{name}" for name in ("passwd", "group", "hosts", "nsswitch.conf")]
    return [*view.allowed(), *names, *proc, f"/proc/{os.getpid()}"], [home, *devices]


def _limit(box: Box, means: Means) -> None:
    # More than the memory limit, which is watched from outside: what is reserved but never
    # touched must not fail. But a 50 GB array must, before it takes the machine down.
    limits = {
        "RLIMIT_CORE": 0,
        "RLIMIT_FSIZE": box.disk_bytes,
        # Counts every process of the user, so it needs a user of the student's own.
        "RLIMIT_NPROC": box.processes if means.user_namespace or means.other_uid else None,
        "RLIMIT_NOFILE": 4096,
        "RLIMIT_DATA": 2 * box.memory_bytes + 2**30,
        "RLIMIT_MSGQUEUE": 0,
    }
    for name, most in limits.items():
        kind = getattr(resource, name, None)
        if kind is None or most is None:
            continue
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(kind, (most, most))


def _uid_for(parent: int, means: Means) -> int | None:
    """The user to become, numbered as in the student's user namespace; None to stay."""
    if not means.other_uid:
        return None
    return UID if means.user_namespace else _throw_away(parent)


def _throw_away(parent: int) -> int:
    first, count = THROW_AWAY_UIDS
    return first + parent % count


def _map_users(keeper: int, means: Means) -> None:
    """Say which users of this machine those in the new user namespace are."""
    for kind, own in (("uid", os.geteuid()), ("gid", os.getegid())):
        if means.other_uid:
            lines = f"0 {own} 1\n{UID} {_throw_away(os.getpid())} 1\n"
        else:
            lines = f"{UID} {own} 1\n"
            if kind == "gid":
                _write(f"/proc/{keeper}/setgroups", "deny")
        _write(f"/proc/{keeper}/{kind}_map", lines)


def _write(path: str, text: str) -> None:
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, text.encode())  # maps take one write only
    finally:
        os.close(handle)


def _close_all_but(keep: set[int]) -> None:
    """Close every file but `keep`; standard input and output become /dev/null."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard, inheritable=True)
    folder = "/proc/self/fd" if linux.ON_LINUX else "/dev/fd"
    for name in os.listdir(folder):
        if int(name) > 2 and int(name) not in keep:
            with contextlib.suppress(OSError):
                os.close(int(name))
