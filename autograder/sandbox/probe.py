"""Find out what this machine can deny to a submission, by trying it in a sandbox.

The strongest means whose sandbox passes every check is taken. None passes: grading refuses to
start, and says what to do.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from autograder.sandbox import landlock, linux, seccomp
from autograder.sandbox.confine import Box, Means, start
from autograder.sandbox.view import View

REMEDY = (
    "Grade on Linux where user namespaces are allowed (sysctl kernel.unprivileged_userns_clone=1 "
    "and kernel.apparmor_restrict_unprivileged_userns=0, where these exist), or on Linux 6.12 "
    "or later, or inside a container of such a Linux; or, for submissions that you trust, with "
    "--unsafe-local, which is recorded with the grades."
)


@dataclass(frozen=True)
class Layer:
    """One layer of the sandbox, whether it is in place, and a sentence about it."""

    name: str
    holds: bool
    says: str


@dataclass(frozen=True)
class Level:
    """What confines a submission on this machine; `problem` is empty where it is enough."""

    means: Means
    layers: tuple[Layer, ...]
    problem: str = ""

    def to_json(self) -> str:
        """For another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Level:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        layers = tuple(Layer(**layer) for layer in fields["layers"])
        return cls(Means(**fields["means"]), layers, fields["problem"])


def find_level(view: View) -> Level:
    """Try the means that Linux may offer, strongest first; for a process without threads."""
    refusals: list[str] = []
    for means in candidates():
        faults = try_out(means, view)
        if not faults:
            return Level(means, tuple(_layers(means, refusals)))
        refusals.append(f"{_describe(means)}: {'; '.join(faults)}")
    if not linux.ON_LINUX:
        refusals = ["this is not Linux"]
    problem = f"No sandbox holds on this machine ({' | '.join(refusals)}). {REMEDY}"
    return Level(Means(), tuple(_layers(Means(), refusals)), problem)


def candidates() -> Iterator[Means]:
    """Combinations worth trying here, the strongest first."""
    if not seccomp.supported():
        return
    has_landlock = landlock.version() > 0
    root = os.geteuid() == 0
    uids = [True, False] if root else [False]
    for user_namespace in [True, False] if root else [True]:
        for other_uid in uids:
            # Files such as /proc/sysrq-trigger obey whoever is root outside, so that one needs
            # to be another user or to have Landlock in the way.
            if other_uid or has_landlock or not root:
                yield Means(True, user_namespace, has_landlock, True, other_uid)
    if landlock.scopes_signals_and_abstract_sockets():
        for other_uid in uids:
            yield Means(False, False, True, True, other_uid)


def try_out(means: Means, view: View) -> list[str]:
    """What a sandbox by these means fails to deny or to allow; empty where it is sound."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name in ("work", "root"):
            (Path(folder) / name).mkdir()
        secret = Path(folder) / "secret"
        secret.write_text("secret")
        os.chmod(folder, 0o755)
        with socket.socket(socket.AF_UNIX) as listener:
            name = f"\0{folder}"
            if linux.ON_LINUX:
                listener.bind(name)
                listener.listen()
            check = _Check(str(secret), name, os.getpid())
            return _ask_inside(check, Box(folder, 2**30, 2**24, 64), view, means)


def _ask_inside(check: _Check, box: Box, view: View, means: Means) -> list[str]:
    answer, write = os.pipe()

    try:
        keeper = start(box, view, means, [write])
    except OSError as error:
        os.close(answer)
        os.close(write)
        return [f"Linux refuses: {error.strerror}"]
    if keeper == 0:
        try:
            os.write(write, json.dumps(check.faults(os.getcwd())).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(answer, "rb") as file:
        text = file.read()
    os.waitpid(keeper, 0)
    faults: list[str] = json.loads(text) if text else ["it could not be set up"]
    return faults


@dataclass(frozen=True)
class _Check:
    """What is tried from inside a sandbox."""

    secret: str  # a file of the grader
    socket_name: str  # an abstract unix socket that listens outside
    grader: int  # a process outside

    def faults(self, home: str) -> list[str]:
        denied: dict[str, Callable[[], Any]] = {
            "a file of the grader can be read": lambda: Path(self.secret).read_text(),
            "a file can be written outside": lambda: Path(self.secret).write_text(""),
            "the grader's process can be signalled": lambda: os.kill(self.grader, 0),
            "the grader's memory can be read": lambda: os.open(
                f"/proc/{self.grader}/mem", os.O_RDONLY
            ),
            "internet sockets exist": lambda: socket.socket(socket.AF_INET),
            "packet sockets exist": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW),
            "abstract sockets connect": lambda: _connect(self.socket_name),
            "user namespaces can be made": _make_user_namespace,
            "processes can be traced": _be_traced,
            "file systems can be mounted": lambda: _mount_over(home),
        }
        allowed: dict[str, Callable[[], Any]] = {
            "Python's own files cannot be read": lambda: Path(os.__file__).read_bytes(),
            "torch's files cannot be read": lambda: _read_package("torch"),
            "the home cannot be written": lambda: Path(home, "probe").write_text("x"),
            "processes cannot be started": _start_process,
            "unix sockets do not work": socket.socketpair,
        }
        return [says for says, act in denied.items() if _works(act)] + [
            says for says, act in allowed.items() if not _works(act)
        ]


def _works(act: Callable[[], Any]) -> bool:
    with contextlib.suppress(OSError):
        act()
        return True
    return False


def _connect(name: str) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(name)


def _read_package(name: str) -> None:
    import importlib.util

    spec = importlib.util.find_spec(name)
    if spec is not None and spec.origin is not None:
        Path(spec.origin).read_bytes()


def _start_process() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _mount_over(folder: str) -> None:
    linux.mount("none", folder, "tmpfs")
    linux.checked("umount2", folder.encode(), linux.MNT_DETACH)


def _be_traced() -> None:
    """In a child, because whoever is traced stops at every signal."""
    child = os.fork()
    if child == 0:
        os._exit(0 if _works(lambda: linux.checked("ptrace", 0, 0, 0, 0)) else 1)
    if os.waitpid(child, 0)[1]:
        raise PermissionError("ptrace is refused.")


def _make_user_namespace() -> None:
    child = linux.fork_into(linux.CLONE_NEWUSER)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _describe(means: Means) -> str:
    how = "namespaces" if means.namespaces else "Landlock alone"
    how += " inside a user namespace" if means.user_namespace else ""
    return how + (" with a throw-away user" if means.other_uid else "")


def _layers(means: Means, refusals: list[str]) -> Iterator[Layer]:
    why_not = f" ({'; '.join(refusals)})" if refusals else ""
    yield Layer(
        "namespaces",
        means.namespaces,
        "own process, mount, network and ipc namespaces; the tree dies with its first process"
        if means.namespaces
        else f"none{why_not}",
    )
    own = "a throw-away user" if means.other_uid else "no rights but those of a plain user"
    yield Layer(
        "user",
        means.user_namespace or means.other_uid,
        own + (" in a user namespace" if means.user_namespace else ""),
    )
    says = f"version {landlock.version()}" if means.landlock else "not in this Linux"
    yield Layer("Landlock", means.landlock, says)
    says = f"{len(seccomp.REFUSED)} system calls refused, unix sockets only"
    yield Layer("seccomp", means.seccomp, says if means.seccomp else "not in use")
    network = means.seccomp and (means.namespaces or means.landlock)
    yield Layer("network", network, "none, abstract sockets included" if network else "open")
    yield Layer(
        "limits",
        True,
        "memory and time watched from outside; disk "
        + ("in memory, of fixed size" if means.namespaces else "watched from outside"),
    )
