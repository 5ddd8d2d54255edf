"""course_lib.files: a file is whole or not there, whatever stops the writing."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course_lib.files import write_whole

ROOT = Path(__file__).resolve().parent.parent
FOR_EVER = """
import sys
from course_lib.files import write_whole
fill = 0
while True:
    write_whole(sys.argv[1], bytes([fill % 256]) * 3_000_000)
    fill += 1
"""


def test_what_is_written_is_read_back_and_replaces_what_was_there(tmp_path: Path):
    path = tmp_path / "made" / "on the way" / "file.bin"
    for content in (b"first", b"", memoryview(b"\x00\xff" * 9)):
        write_whole(path, content)
        assert path.read_bytes() == bytes(content)
    assert [file.name for file in path.parent.iterdir()] == ["file.bin"]


def test_a_path_may_be_text_relative_and_as_long_as_the_system_allows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    name = "n" * os.pathconf(tmp_path, "PC_NAME_MAX")
    write_whole(name, b"1")
    assert Path(name).read_bytes() == b"1"


@pytest.mark.parametrize("step", ["write", "replace"])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def half(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        if step == "write":
            patch.setattr(Path, "write_bytes", half)
        else:
            patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            write_whole(path, b"a new one")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_killed_writer_leaves_a_whole_file(tmp_path: Path):
    path = tmp_path / "file"
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", FOR_EVER, str(path)], cwd=ROOT)
        try:
            while not path.exists() and writer.poll() is None:
                time.sleep(0.01)
            before = path.read_bytes()
            while path.read_bytes() == before and writer.poll() is None:
                time.sleep(0.001)
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait()
        content = path.read_bytes()
        assert len(content) == 3_000_000
        assert len(set(content)) == 1, "parts of two files"
