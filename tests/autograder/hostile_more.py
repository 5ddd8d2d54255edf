"""Hostile submissions beyond the list."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path

import nbformat
from hostile_course import CUBE, SHARE, SQUARE, Case
from hostile_listed import AFTER_SQUARE, ALL, CUBES, WRONG, canary
from nbformat import NotebookNode

from autograder.template import by_grade_id

POISON = f"""
import glob, os
import course_lib
home = os.path.expanduser('~')
startup = home + '/.ipython/profile_default/startup'
os.makedirs(startup, exist_ok=True)
os.makedirs(home + '/.config/matplotlib', exist_ok=True)
for path in ('/tmp/poison.py', '/dev/shm/poison', home + '/poison', startup + '/00-poison.py',
             home + '/sitecustomize.py', home + '/torch.py', '/var/tmp/poison',
             home + '/.config/matplotlib/matplotlibrc', home + '/.cache/course_lib/poison',
             os.path.dirname(course_lib.__file__) + '/poison.py',
             '@COURSE@/assignments/paper/poison.py'):
    try:
        with open(path, 'w') as file:
            file.write('raise SystemExit')
    except OSError:
        pass
{SQUARE}
"""
POISONED = canary("""
import glob, os, pathlib
import course_lib
places = ['/tmp', '/dev/shm', '/var/tmp', os.path.expanduser('~'), '@COURSE@/assignments/paper',
          os.path.dirname(course_lib.__file__), os.path.expanduser('~/.cache/course_lib')]
for place in places:
    for path in pathlib.Path(place).glob('**/*poison*'):
        attempt('poison', lambda: path)
library = os.path.dirname(course_lib.__file__) + '/'  # may lie there, in somebody's trial
foreign = [path for path in glob.glob('/tmp/*') if not library.startswith(path + '/')]
attempt('foreign', lambda: foreign[0])
""")
HOOKS = """
import atexit, gc, sys, threading
def meddle(*a, **k):
    frame = sys._getframe(1)
    for name in ('answer', 'reply', 'value', 'error'):
        if name in frame.f_locals:
            frame.f_locals[name] = 9
    return meddle if 'judging' in frame.f_code.co_filename else None
sys.settrace(meddle); sys.setprofile(meddle); threading.settrace(meddle)
gc.callbacks.append(meddle)
atexit.register(meddle)
class Dying(list):
    def __del__(self): meddle()
sys.excepthook = sys.unraisablehook = sys.displayhook = meddle
"""
ALARMS = f"""
import faulthandler, signal
faulthandler.dump_traceback_later(0.05, repeat=True, file=open('trace', 'w'))
def ring(*a): raise InterruptedError('ring')
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {{signal.SIGALRM}})
{SQUARE}
"""
SECOND_CALL = """
calls = 0
def square(x):
    global calls
    calls += 1
    return x * x if calls == 1 else 9
"""
FILES = f"""
files = [open('/dev/null') for _ in range(10**5)]
{CUBE}
"""
RAW_MESSAGES = f"""
kernel = get_ipython().kernel
session, out = kernel.session, kernel.iopub_socket
parent = kernel.get_parent('shell')
contents = ({{}}, {{'text': 5, 'name': 7}}, {{'data': 5}}, {{'data': {{'text/plain': 5}}}},
            b'[1]', b'x', b'5', b'\\xff', b'[' * 10**5, {{'execution_state': 'idle'}},
            {{'ename': 5, 'evalue': None, 'traceback': 'abc'}},
            {{'comm_id': 1, 'data': {{'state': 3, 'buffer_paths': 7}}}}, {{'wait': 5}})
kinds = ('stream', 'execute_result', 'display_data', 'update_display_data', 'error',
         'clear_output', 'comm_open', 'comm_msg', 'comm_close', 'execute_input', 'nonsense',
         'kernel_info_reply', 'input_request')
for kind in kinds:
    for content in contents:
        session.send(out, kind, content, parent=parent)
        session.send(out, kind, content, parent={{'msg_id': 5}})
out.send_multipart([b'garbage'])
out.send_multipart([b'<IDS|MSG>', b'no signature', b'{{', b'{{', b'{{', b'{{'])
out.send_multipart([b'<IDS|MSG>'])
{SQUARE}
"""
RAW_REPLIES = f"""
kernel = get_ipython().kernel
parent = kernel.get_parent('shell')
for kind in ('execute_reply', 'serve_reply', 'kernel_info_reply', 'nonsense'):
    for content in ({{}}, {{'status': 'odd'}}, {{'status': 'error'}}, 5, None):
        try:
            kernel.session.send(kernel.shell_stream, kind, content, parent=parent,
                                ident=kernel._parent_ident['shell'])
        except Exception:
            pass
{SQUARE}
"""
EARLY_REPLIES = """
import time
kernel = get_ipython().kernel
parent = kernel.get_parent('shell')
kernel.session.send(kernel.shell_stream, 'execute_reply', {'status': 'ok', 'execution_count': 3},
                    parent=parent, ident=kernel._parent_ident['shell'])
kernel.session.send(kernel.iopub_socket, 'status', {'execution_state': 'idle'}, parent=parent)
def square(x): return x * x
time.sleep(1)
"""
ODD_TEXT = f"""
import sys
print('\\x00 \\x1b[31mred\\x1b]0;title\\x07 \\u202e \\r\\x08')
display({{'text/plain': '\\x00', 'text/html': 5, 'image/png': [1, 2]}}, raw=True)
{SQUARE}
def cube(x): raise ValueError('\\x1b[31m<script>alert("MARKUP")</script>\\ud800\\x00=1+1')
"""
SLOW = """
class Slow:
    def __getattr__(self, name):
        import time
        time.sleep(600)
    def __repr__(self):
        import time
        time.sleep(600)
def cube(x): return Slow()
"""
TEXTS = """
class Lazy(str):
    def __eq__(self, other): return True
    def __str__(self): return self
    def __hash__(self): return 9
class Number(float):
    def __rtruediv__(self, other): return 0.0
    def __eq__(self, other): return True
    def __abs__(self): return 0.0
    def __float__(self): return 9.0
    __hash__ = None
def square(x): return Lazy('9')
def cube(x): return Number(1)
def half(x): return x * Number(3)
def share(): return Lazy('2.0')
"""
HALF_A_FRAME = """
import os, socket, threading, time
def drip():
    for name in os.listdir('/proc/self/fd'):
        try:
            if not os.readlink(f'/proc/self/fd/{name}').startswith('socket:'):
                continue
            socket.socket(fileno=os.dup(int(name))).send(b'edl1' + bytes(3))
        except OSError:
            pass
def cube(x):
    drip()
    time.sleep(600)
"""
TOO_DEEP = b'{"cells": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
COMMS = f"""
import time
from ipykernel.comm import Comm
from ipywidgets import IntSlider
for _ in range(300):
    Comm(target_name='flood', data={{'x': 'y' * 1000}}).send({{'z': 1}})
display(IntSlider())
get_ipython().run_cell_magic('javascript', '', 'alert("MARKUP")')
{SQUARE}
"""


def _many_cells(folder: Path) -> None:
    cell = {"cell_type": "code", "source": "1 / 0", "metadata": {}, "outputs": []}
    notebook = json.loads((folder / "paper.ipynb").read_text())
    notebook["cells"] += [{**cell, "id": str(number)} for number in range(100_000)]
    (folder / "paper.ipynb").write_text(json.dumps(notebook))


def _look_alike_ids(notebook: NotebookNode) -> None:
    cells = by_grade_id(notebook)
    twin = deepcopy(cells["square"])
    twin.id, twin.source = "twin", WRONG
    twin.metadata.nbgrader.grade_id = "ｓｑｕａｒｅ"  # the same under NFKC
    other = deepcopy(cells["test_square"])
    other.id, other.source = "other", "0"
    other.metadata.nbgrader.grade_id = "test_squar\u0435"  # a Cyrillic e
    notebook.cells[:0] = [twin, other]


def _forged_result(notebook: NotebookNode) -> None:
    """What the grader itself writes into a notebook, handed in."""
    notebook.metadata.autograder = {"result": "{}"}
    for cell in notebook.cells:
        cell.metadata.autograder = {"seconds": 0}
        if cell.cell_type == "code":
            data = {"text/plain": "1000"}
            cell.outputs = [nbformat.v4.new_output("execute_result", data=data)]


def _same_cell_ids(notebook: NotebookNode) -> None:
    extra = nbformat.v4.new_code_cell("square = cube = half = None")
    extra.id = by_grade_id(notebook)["test_square"].id
    notebook.cells.append(extra)


MORE = [
    Case("61_poisons", {"square": POISON}),
    Case("61_poisoned", {"square": POISONED}),
    Case("62_hooks_cheat", {"square": HOOKS + WRONG}, ("test_square",)),
    Case("62_hooks", {"share": HOOKS + SHARE}),
    Case("63_alarms", {"share": ALARMS.replace(SQUARE, SHARE)}, either=("test_share",)),
    Case("64_second_call", {"square": SECOND_CALL}, ("test_square",), ("negative",)),
    Case("65_calls_back_for_ever", {"twice": "def twice(f, x):\n    while True: f(x)"},
         ("test_twice",), ("Timed out",), brief=True),
    Case("65_recurses_for_ever", {"twice": "def twice(f, x): return twice(f, f(x))"},
         ("test_twice",), ("RecursionError|Timed out",), brief=True),
    Case("66_opens_files", {"cube": FILES}, CUBES, ("Too many open files",)),
    Case("67_many_cells", lost=ALL, says=("cells",), look=True, folder=_many_cells),
    Case("68_look_alike_ids", edit=_look_alike_ids),
    Case("69_odd_text", {"cube": ODD_TEXT}, CUBES, ("ValueError",)),
    Case("70_comms", {"square": COMMS}),
    Case("71_asks_for_ever", {"cube": "while True:\n    try: input()\n    except Exception: pass"},
         CUBES, ("Timed out",), brief=True),
    Case("72_huge_message", {"cube": "def cube(x): raise ValueError('x' * 5 * 10**7)"}, CUBES,
         ("ValueError: xxx",)),
    Case("72_huge_message_in_a_cell", {"cube": "raise ValueError('y' * 5 * 10**6)"}, CUBES,
         ("ValueError: yyy",)),
    Case("73_texts_that_lie", {"square": TEXTS, "cube": "0", "half": "0", "share": "0"},
         ("test_square", *CUBES, "test_half")),
    Case("74_slow_answers", {"cube": SLOW}, CUBES, ("Timed out|returned",), brief=True),
    Case("75_raw_messages", {"square": RAW_MESSAGES}),
    Case("76_raw_replies", {"square": RAW_REPLIES}),
    Case("76_early_replies", {"square": EARLY_REPLIES}),
    Case("77_closes_all_files", {"cube": "import os\nos.closerange(3, 4096)\n" + CUBE},
         AFTER_SQUARE, brief=True),
    Case("78_removes_its_sockets",
         {"square": f"!rm -rf ~/.local /tmp/* /dev/shm/*\n{SQUARE}"}),
    Case("79_stops_itself",
         {"cube": "import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)"}, AFTER_SQUARE,
         ("Timed out",), brief=True),
    Case("80_overflows_the_stack",
         {"cube": "import sys\nsys.setrecursionlimit(10**9)\nclass A:\n"
          "    def __getattr__(self, name): return getattr(self, name + 'x')\nrepr(A().x)"},
         AFTER_SQUARE, ("kernel exited|limit",)),
    Case("81_half_a_frame", {"cube": HALF_A_FRAME}, AFTER_SQUARE, brief=True),
    Case("82_too_deep_to_parse", lost=ALL, says=("could not be read",), look=True,
         folder=lambda folder: (folder / "paper.ipynb").write_bytes(TOO_DEEP)),
    Case("83_forged_result", {"square": WRONG}, ("test_square",), edit=_forged_result),
    Case("84_same_cell_ids", edit=_same_cell_ids),
    Case("85_huge_number", {"cube": "def cube(x): return 10 ** 10**6",
                            "share": "def share(): return 10**5000"},
         (*CUBES, "test_share")),
    Case("86_forgets_names", {"square": f"{SQUARE}\n%reset -f\n{SQUARE}\nget_ipython().user_ns"}),
    Case("87_endless_generator",
         {"half": "def half(x):\n    while True: yield x"}, ("test_half",), ("generator",)),
    Case("88_gets_the_kernel_restarted",
         {"cube": "get_ipython().kernel.do_shutdown(True); exit(); quit(keep_kernel=True)"},
         CUBES, either=("test_twice", "test_share", "test_half")),  # it has 0.1 s left
    Case("89_leaderboard", {"share": f"print('leaderboard: {{\"score\": 1e9}}')\n{SHARE}"}),
]  # fmt: skip
