"""The fork server: what it holds, whom it serves, and that nothing outlives the grader."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import KernelProvisionerFactory
from nbclient import NotebookClient

from autograder import fork_server, kernel, sandbox, sandboxed, worker
from autograder.execute import Limits
from autograder.template import Template

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the fork server needs Linux")
LIMITS = Limits(cell_s=120.0, notebook_s=600.0)


def notebook(*sources: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])


def printed(cell: nbformat.NotebookNode) -> str:
    return "".join(out.get("text", str(out)) for out in cell.outputs)


def test_one_server_with_one_thread_serves_many_at_once():
    server = sandboxed.start() and psutil.Process(fork_server._server.process.pid)
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(sandboxed.run, notebook(f"print({n})"), [], LIMITS) for n in range(8)]
        texts = [printed(run.result().notebook.cells[0]) for run in runs]
    assert texts == [f"{n}\n" for n in range(8)]
    assert fork_server._server.process.pid == server.pid
    assert server.num_threads() == 1


def test_a_server_that_died_is_replaced():
    sandboxed.start()
    fork_server._server.process.kill()
    fork_server._server.process.wait()
    assert printed(sandboxed.run(notebook("print(1)"), [], LIMITS).notebook.cells[0]) == "1\n"


SEARCH = """import re
own = ''.join(['a needle', ' of his own'])
def count(pattern):
    found = 0
    for line in open('/proc/self/maps'):
        if 'rw' in line.split()[1]:
            start, end = (int(part, 16) for part in line.split()[0].split('-'))
            with open('/proc/self/mem', 'rb') as memory:
                memory.seek(start)
                try:
                    found += len(re.findall(pattern, memory.read(end - start)))
                except OSError:
                    pass
    return found
print(count(b'a need[l]e of his own') > 0, count(b'square: negativ[e] numbers'))"""


def test_the_kernel_holds_no_hidden_test(template: Template):
    """Its whole memory is searched, after a test ran, for the text of that test."""
    graded = nbformat.from_dict(template.graded)
    cells = {cell.metadata.get("nbgrader", {}).get("grade_id"): cell for cell in graded.cells}
    cells["square"].source = "def square(x):\n    return x * x"
    cells["cube"].source = SEARCH
    assert "square: negative numbers" in cells["test_square"].source
    executed = sandboxed.run(graded, [], LIMITS, template=template)
    assert executed.problem == ""
    assert [printed(cell) for cell in executed.notebook.cells if cell.get("source") == SEARCH] == [
        "True 0\n"
    ]
    passed = next(cell for cell in executed.notebook.cells if "negative" in cell.source)
    assert not [out for out in passed.outputs if out.output_type == "error"]


GRADER = """
import nbformat, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run behind an &
from autograder import fork_server, sandboxed
from autograder.execute import Limits
source = "import subprocess, time; subprocess.Popen(['sleep', '600']); time.sleep(600)"
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
sandboxed.start()
print(fork_server._server.process.pid, flush=True)
try:
    sandboxed.run(notebook, [], Limits(cell_s=600, notebook_s=600))
except KeyboardInterrupt:
    pass
"""


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_the_grader(signum):
    grader = subprocess.Popen([sys.executable, "-c", GRADER], stdout=subprocess.PIPE, text=True)
    try:
        server = psutil.Process(int(grader.stdout.readline()))
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            family = server.children(recursive=True)
            if any("sleep" in process.name() for process in family):
                break
            time.sleep(0.05)
        else:
            pytest.fail("The notebook did not start.")
        grader.send_signal(signum)
        grader.wait(60)
        _, alive = psutil.wait_procs([server, *family], timeout=30)
        assert not alive
    finally:
        grader.kill()
        grader.wait()


def test_stop_all_ends_what_runs():
    with ThreadPoolExecutor() as pool:
        slow = notebook("print('a')", "import time; time.sleep(600)")
        task = pool.submit(sandboxed.run, slow, [], Limits(cell_s=600, notebook_s=600))
        deadline = time.monotonic() + 60
        while not sandboxed._running and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)
        sandboxed.stop_all()
        stopped = task.result(30)
        assert stopped.problem, stopped.notebook.cells


@pytest.fixture
def course_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """jupyter_client configured as an instructor would for plain nbgrader."""
    factory = KernelProvisionerFactory.instance()
    entry = EntryPoint(
        "course-fork",
        "autograder.provisioner:ForkProvisioner",
        "jupyter_client.kernel_provisioners",
    )
    monkeypatch.setitem(factory.provisioners, "course-fork", entry)
    monkeypatch.setattr(factory, "default_provisioner_name", "course-fork")


def test_plain_nbclient_runs_on_forked_kernels(course_fork, tmp_path: Path):
    (tmp_path / "data.txt").write_text("42")
    source = "import os, sys\nprint(open('data.txt').read(), os.path.expanduser('~'))"
    book = notebook(source, "raise ValueError('x')", "print('on')")
    client = NotebookClient(
        book, allow_errors=True, resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    assert printed(book.cells[0]).startswith("42 /")
    assert book.cells[1].outputs[0].ename == "ValueError"
    assert printed(book.cells[2]) == "on\n"
    assert str(Path.home()) != printed(book.cells[0]).split()[1] or os.geteuid() != 0


def test_a_forked_kernel_is_interrupted_and_shut_down_as_jupyter_does(course_fork, tmp_path: Path):
    manager = KernelManager(connection_file=str(tmp_path / "kernel.json"))
    manager.start_kernel(cwd=str(tmp_path))
    keeper = psutil.Process(manager.provisioner.pid)
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(60)
        request = client.execute("import time\nprint('on')\ntime.sleep(600)")
        while client.get_iopub_msg(60)["msg_type"] != "stream":
            pass
        manager.interrupt_kernel()
        reply = client.get_shell_msg(60)
        assert reply["parent_header"]["msg_id"] == request
        assert reply["content"]["ename"] == "KeyboardInterrupt"
        assert manager.is_alive()
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert not manager.is_alive()
    assert not keeper.is_running()


def test_the_student_s_process_closes_no_file_that_is_not_its_own(monkeypatch: pytest.MonkeyPatch):
    """What the fork has closed, as garbage, would close the kernel's files of the same numbers."""
    ours, theirs = socket.socketpair()
    grader, _far_end = socket.socketpair()
    numbers, null = (ours.fileno(), grader.fileno()), os.open(os.devnull, os.O_RDONLY)

    def start(*_: Any) -> int:
        for number in numbers:
            os.close(number)
        return 0

    def prepare(*_: Any) -> object:
        for number in numbers:  # as a kernel's files do, which get the lowest free ones
            os.dup2(null, number)
        return print

    monkeypatch.setattr(socket, "socketpair", lambda pair=(ours, theirs): pair)
    monkeypatch.setattr(sandbox, "start", start)
    monkeypatch.setattr(kernel, "prepare", prepare)
    view, means = sandbox.this_installation(""), sandbox.NO_MEANS
    box = sandbox.Box("/nowhere", *[1] * (len(fields(sandbox.Box)) - 1))
    assert worker._fork_kernel(grader, box, view, means) == (print, None)
    monkeypatch.undo()
    del ours, grader
    gc.collect()
    for number in (null, *numbers):
        assert os.readlink(f"/proc/self/fd/{number}") == os.devnull
        os.close(number)
    assert theirs.fileno() > 0, "the channel of the tests stays"
