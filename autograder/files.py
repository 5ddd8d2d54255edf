"""Files that are either whole or not there, and work that only one process may do."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from autograder.errors import CourseError

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` through a temporary file and a rename; makes parent folders."""
    write_bytes(path, text.encode("utf-8", "replace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` through a temporary file and a rename; makes parent folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def only_one(path: Path, patience_s: float = 10.0) -> Iterator[None]:
    """Hold a lock that ends with this process, even a killed one; CourseError if it is taken."""
    if fcntl is None:  # Windows: nothing there is released by a kill
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise CourseError(
                        f"Another `autograder grade` is at work in this course (it holds {path}). "
                        "Wait for it, or stop it; what it did is kept."
                    ) from None
                time.sleep(0.1)
        yield
