"""What commands leave out to start quickly is left out, and comes back."""

from __future__ import annotations

import subprocess
import sys

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
