"""One notebook in one kernel: what goes wrong stays in its cell and in its notebook."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import nbformat
import psutil
import pytest
from nbformat import NotebookNode

from autograder import fork_server, sandboxed
from autograder.execute import KERNEL_EXITED, MEMORY_LIMIT, NOT_RUN, TIMED_OUT, Limits

GENEROUS = Limits(cell_s=60.0, notebook_s=120.0)


def run(*sources: str, limits: Limits = GENEROUS) -> list[NotebookNode]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    return sandboxed.run(notebook, [], limits).notebook.cells


def errors(cell: NotebookNode) -> list[str]:
    return [out.ename for out in cell.outputs if out.output_type == "error"]


def printed(cell: NotebookNode) -> str:
    return "".join(out.text for out in cell.outputs if out.output_type == "stream")


def test_an_error_stays_in_its_cell():
    cells = run("x = 1", "1 / 0", "def broken(:", "print(x)")
    assert [errors(cell) for cell in cells] == [[], ["ZeroDivisionError"], ["SyntaxError"], []]
    assert printed(cells[3]) == "1\n"


def test_an_endless_loop_times_out_and_the_rest_runs():
    cells = run("print('a')", "while True: pass", "print('b')", limits=Limits(cell_s=5.0))
    assert errors(cells[1]) == [TIMED_OUT]
    assert "5 seconds" in cells[1].outputs[-1].evalue
    assert printed(cells[2]) == "b\n"


STUBBORN = """import signal, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
while True:
    time.sleep(1)"""


def test_a_loop_that_ignores_interrupts_ends_the_notebook_but_keeps_earlier_cells():
    cells = run("print('a')", STUBBORN, "print('b')", limits=Limits(cell_s=5.0))
    assert printed(cells[0]) == "a\n"
    assert errors(cells[1]) == [TIMED_OUT]
    assert errors(cells[2]) == [NOT_RUN]
    assert "timed out" in cells[2].outputs[0].evalue


def test_the_whole_notebook_has_a_limit_too():
    slow = "import time; time.sleep(600)"
    cells = run(slow, "print('end')", limits=Limits(cell_s=300, notebook_s=3))
    assert errors(cells[0]) == [TIMED_OUT]
    assert "whole notebook" in cells[0].outputs[-1].evalue
    assert errors(cells[1]) == [NOT_RUN]


@pytest.mark.parametrize(
    "killer", ["import os; os._exit(0)", "import os; os.kill(os.getpid(), 11)"]
)
def test_a_dead_kernel_keeps_earlier_cells_and_names_itself(killer):
    cells = run("print('a')", killer, "print('b')")
    assert printed(cells[0]) == "a\n"
    assert errors(cells[1]) == [KERNEL_EXITED]
    assert errors(cells[2]) == [NOT_RUN]
    assert "kernel exited in cell 2" in cells[2].outputs[0].evalue


def test_a_memory_bomb_is_stopped():
    limits = Limits(cell_s=60, memory_bytes=500 * 2**20)
    bomb = "import time\nhog = bytearray(700 * 2**20)\ntime.sleep(30)"
    cells = run("print('a')", bomb, "print('b')", limits=limits)
    assert errors(cells[1]) == [MEMORY_LIMIT]
    assert errors(cells[2]) == [NOT_RUN]


def test_sys_exit_and_input_are_errors_of_their_own_cell():
    cells = run("import sys; sys.exit(3)", "input('name? ')", "print('b')")
    assert errors(cells[0]) == ["SystemExit"]
    assert errors(cells[1]) == ["StdinNotImplementedError"]
    assert printed(cells[2]) == "b\n"


def test_a_flood_of_output_is_cut_and_the_rest_runs():
    limits = Limits(output_bytes=10_000, outputs=50)
    cells = run(
        "print('x' * 10**7)", "for i in range(10_000): display(i)", "print('b')", limits=limits
    )
    assert len(printed(cells[0])) < 11_000
    assert "cut off" in printed(cells[0])
    assert len(cells[1].outputs) <= 51
    assert printed(cells[2]) == "b\n"


def test_an_endless_flood_is_interrupted_and_the_rest_runs():
    flood = "print('a')\nwhile True: display('x' * 100)"
    cells = run(
        flood, "for i in range(2000): display(i)\n1 / 0", "print('b')", limits=Limits(cell_s=5.0)
    )
    assert errors(cells[0]) == [TIMED_OUT]
    assert "ZeroDivisionError" in str(cells[1].outputs[-1])
    assert printed(cells[2]) == "b\n"


DAEMON = """import subprocess, sys
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],
                         start_new_session=True)
print(child.pid)"""
DOUBLE_FORK = """import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    time.sleep(600)
    os._exit(0)
time.sleep(0.3)"""


@pytest.mark.parametrize("daemon", [DAEMON, DOUBLE_FORK])
def test_no_process_outlives_its_notebook(daemon):
    before = {process.pid for process in psutil.process_iter()}
    run(daemon, "print('b')")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        new = [p for p in psutil.process_iter() if p.pid not in before and _sleeps(p)]
        if not new:
            return
        time.sleep(0.1)
    pytest.fail(f"still running: {new}")


def _sleeps(process: psutil.Process) -> bool:
    try:
        command = " ".join(process.cmdline())
        return "sleep(600)" in command or ("ipykernel" in command and process.ppid() == 1)
    except psutil.Error:
        return False


def test_supplies_lie_in_the_working_folder_and_home_is_a_scratch_folder(tmp_path):
    (tmp_path / "data.csv").write_text("1,2")
    cell = nbformat.v4.new_code_cell(
        "import os\nprint(open('data.csv').read())\nprint(os.environ['HOME'] == os.getcwd())"
    )
    notebook = nbformat.v4.new_notebook(cells=[cell])
    executed = sandboxed.run(notebook, [tmp_path / "data.csv"], GENEROUS)
    assert executed.problem == ""
    assert printed(executed.notebook.cells[0]).startswith("1,2")
    assert printed(executed.notebook.cells[0]).endswith("True\n")


def test_trouble_of_the_grader_itself_is_said(monkeypatch):
    monkeypatch.setattr(fork_server, "_server", None)
    monkeypatch.setattr(fork_server.sys, "executable", "/bin/false")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1")])
    executed = sandboxed.run(notebook, [], GENEROUS)
    assert "fork server did not start" in executed.problem
    assert errors(executed.notebook.cells[0]) == [NOT_RUN]


def test_a_worker_that_dies_keeps_what_its_notebook_did():
    """As by the machine's out-of-memory killer; the cell that ran then has no result."""
    source = "import time; time.sleep(600)"
    cells = [nbformat.v4.new_code_cell(each) for each in ("print('a')", source, "print('b')")]
    with ThreadPoolExecutor() as pool:
        task = pool.submit(sandboxed.run, nbformat.v4.new_notebook(cells=cells), [], GENEROUS)
        server = psutil.Process(sandboxed.start() and fork_server._server.process.pid)
        while not (workers := [w for w in server.children() if _has_children(w)]):
            time.sleep(0.05)
        time.sleep(2)
        workers[0].kill()
        executed = task.result()
    assert executed.problem
    assert [errors(cell) for cell in executed.notebook.cells[1:]] == [[NOT_RUN], [NOT_RUN]]


def _has_children(process: psutil.Process) -> bool:
    try:
        return bool(process.children())
    except psutil.NoSuchProcess:
        return False


def test_a_students_file_cannot_take_the_place_of_a_library_or_of_a_supply(tmp_path):
    evil = tmp_path / "evil.py"
    evil.write_text("raise RuntimeError('imported')")
    for name in ("helper.py", "table.csv"):
        (tmp_path / name).write_text("value = 1")
    source = """import queue, torch, random, helper, os
print(helper.value, open('data/table.csv').read(), os.path.exists('torch.py'))"""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    files = {name: evil for name in ("torch.py", "random.py", "queue.py", "helper.py")}
    files["data/table.csv"] = tmp_path / "table.csv"
    executed = sandboxed.run(notebook, [tmp_path / "helper.py"], GENEROUS, files=files)
    assert printed(executed.notebook.cells[0]) == "1 value = 1 True\n"
