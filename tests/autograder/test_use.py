"""What is read of a submission's processes, and when they are too many."""

from __future__ import annotations

import subprocess
import sys
import time
from types import SimpleNamespace

import psutil
import pytest

from autograder.use import forks_too_much, tree


@pytest.mark.parametrize(
    ("threads", "too_many"),
    [
        ([1] * 101, True),
        ([1] * 100, False),
        ([2] * 51, True),
        ([2] * 50, False),  # a pool with two threads each: the next thread fails by itself
        ([150], False),  # threads of one process alone
        ([], False),
    ],
)
def test_forks_are_too_many_only_at_the_limit_and_by_forking(threads, too_many):
    processes = [SimpleNamespace(num_threads=lambda n=n: n) for n in threads]
    assert forks_too_much(processes, 100) is too_many


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere psutil reads every process")
def test_the_tree_is_the_whole_family_and_its_reading_is_bounded():
    shell = subprocess.Popen(["bash", "-c", "(sleep 60 & sleep 60 & wait) & sleep 60"])
    try:
        deadline = time.monotonic() + 60
        while len(tree(shell.pid, 100)) < 5 and time.monotonic() < deadline:
            time.sleep(0.05)
        family = {shell.pid, *(p.pid for p in psutil.Process(shell.pid).children(recursive=True))}
        assert {process.pid for process in tree(shell.pid, 100)} == family
        assert 2 <= len(tree(shell.pid, 1)) < len(family)
    finally:
        for process in reversed(tree(shell.pid, 100)):
            process.kill()
        shell.wait()
    assert tree(shell.pid, 100) == []
