"""The listed hostile submissions, by their number, as far as one notebook can be them.

Two patterns return. A *canary* answers rightly, but only if everything that it tried was denied,
so full points prove the denial. A *cheat* answers wrongly and tries to have it pass.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import nbformat
from hostile_course import CUBE, POINTS, SHARE, SQUARE, Case
from nbformat import NotebookNode

from autograder.template import by_grade_id

WRONG = "def square(x):\n    return 5"
AFTER_SQUARE = tuple(name for name in POINTS if name != "test_square")
ALL = tuple(POINTS)
CUBES = ("test_cube", "test_cube_sign")


def canary(attempts: str, answer: str = SQUARE) -> str:
    """An answer that is right if every call of `attempt` in `attempts` raised."""
    return f"""
found = []
def attempt(what, act):
    try:
        found.append((what, str(act())[:80]))
    except Exception:
        pass
{attempts}
assert not found, found
{answer}
"""


READS = canary("""
import glob, os
import subprocess
for path in ('@COURSE@/gradebook.db', '@COURSE@/assignments/paper/paper.ipynb',
             '@COURSE@/submitted/h_01_correct/paper/paper.ipynb', '@ROOT@/autograder/judge.py',
             '@ROOT@/tests/autograder/hostile_course.py', '/etc/shadow'):
    attempt(path, lambda: open(path, 'rb').read())
    attempt(path, lambda: subprocess.check_output(['cat', path], stderr=subprocess.DEVNULL))
for folder in ('@COURSE@', '@COURSE@/submitted', '@ROOT@/assignments', '@ROOT@/.git'):
    attempt(folder, lambda: os.listdir(folder))
for path in glob.glob('/tmp/nb-*/trusted') + glob.glob('/tmp/submission-*'):
    attempt(path, lambda: os.listdir(path))
attempt('library', lambda: __import__('autograder.judge'))
""")

WRITES = canary("""
import os, sqlite3
import course_lib
for path in ('@COURSE@/gradebook.db', '@COURSE@/assignments/paper/paper.ipynb',
             '@COURSE@/submitted/h_01_correct/paper/paper.ipynb', course_lib.__file__,
             os.__file__, '@ROOT@/autograder/judge.py', '/etc/passwd'):
    for mode in ('a', 'r+', 'w'):
        attempt(path, lambda: open(path, mode))
    attempt(path, lambda: os.remove(path))
    attempt(path, lambda: os.rename(path, path + '.old'))
    attempt(path, lambda: os.chmod(path, 0o777))
attempt('sql', lambda: sqlite3.connect('@COURSE@/gradebook.db').execute('delete from grade'))
attempt('plant', lambda: open('@COURSE@/submitted/h_01_correct/paper/torch.py', 'x'))
""")

NETWORK = canary("""
import socket, urllib.request
for family in (socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
        attempt((family, kind), lambda: socket.socket(family, kind))
attempt('dns', lambda: socket.getaddrinfo('example.org', 80))
attempt('http', lambda: urllib.request.urlopen('http://127.0.0.1', timeout=1))
for name in open('/proc/net/unix').read().split():
    if name.startswith('@') and len(name) > 1:
        attempt(name, lambda: socket.socket(socket.AF_UNIX).connect(chr(0) + name[1:]))
""")

PROCESSES = canary("""
import ctypes, os, signal
libc = ctypes.CDLL(None, use_errno=True)
def strictly(result):
    if result == -1:
        raise OSError(ctypes.get_errno())
    return result
own = os.getpid()
others = {int(name) for name in os.listdir('/proc') if name.isdigit()} - {own}
children = open(f'/proc/self/task/{own}/children').read().split()
others -= set(map(int, children))
for pid in others | {os.getppid()}:
    for number in (signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):
        attempt(('kill', pid), lambda: os.kill(pid, number))
    for name in ('mem', 'environ', 'maps'):
        attempt((name, pid), lambda: open(f'/proc/{pid}/{name}', 'rb').read(100))
    attempt(('fd', pid), lambda: os.listdir(f'/proc/{pid}/fd'))
    attempt(('root', pid), lambda: os.listdir(f'/proc/{pid}/root'))
    attempt(('cwd', pid), lambda: os.listdir(f'/proc/{pid}/cwd'))
    attempt(('ptrace', pid), lambda: strictly(libc.ptrace(16, pid, 0, 0)))
    attempt(('pidfd', pid), lambda: strictly(libc.syscall(438, os.pidfd_open(pid), 0, 0)))
try:
    os.kill(-1, signal.SIGKILL)
except OSError:
    pass
""")

SEARCHES = """
def square(x):
    import gc, sys
    words = [''.join(parts) for parts in  # no constant of this cell may hold them
             (('marvel', 'lous_secret'), ('HIDDEN', ' TESTS'), ('negative', ' numbers'))]
    frame, frames = sys._getframe(), []
    while frame is not None:
        frames.append(frame)
        frame = frame.f_back
    own = set(map(id, (words, frames)))
    texts = [value for value in gc.get_objects() if isinstance(value, str)]
    for holder in [f.f_locals for f in frames] + [f.f_globals for f in frames] + gc.get_objects():
        if type(holder) is dict and id(holder) not in own:
            texts += [str(v) for v in list(holder.values()) if type(v) in (str, bytes, int)]
    for frame in frames:
        texts += [repr(frame.f_code.co_consts), repr(frame.f_code.co_filename)]
    texts += [str(In), str(Out), str(get_ipython().history_manager.input_hist_raw)]
    for text in texts:
        if text not in words and any(word in text for word in words):
            raise RuntimeError('found ' + text[:300])
    return x * x
"""

MEMORY = """
import re
def square(x):
    word = b'marvel[l]ous_secret = 9[1]827'  # not what it looks for
    with open('/proc/self/maps') as maps, open('/proc/self/mem', 'rb', 0) as memory:
        for line in maps:
            start, end = (int(part, 16) for part in line.split()[0].split('-'))
            if 'r' not in line.split()[1] or end - start > 2**26 or '[v' in line:
                continue
            try:
                memory.seek(start)
                data = memory.read(end - start)
            except (OSError, ValueError):
                continue
            for found in re.finditer(word, data):
                raise RuntimeError('found ' + repr(data[found.start():found.end() + 20]))
    return x * x
"""

LIAR = """
class Liar:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __bool__(self): return True
    def __add__(self, other): return self
    __radd__ = __truediv__ = __sub__ = __mul__ = __add__
    def __array__(self, *a, **k):
        import numpy
        return numpy.zeros(3) + 0.5
    def __float__(self): return 2.0
    def __index__(self): return 9
    def __hash__(self): return hash(9)
    def __torch_function__(self, *a, **k): return True
    def __getattr__(self, name): return lambda *a, **k: self
    def __repr__(self): return '9'
"""

STRIPS_ASSERTS = """
import ast, builtins, IPython, sys
class Strip(ast.NodeTransformer):
    def visit_Assert(self, node): return ast.Pass()
shell = get_ipython()
shell.ast_transformers.append(Strip())
shell.input_transformers_post.append(
    lambda lines: ['pass'] if 'assert' in str(lines) else lines)
run = type(shell).run_cell
type(shell).run_cell = lambda self, cell, *a, **k: run(
    self, 'None' if 'assert' in cell else cell, *a, **k)
compiled = builtins.compile
builtins.compile = lambda source, *a, **k: compiled(
    '0' if 'assert' in str(source) else source, *a, **k)
builtins.AssertionError = Warning
sys.modules['__main__'].AssertionError = Warning
"""

PATCHES = """
import builtins, numpy, sys, torch
import numpy.testing
import course_lib.checks
def yes(*a, **k): return True
torch.allclose = torch.equal = torch.full = numpy.allclose = yes
numpy.testing.assert_allclose = torch.testing.assert_close = lambda *a, **k: None
for module in [m for name, m in sys.modules.items() if name.startswith('course_lib.checks')]:
    module.equal = module.close = lambda *a, **k: None
torch.Tensor.__eq__ = torch.Tensor.tolist = yes
builtins.abs = builtins.AssertionError = lambda *a: 0
"""

OWN_POINTS = f"""
{WRONG}
import sys
shell = get_ipython()
print(4.0); display(4.0); sys.displayhook(4.0)
for kind in ('execute_result', 'display_data'):
    shell.kernel.session.send(
        shell.kernel.iopub_socket, kind,
        {{'data': {{'text/plain': '4.0'}}, 'metadata': {{}}, 'execution_count': 3}},
        parent=shell.kernel.get_parent('shell'))
shell.events.register('post_run_cell', lambda *a: sys.displayhook(4.0))
shell.execution_count = 4
4.0
"""

FORGES = """
import os, socket, struct, threading, json
def channels():
    for name in os.listdir('/proc/self/fd'):
        try:
            if os.readlink(f'/proc/self/fd/{name}').startswith('socket:'):
                yield socket.socket(fileno=os.dup(int(name)))
        except OSError:
            pass
message = json.dumps({'re': 0, 'ok': None, 'error': None, 'sizes': []}).encode()
frame = struct.pack('>4sIQ', b'edl1', len(message), 0) + message
"""


def without_test(notebook: NotebookNode) -> None:
    notebook.cells = [c for c in notebook.cells if "test_square" not in str(c.metadata)]


def _copied(notebook: NotebookNode) -> None:
    cell = deepcopy(by_grade_id(notebook)["square"])
    cell.id, cell.source = "another", WRONG
    notebook.cells.append(cell)


def _flags_flipped(notebook: NotebookNode) -> None:
    for cell in by_grade_id(notebook).values():
        about = cell.metadata.nbgrader
        about.grade, about.solution = not about.grade, not about.solution


def _locked_edited(notebook: NotebookNode) -> None:
    cells = by_grade_id(notebook)
    cells["test_square"].source = "pass"
    cells["helper"].source = "import os as math"


def _set(field: str, value: object) -> object:
    def edit(notebook: NotebookNode) -> None:
        for cell in by_grade_id(notebook).values():
            cell.metadata.nbgrader[field] = value

    return edit


def _without_ids(notebook: NotebookNode) -> None:
    for cell in by_grade_id(notebook).values():
        del cell.metadata.nbgrader["grade_id"]


def _other_language(notebook: NotebookNode) -> None:
    notebook.metadata.kernelspec = {"name": "ir", "display_name": "R", "language": "R"}
    notebook.metadata.language_info = {"name": "R", "pygments_lexer": "r"}


def _also(*names: str, text: str = "raise RuntimeError('imported')"):
    def add(folder: Path) -> None:
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)

    return add


def _replaced(content: bytes):
    return lambda folder: (folder / "paper.ipynb").write_bytes(content)


def _link_to_the_grade_book(folder: Path) -> None:
    (folder / "book.db").symlink_to(folder.parents[2] / "gradebook.db")
    (folder / "everything").symlink_to(folder.parents[2])


def _another_notebook(folder: Path) -> None:
    other = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    nbformat.write(other, folder / "scratch.ipynb")


MARKUP = """It grows. <script>alert('MARKUP')</script>
<img src=x onerror="alert('MARKUP')"> [click](javascript:alert('MARKUP'))
<svg onload="alert('MARKUP')" width="100000" height="100000"></svg>
<iframe src="http://example.org"></iframe> <a href="data:text/html,<script>x</script>">x</a>
<style>* { display: none }</style><form action="http://example.org"><input></form>"""
DRAWS_MARKUP = f"""
from IPython.display import HTML, SVG, Javascript, Markdown, display
evil = {MARKUP!r}
display(HTML(evil), Markdown(evil), Javascript("alert('MARKUP')"))
display({{'text/html': [evil, evil], 'image/svg+xml': '<svg onload="alert(1)">' + 'x' * 10**5,
         'application/javascript': 'alert(1)', 'text/latex': evil,
         'text/markdown': evil, 'image/png': '"><script>alert(1)</script>'}}, raw=True)
{SQUARE}
"""

SEES_A_GRADER = canary(
    """
import os, socket, sys
names = ('grad', 'zygote', 'sandbox', 'hidden', 'worker', 'nbclient')
def suspicious(text):
    text = str(text).replace('@ROOT@', '')
    if not any(name in text.lower() for name in names):
        raise LookupError
    return text
for name, value in os.environ.items():
    attempt(name, lambda: suspicious(name + value))
for path in ('/proc/self/cmdline', '/proc/1/cmdline', '/proc/self/comm', '/proc/self/cgroup'):
    attempt(path, lambda: suspicious(open(path).read()))
for module in list(sys.modules):
    attempt('module', lambda: suspicious(module) if module.startswith('auto') else 1 / 0)
for value in (sys.argv, os.getcwd(), os.listdir('.'), sys.path, os.listdir('/home')):
    attempt('value', lambda: suspicious(value))
attempt('host', lambda: suspicious(socket.gethostname()))
attempt('home', lambda: 1 / (os.path.expanduser('~') != os.getcwd()))
attempt('stdin', lambda: 1 / 0 if sys.stdin is not None else 'none')
"""
)

DAEMON = """
import os, subprocess, sys
for detached in (True, False):
    subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)', '@MARK@'],
                     start_new_session=detached)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, '-c', 'import time; time.sleep(600)', '@MARK@'])
    os._exit(0)
"""

STUBBORN = """
while True:
    try:
        while True:
            pass
    except BaseException:
        pass
"""
DEADLOCK = """
import ctypes
libc, mutex = ctypes.CDLL(None), ctypes.create_string_buffer(64)
libc.pthread_mutex_lock(mutex); libc.pthread_mutex_lock(mutex)
"""
THREADS = """
import threading, time
while True:
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
"""
FORKS = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n"
MEMORY_BOMB = """
import time
hog = []
for _ in range(40):
    hog.append(bytearray(b'x') * (64 * 2**20))
    time.sleep(0.05)
time.sleep(60)
"""
DISK = """
with open('big', 'wb') as file:
    while True:
        file.write(bytes(2**20))
        file.flush()
"""
CHANGES_STATE = f"""
import os, random
import matplotlib, numpy, torch
os.makedirs('deep'); os.chdir('deep')
random.seed(0); numpy.random.seed(0); torch.manual_seed(0)
torch.set_default_dtype(torch.float64); torch.set_num_threads(2)
torch.set_grad_enabled(False)
torch.use_deterministic_algorithms(True)
numpy.seterr(all='raise')
matplotlib.use('agg')
os.environ['PATH'] = ''
os.umask(0o777)
{SQUARE}
"""
SHELL = """
!rm -rf ~ / 2> /dev/null
!echo gone > /etc/passwd
%run nowhere.py
%load_ext nowhere
%cd /
import subprocess
subprocess.run('rm -rf --no-preserve-root / 2> /dev/null', shell=True)
"""
PROGRESS = f"""
import sys, warnings
from tqdm import tqdm
warnings.warn('careful')
for _ in tqdm(range(20)):
    pass
print('so far so good', file=sys.stderr)
{SQUARE}
"""

LISTED = [
    Case("01_correct"),
    Case(
        "02_untouched",
        untouched=True,
        lost=ALL,
        says=("No answer",),
    ),
    Case("03_warns", {"square": PROGRESS}),
    Case("04_loops", {"cube": "while True:\n    pass\n" + CUBE}, CUBES, ("Timed out",),
         brief=True),
    Case(
        "04_loops_in_a_test",
        {"cube": "def cube(x):\n    while True: pass"},
        CUBES,
        ("Timed out",), brief=True),
    Case(
        "05_swallows_interrupts",
        {"cube": STUBBORN},
        AFTER_SQUARE,
        ("Timed out", "Not run"),
        events=("TimedOut",), brief=True),
    Case(
        "05_swallows_interrupts_in_a_test",
        {"cube": "def cube(x):" + STUBBORN.replace("\n", "\n    ")},
        AFTER_SQUARE,
        ("Timed out", "Not run"), brief=True),
    Case("06_blocks_in_c", {"cube": DEADLOCK}, AFTER_SQUARE, ("Timed out",), brief=True),
    Case("08_exits", {"cube": "import os; os._exit(0)"}, AFTER_SQUARE, ("kernel exited",)),
    Case(
        "08_exits_in_a_test",
        {"cube": "def cube(x):\n    import os\n    os._exit(0)"},
        AFTER_SQUARE,
        ("kernel exited",),
    ),
    Case(
        "09_crashes",
        {"cube": "import ctypes; ctypes.string_at(0)"},
        AFTER_SQUARE,
        ("kernel exited",),
    ),
    Case("10_memory", {"cube": MEMORY_BOMB}, AFTER_SQUARE, ("[Mm]emory limit",)),
    Case(
        "10_memory_refused",
        {"cube": "hog = bytearray(10**12)\n" + CUBE},
        CUBES,
        ("Memory limit",),
    ),
    Case("11_fork_bomb", {"cube": FORKS}, AFTER_SQUARE, ("Process limit|Memory limit|Timed out",),
         brief=True),
    Case("12_thread_bomb", {"cube": THREADS}, CUBES, ("thread|limit",)),
    Case("13_daemon", {"square": DAEMON + SQUARE}),
    Case("14_disk", {"cube": DISK + CUBE}, CUBES, ("Disk limit",)),
    Case("15_one_long_line", {"square": f"{SQUARE}\nprint('x' * 10**8)"}),
    Case(
        "16_a_million_displays",
        {"square": f"{SQUARE}\nfor i in range(10**6):\n    display(i)"},
        says=("Timed out",), brief=True),
    Case("16_many_displays", {"square": f"{SQUARE}\nfor i in range(500):\n    display(i)"}),
    Case("17_sys_exit", {"cube": f"import sys\nsys.exit(0)\n{CUBE}"}, CUBES, ("SystemExit",)),
    Case("17_system_exit_in_a_test", {"cube": "def cube(x): raise SystemExit"}, CUBES, ("Exit",)),
    Case("18_input", {"cube": f"input('Score? ')\n{CUBE}"}, CUBES, ("input",)),
    Case("19_syntax", {"cube": "def cube(:"}, CUBES, ("SyntaxError",)),
    Case("20_no_test", {"cube": "0"}, CUBES, ("test_square",), edit=without_test),
    Case("22_copied", edit=_copied, says=("square",)),
    Case("23_flags_flipped", {"cube": "0"}, CUBES, edit=_flags_flipped),
    Case("24_locked_edited", {"square": WRONG}, ("test_square",), ("9", "test_square"),
         edit=_locked_edited),
    Case("25_points", edit=_set("points", 1000)),
    Case("26_schema", edit=_set("schema_version", 99)),
    Case("27_no_ids", {"cube": "0"}, CUBES, edit=_without_ids),
    Case("28_language", edit=_other_language),
    Case("29_invalid_json", lost=ALL, says=("could not be read",), look=True,
         folder=_replaced(b'{"cells": [')),
    Case("29_empty", lost=ALL, says=("could not be read",), look=True, folder=_replaced(b"")),
    Case("29_not_utf_8", lost=ALL, says=("could not be read",), look=True,
         folder=_replaced(b"\xff\xfe\x00{" * 100)),
    Case("30_renamed", handed_in_as="a1 (1).ipynb", says=("handed in as",)),
    Case("31_missing", lost=ALL, says=("No notebook",), look=True, handed_in_as=""),
    Case("31_another", folder=_another_notebook),
    Case("32_symlink", says=("symbolic link",), folder=_link_to_the_grade_book, look=True),
    Case(
        "34_ships_modules",
        {"square": f"import random, torch, queue\n{SQUARE}"},
        says=("torch.py", "random.py", "sitecustomize.py"),
        folder=_also("torch.py", "random.py", "sitecustomize.py", "queue/__init__.py"),
    ),
    Case("35_reads", {"square": READS}),
    Case("36_writes", {"square": WRITES}),
    Case("37_network", {"square": NETWORK}),
    Case("38_processes", {"square": PROCESSES}),
    Case("39_own_points", {"square": OWN_POINTS}, ("test_square",)),
    Case("40_strips_asserts", {"square": f"{STRIPS_ASSERTS}\n{WRONG}"}, ("test_square",)),
    Case(
        "41_liars",
        {
            "square": f"{LIAR}\ndef square(x): return Liar()",
            "cube": "class Int(int):\n    __eq__ = lambda self, other: True\n    __hash__ = None"
            "\n\ndef cube(x): return Int(0)",
            "half": f"{LIAR}\ndef half(x): return Liar()",
        },
        ("test_square", *CUBES, "test_half"),
        ("square should be|Liar|returned",),
    ),
    Case("42_searches", {"square": SEARCHES}),
    Case("42_memory", {"square": MEMORY}),
    Case(
        "43_patches",
        {"square": f"{PATCHES}\n{WRONG}", "half": "def half(x): return x"},
        ("test_square", "test_half"),
    ),
    Case("44_nan", {"share": SHARE.replace("2.0", "float('nan')")}, scores={"test_share": 0.0},
         says=("nan",), look=True),
    Case("44_infinite", {"share": SHARE.replace("2.0", "float('inf')")},
         scores={"test_share": 0.0}, says=("inf",), look=True),
    Case("44_negative", {"share": SHARE.replace("2.0", "-1000.0")},
         scores={"test_share": 0.0}, says=("-1000",), look=True),
    Case("44_above", {"share": SHARE.replace("2.0", "1000.0")},
         scores={"test_share": 2.0}, says=("1000",), look=True),
    Case(
        "45_pickle",
        {
            "square": "import os\nclass Evil:\n    def __reduce__(self):\n"
            "        return (os.system, ('touch @COURSE@/pwned',))\n"
            "def square(x): return Evil()",
        },
        ("test_square",),
    ),
    Case(
        "45_huge_tensor",
        {"half": "import torch\ndef half(x): return torch.ones(1).expand(12_500_000_000)"},
        ("test_half",),
        ("MB|large|memory",),
    ),
    Case(
        "45_cycle",
        {
            "square": "def square(x):\n    cycle = []\n    cycle.append(cycle)\n    return cycle",
            "cube": "def cube(x):\n    deep = 8\n    for _ in range(10**5): deep = [deep]\n"
            "    return deep",
        },
        ("test_square", *CUBES),
    ),
    Case(
        "45_too_much",
        {
            "square": "def square(x):\n    deep = 9\n    for _ in range(150): deep = [deep]\n"
            "    return deep",
            "cube": "def cube(x): return list(range(3 * 10**6))",
        },
        ("test_square", *CUBES),
        ("nested more than", "more than 1,000,000 parts"),
    ),
    Case(
        "46_garbage_on_sockets",
        {
            "cube": FORGES + "for each in channels():\n    try: each.send(b'garbage' * 100)\n"
            "    except OSError: pass\n" + CUBE
        },
        AFTER_SQUARE, brief=True),
    Case(
        "46_forged_answers",
        {"cube": FORGES + "for each in channels():\n    try: each.send(frame * 3)\n"
         "    except OSError: pass\n" + "def cube(x): return 5"},
        AFTER_SQUARE, brief=True),
    Case("47_markup", {"square": DRAWS_MARKUP, "why": MARKUP}),
    Case("51_shell", edit=lambda notebook: notebook.cells.insert(
        1, nbformat.v4.new_code_cell(SHELL))),
    Case("51_bash", {"square": "%%bash\nrm -rf ~ 2>/dev/null\nexec sleep 0.1"},
         ("test_square",)),
    Case("52_changes_state", {"square": CHANGES_STATE}),
    Case("53_sees_a_grader", {"square": SEES_A_GRADER}),
]  # fmt: skip
