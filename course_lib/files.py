"""Files that are whole or not there: written under another name first, then renamed."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def write_whole(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write `content` to the file `path` in one step, over what was there; makes its folders.

    A reader never sees half a file, and whatever stops the writing leaves the file as it was.
    Processes may write the same file at once: one of them wins. Raises OSError (a full disk, a
    folder that cannot be written) after the half-written file is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    half_written = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.tmp")
    try:
        half_written.write_bytes(content)
        os.replace(half_written, path)
    finally:
        half_written.unlink(missing_ok=True)


__all__ = ["write_whole"]
