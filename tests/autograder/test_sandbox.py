"""What a submission cannot do, tried from inside, layer by layer."""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import nbformat
import psutil
import pytest
from nbformat import NotebookNode

from autograder import fork_server, sandbox, sandboxed
from autograder.errors import CourseError
from autograder.execute import DISK_LIMIT, MEMORY_LIMIT, Limits
from autograder.sandbox import landlock, probe, seccomp
from autograder.sandbox.confine import Means

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the sandbox is made of Linux's means"
)
ROOT = Path(__file__).resolve().parents[2]
LIMITS = Limits(cell_s=120.0, notebook_s=600.0, disk_bytes=64 * 2**20, processes=100)


def run(*sources: str, limits: Limits = LIMITS) -> list[NotebookNode]:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(s) for s in sources])
    executed = sandboxed.run(notebook, [], limits)
    assert executed.problem == ""
    return executed.notebook.cells


def said(cell: NotebookNode) -> str:
    """The name and message of the cell's error, or what it printed."""
    for output in cell.outputs:
        if output.output_type == "error":
            return f"{output.ename}: {output.evalue}"
    return "".join(out.text for out in cell.outputs if out.output_type == "stream")


# Every one of these must raise OSError. {secret}, {pid} and {socket} are the grader's.
DENIED = {
    "tcp": "import socket; socket.socket(socket.AF_INET)",
    "udp": "import socket; socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "dns": "import socket; socket.getaddrinfo('example.org', 80)",
    "download": "import urllib.request; urllib.request.urlopen('http://example.org')",
    "abstract_socket": "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0{socket}')",
    "unix_socket": "import socket\nsocket.socket(socket.AF_UNIX).connect('{secret}.socket')",
    "grader_file": "open('{secret}').read()",
    "grader_folder": "import os; os.listdir(os.path.dirname('{secret}'))",
    "overwrite": "open('{secret}', 'a')",
    "assignments": "import os; os.listdir('{root}/assignments')",
    "corpus": "import os; os.listdir('{root}/autograder/corpus')",
    "autograder": "import os; open('{root}/autograder/judge.py')",
    "repository": "import os; os.listdir('{root}/tests')",
    "grade_book": "open('{root}/gradebook.db')",
    "library": "import course_lib; open(course_lib.__file__, 'a')",
    "python": "import os; open(os.__file__, 'a')",
    "grader_home": "open('{home}/.profile')",
    "etc": "open('/etc/probe', 'w')",
    "shadow": "open('/etc/shadow').read()",
    "grader_proc": "open('/proc/{pid}/environ').read()",
    "init_memory": "open('/proc/1/mem', 'rb')",
    "init_environment": "open('/proc/1/environ', 'rb').read()",
    "kill_grader": "import os; os.kill({pid}, 9)",
    "ptrace": "{libc}(lambda c: c.ptrace(0, 0, 0, 0))",
    "ptrace_init": "{libc}(lambda c: c.ptrace(16, 1, 0, 0))",
    "mount": "{libc}(lambda c: c.mount(b'x', b'/home/student', b'tmpfs', 0, None))",
    "unshare": "{libc}(lambda c: c.unshare(0x10000000))",
    "keyctl": "{libc}(lambda c: c.syscall({keyctl}, 0, -3, 0))",
    "bpf": "{libc}(lambda c: c.syscall({bpf}, 0, 0, 0))",
    "io_uring": "{libc}(lambda c: c.syscall({io_uring_setup}, 8, 0))",
    "userfaultfd": "{libc}(lambda c: c.syscall({userfaultfd}, 0))",
    "chroot": "import os; os.chroot('/tmp')",
    "become_root": """import os
child = os.fork()
if child == 0:
    try:
        os.setuid(0)
    except OSError:
        os._exit(1)
    os._exit(0)
if os.waitpid(child, 0)[1]:
    raise OSError('denied')""",
    "device": "import os; os.mknod('/tmp/disk', 0o60600, os.makedev(8, 0))",
    "raise_limits": "import resource as r; r.setrlimit(r.RLIMIT_NPROC, (10**6, 10**6))",
    "nice": "import os; os.nice(-5)",
    "host_name": "import socket; socket.sethostname('x')",
}
_RAISING = """import ctypes, os
def {name}(call):
    library = ctypes.CDLL(None, use_errno=True)
    if call(library) == -1:
        raise OSError(ctypes.get_errno(), 'denied')"""


@pytest.fixture(scope="module")
def denials(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each of DENIED said, all tried in one submission."""
    folder = tmp_path_factory.mktemp("grader")
    secret = folder / "secret"
    secret.write_text("the hidden test")
    folder.chmod(0o755)
    name = f"autograder-test-{os.getpid()}"
    column = 0 if platform.machine() == "x86_64" else 1
    with socket.socket(socket.AF_UNIX) as abstract, socket.socket(socket.AF_UNIX) as named:
        abstract.bind(f"\0{name}")
        abstract.listen()
        named.bind(f"{secret}.socket")
        named.listen()
        os.chmod(f"{secret}.socket", 0o777)
        values = {
            "secret": str(secret),
            "socket": name,
            "root": str(ROOT),
            "pid": str(os.getpid()),
            "home": str(Path.home()),
            "libc": "_call",
            **{name: str(numbers[column]) for name, numbers in seccomp.REFUSED.items()},
        }
        sources = [_RAISING.format(name="_call")]
        for source in DENIED.values():
            for key, value in values.items():
                source = source.replace("{" + key + "}", value)
            sources.append(source)
        cells = run(*sources)
    assert secret.read_text() == "the hidden test"
    return {name: said(cell) for name, cell in zip(DENIED, cells[1:], strict=True)}


# gaierror and URLError are OSErrors too; the others' names are those of errno.
OS_ERRORS = ("OSError", "PermissionError", "FileNotFoundError", "ProcessLookupError", "gaierror")
OTHERS = ("URLError", "ConnectionRefusedError", "ValueError: not allowed to raise")


@pytest.mark.parametrize("name", DENIED)
def test_it_is_denied(denials, name):
    assert denials[name].startswith((*OS_ERRORS, *OTHERS)), f"{name} gave: {denials[name]!r}"


def test_a_missing_network_looks_like_a_missing_network(denials):
    assert "Network is unreachable" in denials["tcp"]


# What an honest submission needs must work in the same sandbox.
ALLOWED = {
    "home": "open('x.txt', 'w').write('1'); print(open('x.txt').read())",
    "temporary": "import tempfile; tempfile.NamedTemporaryFile().write(b'x'); print(1)",
    "threads": "import torch; torch.set_num_threads(2); x = torch.ones(300, 300) @ "
    "torch.ones(300, 300); print(1)",
    "shell": "!echo 1",
    "bash": "%%bash\necho 1",
    "subprocess": "import subprocess, sys\n"
    "print(subprocess.check_output([sys.executable, '-c', 'print(1)'], text=True))",
    "workers": "import torch, torch.utils.data as d\n"
    "data = d.TensorDataset(torch.arange(4.0))\n"
    "total = sum(float(x[0].sum()) for x in d.DataLoader(data, num_workers=1))\n"
    "assert total == 6\nprint(1)",
    "pool": "import multiprocessing as m\nwith m.Pool(1) as p: print(p.map(abs, [-1])[0])",
    "plot": "import matplotlib.pyplot as plt; plt.plot([1, 2]); plt.show(); print(1)",
    "library": "import course_lib; print(1)",
    "own_module": "open('mine.py', 'w').write('one = 1')\nimport mine; print(mine.one)",
}


@pytest.fixture(scope="module")
def permissions() -> dict[str, NotebookNode]:
    return dict(zip(ALLOWED, run(*ALLOWED.values()), strict=True))


@pytest.mark.parametrize("name", ALLOWED)
def test_it_is_allowed(permissions, name):
    assert said(permissions[name]).strip() == "1"


def test_plots_arrive_as_pictures(permissions):
    pictures = [out for out in permissions["plot"].outputs if "data" in out]
    assert pictures
    assert "image/png" in pictures[0].data


def test_nothing_tells_that_it_is_graded(monkeypatch):
    monkeypatch.setenv("COURSE_TOKEN", "very-secret")
    traces = """import gc, inspect, os, sys
frame, files = sys._getframe(), []
while frame:
    files.append(frame.f_code.co_filename)
    frame = frame.f_back
seen = [dict(os.environ), sys.argv, sys.orig_argv, list(sys.modules), files, os.getcwd(),
        os.listdir('/home'), open('/proc/self/cmdline').read(), open('/proc/self/environ').read(),
        open('/proc/1/cmdline').read()]
words = ('autograder', 'zygote', 'sandbox', 'very-secret')
print([word for word in words if word in repr(seen)])"""
    (cell,) = run(traces)
    assert said(cell).strip() == "[]"


def test_two_submissions_share_neither_random_numbers_nor_files():
    source = "import random, numpy as np, os\nprint(random.random(), np.random.rand())"
    write = "open('/tmp/left', 'w').write('x'); open('/dev/shm/left', 'w').write('x')"
    look = "import os; print(os.listdir('/tmp'), os.listdir('/dev/shm'))"
    first, second = run(source, write), run(source, look)
    assert said(first[0]) != said(second[0])
    assert "left" not in said(second[1])


FORK_BOMB = """import os, time
def bomb():
    while True:
        try:
            if os.fork() == 0:
                time.sleep(600)
        except OSError:
            raise OSError('no more processes')
bomb()"""
THREAD_BOMB = """import threading, time
while True:
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()"""


@pytest.mark.parametrize(
    ("bomb", "errors"),
    [(FORK_BOMB, ("no more processes", "Process limit")), (THREAD_BOMB, ("start new thread",))],
)
def test_bombs_are_contained_and_leave_nothing(bomb, errors):
    before = {process.pid for process in psutil.process_iter()}
    cells = run("print('a')", bomb)
    assert said(cells[0]) == "a\n"
    assert any(error in said(cells[1]) for error in errors)
    server = psutil.Process(fork_server._server.process.pid)
    left = [process for process in server.children(recursive=True) if process.pid not in before]
    psutil.wait_procs(left, timeout=10)
    assert not [process for process in left if process.is_running()]


def test_a_full_disk_says_so_and_the_rest_runs():
    fill = """with open('big', 'wb') as file:
    while True:
        file.write(bytes(2**20))"""
    many = "for i in range(20):\n    with open(f'b{i}', 'wb') as f: f.write(bytes(10 * 2**20))"
    remove = "import os\nfor name in os.listdir('.'):\n    if name[0] == 'b': os.remove(name)"
    cells = run(fill, remove, many, remove, "print('b')")
    for cell in (cells[0], cells[2]):
        assert said(cell) == f"{DISK_LIMIT}: Disk limit: a notebook may write 64 MB."
    assert said(cells[4]) == "b\n"


def test_a_huge_array_fails_at_once_and_the_rest_runs():
    cells = run("import numpy as np; np.ones(50 * 2**30)", "print('b')")
    assert said(cells[0]).startswith(MEMORY_LIMIT)
    assert said(cells[1]) == "b\n"


def test_grading_is_refused_where_no_sandbox_holds(monkeypatch):
    level = sandboxed.start()
    broken = replace(level, problem="No sandbox holds on this machine. Use Linux.")
    monkeypatch.setattr(fork_server._server, "level", broken)
    with pytest.raises(CourseError, match="No sandbox holds"):
        run("1")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("print(1)")])
    executed = sandboxed.run(notebook, [], replace(LIMITS, unsafe_local=True))
    assert said(executed.notebook.cells[0]) == "1\n"
    assert "--unsafe-local" in executed.isolation


def test_a_layer_that_fails_its_trial_is_not_used(monkeypatch):
    tried = []

    def fails(means, view):
        tried.append(means)
        return ["a file of the grader can be read"]

    monkeypatch.setattr(probe, "try_out", fails)
    level = probe.find_level(sandbox.this_installation(""))
    assert tried == list(probe.candidates())
    assert "a file of the grader can be read" in level.problem
    assert "--unsafe-local" in level.problem
    assert level.means == sandbox.NO_MEANS


def try_out(means: Means) -> list[str]:
    """What the trial finds, in a process of its own: one with threads must not be forked so."""
    script = """if True:
        import json, sys
        from autograder import sandbox
        from autograder.sandbox import confine, probe
        means = confine.Means(**json.loads(sys.argv[1]))
        print(json.dumps(probe.try_out(means, sandbox.this_installation(""))))
    """
    command = [sys.executable, "-c", script, json.dumps(asdict(means))]
    run = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    faults: list[str] = json.loads(run.stdout)
    return faults


def test_the_trial_finds_every_missing_denial():
    """Confined by nothing, the checks from inside must report what is open, each by name."""
    faults = try_out(sandbox.NO_MEANS)
    assert "a file of the grader can be read" in faults
    assert "internet sockets exist" in faults
    assert "abstract sockets connect" in faults
    assert "user namespaces can be made" in faults or os.geteuid() != 0


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_returns_what_it_should(machine):
    """The filter, interpreted step by step, on calls that matter."""
    allow, error, kill = 0x7FFF0000, 0x00050000, 0x80000000
    arch = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine]
    column = 0 if machine == "x86_64" else 1
    program = seccomp.program(machine)
    for numbers in seccomp.REFUSED.values():
        if numbers[column] is not None:
            assert _interpret(program, arch, numbers[column], 0) == error | 1
    call_socket, clone = (41, 198)[column], (56, 220)[column]
    assert _interpret(program, arch, call_socket, socket.AF_UNIX) == allow
    assert _interpret(program, arch, call_socket, socket.AF_INET) == error | 101
    assert _interpret(program, arch, call_socket, 16) == error | 97
    assert _interpret(program, arch, clone, 0x003D0F00) == allow  # a thread
    assert _interpret(program, arch, clone, 0x10000011) == error | 1
    assert _interpret(program, arch, 435, 0) == error | 38
    assert _interpret(program, arch, (0, 63)[column], 0) == allow  # read
    assert _interpret(program, 0x40000003, call_socket, 0) == kill
    connect = (42, 203)[column]
    assert _interpret(program, arch, connect, 3) == allow
    assert _interpret(seccomp.program(machine, connect=False), arch, connect, 3) == error | 1


def _interpret(program: bytes, arch: int, number: int, argument: int) -> int:
    """A classic BPF machine of the few operations that the filter uses."""
    steps = list(struct.iter_unpack("HBBI", program))
    data = {0: number, 4: arch, 16: argument}
    at = value = 0
    while True:
        code, yes, no, constant = steps[at]
        at += 1
        if code == 0x06:
            return constant
        if code == 0x20:
            value = data[constant]
        else:
            truth = {
                0x15: value == constant,
                0x35: value >= constant,
                0x45: bool(value & constant),
            }[code]
            at += yes if truth else no


def test_hidden_parts_of_a_readable_folder_are_left_out(tmp_path):
    for name in ("a", "b/hidden", "b/shown"):
        (tmp_path / name).mkdir(parents=True)
    root = str(tmp_path)
    view = sandbox.View((root,), (f"{root}/b/hidden",))
    assert sorted(view.allowed()) == [f"{root}/a", f"{root}/b/shown"]
    assert sandbox.View((root,), ("/elsewhere",)).allowed() == [root]
    assert sandbox.View((f"{root}/b",), (root,)).allowed() == []


@pytest.mark.skipif(
    not landlock.scopes_signals_and_abstract_sockets(), reason="needs Landlock of Linux 6.12"
)
def test_without_namespaces_landlock_alone_holds():
    """In a container that forbids namespaces; the throw-away user may not reach a Python
    that is installed in a home, so one of the two candidates is enough."""
    alone = [means for means in probe.candidates() if not means.namespaces]
    assert any(try_out(means) == [] for means in alone)


def test_a_course_below_tmp_gets_the_same_sandbox():
    """There the course library is inside the folder that every submission gets afresh."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        for name in ("autograder", "course_lib"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("corpus"))
        code = "from autograder import sandboxed; print(sandboxed.start().to_json())"
        environment = {**os.environ, "PYTHONPATH": str(folder)}
        command = [sys.executable, "-c", code]
        told = subprocess.check_output(command, text=True, env=environment, cwd=folder)
        assert sandbox.Level.from_json(told).means == sandboxed.start().means
