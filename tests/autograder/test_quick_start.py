"""What commands leave out to start quickly is left out, and comes back."""

from __future__ import annotations

import subprocess
import sys

from autograder import fork_server

SKIPS = """import sys
from autograder import quick_start
quick_start.skip_slow_imports()
import nbformat
assert "lark" not in sys.modules
quick_start.forget()
import rfc3987_syntax
assert "lark" in sys.modules
quick_start.skip_slow_imports()
quick_start.forget()
assert "rfc3987_syntax" in sys.modules"""
LIGHT = """import sys
import autograder.cli, autograder.fork_server
print(*({"torch", "nbformat", "nbgrader", "jsonschema", "numpy"} & sys.modules.keys()))"""


def test_the_slow_package_is_skipped_and_found_again():
    subprocess.run([sys.executable, "-c", SKIPS], check=True)


def test_commands_import_nothing_heavy_before_they_begin():
    run = subprocess.run([sys.executable, "-c", LIGHT], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == ""


def test_a_server_that_cannot_begin_is_no_trouble_until_it_is_needed(monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(fork_server, "_server", None)
    monkeypatch.setattr(fork_server.tempfile, "TemporaryDirectory", full)
    fork_server.begin()
    assert fork_server._server is None
