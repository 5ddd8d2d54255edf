"""One thread per test process, and what the browser tests share: JupyterLab and Chromium."""

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
import torch

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

# Two processes with two threads each on two cores wait for each other most of the time.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--every-lesson",
        action="store_true",
        help="run every notebook in JupyterLab, not only one (half an hour)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        skip = pytest.mark.skip(reason="there is no chromium on PATH")
        for item in items:
            if item.get_closest_marker("browser"):
                item.add_marker(skip)


@pytest.fixture
def lab_in(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Path, str], str]]:
    """A function that starts JupyterLab in a folder and returns the address of a page of it."""
    with ExitStack() as servers:

        def start(folder: Path, page: str) -> str:
            url, token = servers.enter_context(_lab(folder, tmp_path_factory.mktemp("lab")))
            return f"{url}{page}?token={token}"

        yield start


@pytest.fixture
def page() -> Iterator[Any]:
    """An empty page in Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


@contextmanager
def _lab(folder: Path, scratch: Path) -> Iterator[tuple[str, str]]:
    """A JupyterLab of its own on a free port: its address and its token."""
    own = {
        "JUPYTER_RUNTIME_DIR": str(scratch / "runtime"),
        "JUPYTER_CONFIG_DIR": str(scratch / "config"),
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
    }
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root", "--port=0"]
    with (scratch / "lab.log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env=os.environ | own, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield _answering(server, scratch / "runtime", scratch / "lab.log")
        finally:
            server.terminate()
            server.wait(timeout=60)


def _answering(server: subprocess.Popen[bytes], runtime: Path, log: Path) -> tuple[str, str]:
    """Wait until the server answers; its address and token are in a file that it writes."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        for file in runtime.glob("jpserver-*.json"):
            try:
                found = json.loads(file.read_text())
                with urllib.request.urlopen(f"{found['url']}api?token={found['token']}"):
                    return found["url"], found["token"]
            except (json.JSONDecodeError, urllib.error.URLError):
                continue  # still being written, or not listening yet
        time.sleep(0.2)
    raise TimeoutError(f"JupyterLab does not answer:\n{log.read_text()}")
