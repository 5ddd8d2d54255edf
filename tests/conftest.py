"""Fixtures of the browser tests: a JupyterLab of its own and a page in a headless Chromium."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        skip = pytest.mark.skip(reason="there is no chromium on PATH")
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(skip)


@pytest.fixture
def lab_in(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """A function that starts JupyterLab in a folder and returns its address."""
    with ExitStack() as servers:
        yield lambda folder: servers.enter_context(_lab(folder, tmp_path))


@pytest.fixture
def page() -> Iterator[Any]:
    """An empty page in Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 1280, "height": 1000})
        browser.close()


@contextmanager
def _lab(folder: Path, scratch: Path) -> Iterator[str]:
    runtime = scratch / "runtime"
    own = {
        "JUPYTER_RUNTIME_DIR": str(runtime),
        "JUPYTER_CONFIG_DIR": str(scratch / "config"),
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
    }
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--port=0"]
    command += ["--IdentityProvider.token=", "--ServerApp.ip=127.0.0.1", "--LabApp.news_url="]
    with (scratch / "lab.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=os.environ | own, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield _address(server, runtime, scratch / "lab.log")
        finally:
            server.terminate()
            server.wait(timeout=30)


def _address(server: subprocess.Popen[bytes], runtime: Path, log: Path) -> str:
    """Wait until the server answers; the port that it found is in its runtime folder."""
    for _ in range(1200):
        assert server.poll() is None, log.read_text()
        for file in runtime.glob("jpserver-*.json"):
            try:
                address = str(json.loads(file.read_text())["url"])
                urllib.request.urlopen(address + "api/status", timeout=5)
                return address
            except (json.JSONDecodeError, urllib.error.URLError):
                continue  # still being written, or not listening yet
        time.sleep(0.1)
    raise TimeoutError(f"JupyterLab did not answer within two minutes:\n{log.read_text()}")
