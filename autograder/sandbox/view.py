"""What a submission sees of the file system: Python, the course library, its own folder.

With namespaces this is a root folder of its own, in memory and limited in size, into which the
readable folders are mounted; without, the same folders stay where they are and Landlock denies
all others (see `confine`).
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from autograder.sandbox import linux

HOME = "/home/student"
RUNTIME = ".local/share/jupyter/runtime"  # below the home; where Jupyter keeps kernel sockets
CACHE = ".cache/course_lib"
UID = 1000  # of the student inside; the usual one of a machine with one user
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
MOST_FILES = 200_000

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
_ETC = (
    "alternatives",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "os-release",
    "ssl",
)
_WRITTEN = {
    "passwd": f"root:x:0:0:root:/root:/bin/sh\nstudent:x:{UID}:{UID}::{HOME}:/bin/bash\n",
    "group": f"root:x:0:\nstudent:x:{UID}:\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
_OF_A_PREFIX = ("bin", "lib", "lib64", "include", "share", "etc", "ssl", "libexec", "pyvenv.cfg")
_OF_SYS = ("/sys/devices/system",)


@dataclass(frozen=True)
class View:
    """Folders shown at their own path, what is hidden inside them, and the data cache."""

    readable: tuple[str, ...]
    hidden: tuple[str, ...]
    cache: str = ""

    def allowed(self) -> list[str]:
        """The readable folders, spelled out where something inside is hidden; for Landlock."""
        paths: list[str] = []
        for path in (*self.readable, *([self.cache] if self.cache else [])):
            paths.extend(_without(path, self.hidden))
        return paths


def this_installation(cache: str) -> View:
    """The view that holds the running Python, its packages and the course library."""
    import course_lib

    library = Path(course_lib.__file__).resolve().parent
    readable = [*_SYSTEM, *(f"/etc/{name}" for name in _ETC), *_OF_SYS]
    for prefix in {sys.prefix, sys.base_prefix, os.path.realpath(sys.base_prefix)}:
        readable += [f"{prefix}/{part}" for part in _OF_A_PREFIX]  # never all of a course folder
    readable += [str(library), str(library.parent / "results")]
    there = sorted({path for path in readable if os.path.lexists(path)}, key=len)
    hidden = str(Path(__file__).resolve().parents[1])
    return View(tuple(there), (hidden,), cache if os.path.isdir(cache) else "")


def build(view: View, root: str, work: str, disk_bytes: int, processes: int) -> None:
    """Mount the view at `root`, copy the files of `work` into its home, make it the root.

    For the first process of new namespaces, which has every right in them.
    """
    linux.mount("none", "/", "none", linux.MS_REC | linux.MS_PRIVATE)
    size = disk_bytes + _bytes_below(work)
    options = f"size={size},nr_inodes={MOST_FILES},mode=755"
    linux.mount("tmpfs", root, "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, options)
    shown: list[str] = []
    for path in view.readable:
        if not any(_is_below(path, other) for other in shown):
            _show(path, root + path)
            shown.append(path)
    for path in view.hidden:
        if any(_is_below(path, other) for other in shown):
            linux.mount("tmpfs", root + path, "tmpfs", 0, "size=4k,mode=555")
            linux.make_read_only(root + path)
    _make_etc(root)
    _make_devices(root)
    os.makedirs(f"{root}/proc")
    safely = linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC
    linux.mount("proc", f"{root}/proc", "proc", safely)
    linux.limit_pids(f"{root}/proc", processes)
    linux.mount(f"{root}/proc/sys", f"{root}/proc/sys", "none", linux.MS_BIND | linux.MS_REC)
    linux.make_read_only(f"{root}/proc/sys")
    os.makedirs(f"{root}/tmp", exist_ok=True)  # the course may lie below it
    os.chmod(f"{root}/tmp", 0o1777)
    make_home(root + HOME, work)
    if view.cache:
        _show(view.cache, f"{root}{HOME}/{CACHE}")
    linux.change_root(root)


def make_home(home: str, work: str) -> None:
    """Fill the student's home with copies of the files of `work`, owned by UID if possible."""
    os.makedirs(home, exist_ok=True)
    if work != home:
        shutil.copytree(work, home, symlinks=True, dirs_exist_ok=True)
    for folder in (RUNTIME, CACHE):
        os.makedirs(f"{home}/{folder}", exist_ok=True)


def give(home: str, uid: int) -> None:
    """Make `uid` the owner of everything in `home`."""
    os.chown(home, uid, uid)
    for folder, folders, files in os.walk(home):
        for name in (*folders, *files):
            path = f"{folder}/{name}"
            if not os.path.ismount(path):
                os.chown(path, uid, uid, follow_symlinks=False)
        folders[:] = [name for name in folders if not os.path.ismount(f"{folder}/{name}")]


def _show(source: str, target: str) -> None:
    """Make a file or folder visible, read-only, at `target`."""
    if os.path.islink(source):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.symlink(os.readlink(source), target)
        return
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        Path(target).touch()
    linux.mount(source, target, "none", linux.MS_BIND | linux.MS_REC)
    linux.make_read_only(target)


def _make_etc(root: str) -> None:
    os.makedirs(f"{root}/etc", exist_ok=True)
    for name, text in _WRITTEN.items():
        Path(f"{root}/etc/{name}").write_text(text)


def _make_devices(root: str) -> None:
    dev = f"{root}/dev"
    os.makedirs(f"{dev}/pts")
    os.makedirs(f"{dev}/shm")
    os.chmod(f"{dev}/shm", 0o1777)
    for name in DEVICES:
        Path(f"{dev}/{name}").touch()
        linux.mount(f"/dev/{name}", f"{dev}/{name}", "none", linux.MS_BIND)
    safely = linux.MS_NOSUID | linux.MS_NOEXEC
    linux.mount("devpts", f"{dev}/pts", "devpts", safely, "newinstance,ptmxmode=0666,mode=620")
    links = {"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1"}
    for name, to in {**links, "stderr": "fd/2"}.items():
        os.symlink(to, f"{dev}/{name}")


def _without(path: str, hidden: tuple[str, ...]) -> list[str]:
    """`path`, or as many of its parts as it takes to leave the hidden folders out."""
    if any(_is_below(path, out) for out in hidden):
        return []
    if not any(_is_below(out, path) for out in hidden):
        return [path]
    return [part for name in os.listdir(path) for part in _without(f"{path}/{name}", hidden)]


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _bytes_below(folder: str) -> int:
    paths = (Path(top) / name for top, _, names in os.walk(folder) for name in names)
    return sum(path.lstat().st_size for path in paths)
