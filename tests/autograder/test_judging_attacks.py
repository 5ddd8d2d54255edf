"""What a hostile student may do in the kernel, and what it must not gain on the trusted side."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from two_processes import Submission, notebook, play

SETUP = """
import json
import numpy as np
import torch
from torch import nn
from course_lib.checks import close, equal
"""


def run(tmp_path: Path, answer: str, *tests: str):
    """Return the verdicts of the tests on one answer cell."""
    names = [f"test{i}" for i in range(len(tests))]
    made = notebook(
        ("setup", "setup", SETUP),
        ("answer", "answer", "def f(x): ..."),
        *(("test", name, test) for name, test in zip(names, tests, strict=True)),
    )
    verdicts = play(made, {"answer": answer}, tmp_path)
    return [verdicts[name] for name in names]


TESTS = (
    "equal(f(3), 123_457, 'f(3)')",
    "assert f(3) == 123_457",
    "assert 123_457 == f(3)",
    "assert not f(3) != 123_457",
    "assert f(3) in {123_457}",
    "assert f(3) in [123_457]",
    "assert f(3)",
    "assert not f(3)",
    "assert np.allclose(f(3), 123_457)",
    "np.testing.assert_allclose(f(3), 123_457)",
    "assert torch.allclose(torch.as_tensor(f(3)), torch.tensor(123_457))",
    "assert (torch.tensor(123_457) == f(3)).all()",
    "assert (np.array([123_457]) == f(3)).all()",
    "assert np.array(f(3)).item() == 123_457",
    "assert abs(f(3) - 123_457) < 1e-6",
    "assert float(f(3)) == 123_457",
    "assert int(f(3)) == 123_457",
    "assert isinstance(f(3), int) and f(3) == 123_457",
    "assert round(f(3)) == 123_457",
    "assert {123_457: True}[f(3)]",
    "assert max(f(3), 0) == 123_457",
    "match f(3):\n    case 123_457: pass\n    case _: raise AssertionError",
)

LIARS = {
    "everything": """
class Liar:
    __class__ = int
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return hash(123_457)
    def __bool__(self): return True
    def __len__(self): return 1
    def __float__(self): return 123_457.0
    def __int__(self): return 123_457
    __index__ = __round__ = __int__
    def __sub__(self, other): return 0
    __rsub__ = __abs__ = __sub__
    def __lt__(self, other): return True
    __gt__ = __le__ = __ge__ = __lt__
    def __array__(self, *a, **k):
        import numpy
        return numpy.array(123_457)
    def __torch_function__(self, *a, **k): return True
    @property
    def __array_interface__(self):
        return {'data': (4096, False), 'shape': (1,), 'typestr': '<i8', 'version': 3}
    def __getattr__(self, name): return lambda *a, **k: True
""",
    "int_subclass": """
class Liar(int):
    def __new__(cls): return int.__new__(cls, 5)
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return hash(123_457)
    def __int__(self): return 123_457
    __index__ = __round__ = __int__
    def __sub__(self, other): return 0
    __rsub__ = __sub__
""",
    "tensor_subclass": """
import torch
class Liar(torch.Tensor):
    def __new__(cls): return torch.tensor(5.0).as_subclass(cls)
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return torch.tensor(True)
    def item(self): return 123_457
    tolist = __float__ = item
""",
    "array_subclass": """
import numpy
class Liar(numpy.ndarray):
    def __new__(cls): return numpy.array(5.0).view(cls)
    def __array_finalize__(self, obj): pass
    def __eq__(self, other): return numpy.array(True)
    def item(self, *a): return 123_457
    tolist = __float__ = item
""",
}


@pytest.mark.parametrize("liar", LIARS)
def test_an_object_that_lies_passes_no_assert(liar: str, tmp_path: Path):
    answer = f"{LIARS[liar]}\ndef f(x): return Liar()"
    honest_falsehood = {"assert f(3)", "assert not f(3)"}  # a plain 5.0 may be true
    for test, verdict in zip(TESTS, run(tmp_path, answer, *TESTS), strict=True):
        if liar != "everything" and test in honest_falsehood:
            continue
        assert verdict.error_name is not None, test


def test_the_same_asserts_pass_for_the_right_value(tmp_path: Path):
    tests = [test for test in TESTS if test != "assert not f(3)"]
    for test, verdict in zip(
        tests, run(tmp_path, "def f(x): return 123_457", *tests), strict=True
    ):
        assert verdict.error_name is None, (test, verdict)


PATCHES = {
    "comparison": "import torch, numpy\ntorch.allclose = torch.equal = lambda *a, **k: True\n"
    "numpy.allclose = numpy.testing.assert_allclose = lambda *a, **k: True",
    "checks": "import course_lib.checks\ncourse_lib.checks.equal = lambda *a, **k: None\n"
    "equal = close = lambda *a, **k: None",
    "builtins": "import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.AssertionError = Warning\n"
    "abs = isinstance = len = lambda *a: True",
    "names": "yes = lambda *a, **k: True\n"
    "torch = np = nn = type('Fake', (), {'__getattr__': lambda s, n: yes})()",
    "shells": "import sys\nsys.settrace(lambda *a: None)\nsys.displayhook = print",
}


@pytest.mark.parametrize("patch", PATCHES)
def test_patched_libraries_and_names_gain_nothing(patch: str, tmp_path: Path):
    verdicts = run(tmp_path, f"{PATCHES[patch]}\ndef f(x): return 5", *TESTS)
    for test, verdict in zip(TESTS, verdicts, strict=True):
        assert test == "assert f(3)" or verdict.error_name is not None, test
    right = [test for test in TESTS if test != "assert not f(3)"]
    verdicts = run(tmp_path, f"{PATCHES[patch]}\ndef f(x): return 123_457", *right)
    assert [verdict.error_name for verdict in verdicts] == [None] * len(right)


@pytest.mark.parametrize(
    "patch",
    [
        "import json; json.dumps = lambda *a, **k: '[]'",
        "import struct; struct.Struct.pack = None",
        "import autograder.judging.peer as p; p.Peer._result = lambda *a: ({'ok': 1, 'x': 2}, [])",
        "import autograder.judging.pack as p; p.Packer.pack = lambda *a: ['dict', 1]",
        "import autograder.judging.pack as p; p.Packer.pack = lambda *a: ['arg', 0, 1]",
        "import autograder.judging.wire as w\n"
        "w.Wire.send = lambda s, *a: s._channel.send(b'x' * 99)",
        "import autograder.judging.wire as w; w.Wire.send = lambda s, *a: s._channel.close()",
        "import autograder.judging.effects as e; e.Snapshot.changes = lambda *a: [[0, 1]]",
        "import autograder.judging.effects as e; e.Snapshot.changes = lambda *a: 5",
    ],
)
def test_a_patched_kernel_side_only_spoils_its_own_answers(patch: str, tmp_path: Path):
    (verdict,) = run(tmp_path, f"{patch}\ndef f(x): return 5", "equal(f([3]), 123_457, 'f(3)')")
    assert verdict.error_name is not None


@pytest.mark.parametrize(
    "data",
    [
        "b'garbage' * 1000",
        "b'edl1' + b'\\xff' * 12",
        "b'edl1' + (2).to_bytes(4, 'big') + bytes(8) + b'{}'",
        "b'edl1' + (2).to_bytes(4, 'big') + bytes(8) + b'[]'",
        "frame({'re': 1, 'ok': 123457, 'sizes': []})",
        "frame({'re': '0' * 16, 'ok': 123457, 'sizes': []})",
        "frame({'id': '1', 'op': 'call', 'args': ['tuple'], 'sizes': []})",
        "frame({'id': '1', 'op': 'getattr', 'args': ['tuple', ['yours', 1], 'x'], 'sizes': []})",
        "frame({'id': '1', 'op': 'backward', 'args': ['tuple', 1, ['list']], 'sizes': []})",
        "frame({'id': '1', 'op': 'call', 'args': ['tuple', ['global', 'torch', 'relu'], "
        "['tuple', 5], ['dict']], 'sizes': []})",
    ],
)
def test_what_is_written_to_the_channel_beforehand_gains_nothing(data: str, tmp_path: Path):
    answer = f"""
import json
def frame(header):
    text = json.dumps(header).encode()
    return b'edl1' + len(text).to_bytes(4, 'big') + bytes(8) + text
channel.send({data})
def f(x): return 5
"""
    first, second = run(tmp_path, answer, "equal(f(3), 123_457, 'f(3)')", "assert f(3) == 123_457")
    assert first.error_name is not None
    assert second.error_name is not None


def test_a_forged_answer_is_only_an_answer(tmp_path: Path):
    answer = """
import autograder.judging.student_side as s
def forge(self, header, buffers):
    self.wire.send({'re': header['id'], 'ok': 123_457, 'score': 100, 'error_name': None})
s.StudentPeer.answer = forge
def f(x): return 5
"""
    good, bad = run(tmp_path, answer, "equal(f(3), 123_457, 'f')", "equal(f(3), 5, 'f')")
    assert good.error_name is not None  # f itself is now 123457, which can't be called
    assert bad.error_name is not None


def test_no_expected_value_and_no_test_source_ever_enters_the_kernel(tmp_path: Path, monkeypatch):
    sent = []
    from autograder.judging.wire import Wire

    send = Wire.send

    def spy(self, header, buffers=()):
        sent.append(json.dumps(header))
        return send(self, header, buffers)

    monkeypatch.setattr(Wire, "send", spy)
    secret = 918_273_645
    test = f"""
secret_name = {secret}
def callback(x): return x + 1
def failing(x): raise ValueError(f'wanted {{secret_name}}')
try: f(failing)
except ValueError as e: assert '918' in str(e)
equal(f(callback), {secret}, 'f', mistakes={{'half': {secret // 2}}})
"""
    answer = """
def f(g):
    import gc
    texts = [o for o in gc.get_objects() if type(o) is str]  # a dead proxy has no class
    try:
        return g(1)
    except ValueError as e:
        globals()['seen'] = [str(e), repr(e.__dict__), repr(vars(g))]
        raise
"""
    made = notebook(
        ("setup", "setup", SETUP), ("answer", "answer", "def f(x): ..."), ("test", "test", test)
    )
    with Submission(made, tmp_path) as submission:
        submission.setup(made.cells[0])
        submission.run(answer)
        verdict = submission.test(made.cells[2])
        assert "expected 918,273,645, got 2" in verdict.error_message
        assert str(secret) not in "".join(sent)
        assert "secret_name" not in "".join(sent)
        assert (
            submission.run(f"assert not any('{str(secret)[:4]}' in s for s in seen), seen") == ""
        )
        look = "import gc\ndicts = [o for o in gc.get_objects() if type(o) is dict]\n"
        look += "found = [o for o in dicts if 'secret_name' in o]"
        assert submission.run(look + "\nassert not found") == ""


def test_a_callback_gives_nothing_but_calls(tmp_path: Path):
    answer = """
def f(g):
    found = []
    for name in ('__globals__', '__closure__', '__code__', '__wrapped__', 'secret'):
        try: found.append(getattr(g, name))
        except AttributeError: pass
    try: found.append(g._peer.request('getattr', g, '__globals__'))
    except Exception: pass
    try: found.append(g._peer.request('name', 'secret'))
    except Exception: pass
    return len(found)
"""
    (verdict,) = run(tmp_path, answer, "secret = 5\nassert f(lambda: secret) == 0")
    assert verdict.error_name is None


HEAVY = {
    "50 GB tensor": "torch.zeros(()).expand(10**5, 10**5)",
    "long list": "[0] * 2_000_000",
    "cycle": "cycle()",
    "cycle in a dict": "dict(a=cycle())",
    "deep": "deep(100_000)",
    "shared again and again": "laughs()",
    "huge number": "10**100_000",
    "long text": "'x' * 10**8",
    "endless generator": "iter(int, 1)",
    "500 MB": "np.zeros(10**8)",
}


@pytest.mark.parametrize("heavy", HEAVY)
def test_what_is_too_heavy_is_refused_in_a_sentence(heavy: str, tmp_path: Path):
    answer = f"""
import torch, numpy as np
def cycle():
    x = [1]; x.append(x); return x
def deep(n):
    x = []
    for _ in range(n): x = [x]
    return x
def laughs():
    x = [0] * 100
    for _ in range(30): x = [x] * 100
    return x
def f(x): return {HEAVY[heavy]} if x == 3 else x
"""
    test = "v = f(3)\nequal(v if not hasattr(v, '__next__') else list(v), 123_457, 'f(3)')"
    verdict, after = run(tmp_path, answer, test, "equal(f(5), 5, 'f(5)')")
    assert verdict.error_name in ("StudentError", "AssertionError")
    assert len(verdict.error_message) < 500
    assert after.error_name is None


def test_an_attribute_cannot_smuggle_code_into_a_trusted_layer(tmp_path: Path):
    answer = """
import torch, types
big = torch.ones(1000)
def f(kind):
    m = torch.nn.Sequential(torch.nn.Linear(2, 1))
    if kind == 'forward': m[0].forward = lambda x: big[:1]
    if kind == 'class':
        m[0].__class__ = type('Linear', (torch.nn.Linear,), {'forward': lambda s, x: big[:1]})
    if kind == 'hook': m[0].register_forward_hook(lambda *a: big[:1])
    if kind == 'patched': torch.nn.Linear.forward = lambda s, x: big[:1]
    if kind == 'dict': m.__dict__['_modules'] = {'0': lambda x: big[:1]}
    if kind == 'callable':
        m = torch.nn.TransformerEncoderLayer(2, 1)
        m.activation = lambda x: big[:1]
    return m
"""
    kinds = ("forward", "class", "hook", "dict", "callable")
    tests = [
        f"m = f({kind!r})\nassert type(m) is not type(m) or isinstance(m, nn.Module)\n"
        "from course_lib import codec\ncodec.to_bytes(m)"
        for kind in kinds
    ]
    for kind, verdict in zip(kinds, run(tmp_path, answer, *tests), strict=True):
        assert verdict.error_name is not None, kind  # a handle can't be weighed
    trusted = (
        "m = f('patched')\nx = torch.rand(1, 2)\n"
        "assert torch.allclose(m(x), x @ m[0].weight.T + m[0].bias)"
    )
    (verdict,) = run(tmp_path, answer, trusted)
    assert verdict.error_name is None


def test_a_forged_layer_with_a_handle_or_a_hidden_method_is_refused(tmp_path: Path):
    answer = """
import autograder.judging.layers as layers
honest = layers.plain
layers._foreign_hooks = lambda m: []
layers.is_free = lambda *a: True
import torch
def f(kind):
    m = torch.nn.Linear(2, 1)
    extra = {'forward': 5, '__class__': 5, '_modules': 5, 'training': 1, 'a.b': 1, '': 1}
    layers.plain = lambda m: honest(m) + ([(kind, extra[kind])] if kind in extra else [])
    return m
"""
    for kind in ("forward", "__class__", "_modules", "a.b", ""):
        (verdict,) = run(tmp_path, answer, f"m = f({kind!r})\nassert type(m) is nn.Linear")
        assert verdict.error_name == "StudentError", kind
        assert "layer" in verdict.error_message


def test_library_names_that_are_not_on_the_list_cannot_be_sent(tmp_path: Path):
    answer = """
import autograder.judging.library as library
library.is_safe = lambda *a: True
library.name_of = lambda thing: (
    tuple(thing().rsplit('.', 1)) if thing.__name__ == '<lambda>' else None
)
def f(name): return lambda: name
"""
    for name in (
        "os.system",
        "builtins.eval",
        "course_lib.measure.os",
        "torch.load",
        "torch.hub.load",
        "course_lib.data.load",
        "__main__.equal",
        "importlib.import_module",
    ):
        (verdict,) = run(tmp_path, answer, f"g = f({name!r})\nassert not callable(g)")
        assert verdict.error_name == "StudentError", name


def test_a_dead_kernel_ends_its_own_tests_and_says_so(tmp_path: Path):
    first, second = run(
        tmp_path,
        "import os\ndef f(x): os._exit(0)",
        "try:\n    f(3)\nexcept Exception:\n    pass\n",
        "assert True",
    )
    assert first.error_name == second.error_name == "KernelExited" or second.error_name is None
    assert first.error_name == "KernelExited"
    assert first.error_message.endswith(".")


@pytest.mark.parametrize("loop", ["while True: pass", "f(3)"])
def test_a_test_cell_can_be_stopped_from_outside(loop: str, tmp_path: Path):
    made = notebook(("answer", "a", "def f(x): ..."), ("test", "t", loop))
    with Submission(made, tmp_path) as submission:
        submission.run("import time\ndef f(x): time.sleep(1000)")
        found = []
        worker = threading.Thread(
            target=lambda: found.append(submission.trusted.run_test(made.cells[1]))
        )
        submission._send({"serve": True})
        worker.start()
        while submission.trusted._thread is None:
            pass
        submission.trusted.stop()
        worker.join(60)
    assert found[0].error_name == "KernelExited"


def test_an_interrupt_ends_the_call_and_the_kernel_lives_on(tmp_path: Path):
    import os
    import signal

    made = notebook(
        ("answer", "a", "def f(x): ..."), ("test", "t", "f(3)"), ("test", "u", "assert f(4) == 4")
    )
    with Submission(made, tmp_path) as submission:
        ready = tmp_path / "ready"
        submission.run(
            "import time\ndef f(x):\n    if x == 4: return 4\n"
            f"    open({str(ready)!r}, 'w')\n    time.sleep(1000)"
        )
        found = []
        worker = threading.Thread(target=lambda: found.append(submission.test(made.cells[1])))
        worker.start()
        while not ready.exists():
            pass
        os.kill(submission.pid, signal.SIGINT)
        worker.join(60)
        assert found[0].error_message.startswith("KeyboardInterrupt")
        assert submission.test(made.cells[2]).error_name is None


def test_numpy_is_not_shown_an_address_to_read(tmp_path: Path):
    answer = LIARS["everything"] + "\ndef f(x): return Liar()"
    (verdict,) = run(tmp_path, answer, "np.asarray(f(3))")
    assert verdict.error_name == "TypeError"
    assert np.array(1) == 1
