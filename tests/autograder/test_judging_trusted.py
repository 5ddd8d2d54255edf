"""Test cells on the trusted side, the student's functions in another process."""

from __future__ import annotations

from pathlib import Path

import pytest
from two_processes import Submission, notebook

SETUP = """
import torch
from torch import nn
import torch.nn.functional as F
import numpy as np
from dataclasses import dataclass
from course_lib import cost, models
from course_lib.checks import close, equal, vjp

@dataclass
class Plan:
    bits: int
    scale: torch.Tensor

class Scale(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor
    def forward(self, x):
        return self.factor * x
"""


def judge(tmp_path: Path, answer: str, test: str, *plain: str):
    """Run the set-up, one answer cell and one test cell; return the verdict of the test."""
    made = notebook(
        ("setup", "setup", SETUP),
        ("answer", "answer", answer),
        *(("plain", f"plain{i}", source) for i, source in enumerate(plain)),
        ("test", "test", test),
    )
    with Submission(made, tmp_path) as submission:
        for cell in made.cells[:-1]:
            if cell.id == "answer":
                assert submission.run(cell.source) == ""
            else:
                submission.setup(cell)
        assert submission.trusted.problems == []
        return submission.test(made.cells[-1])


WORKS = {
    "numbers": ("def f(x): return x + 1", "assert f(2) == 3 and type(f(2)) is int"),
    "a_function_of_the_course": (
        "from course_lib import prune\nf = prune.magnitude",
        "assert f(torch.tensor([-2.0, 1.0])).tolist() == [2.0, 1.0]",
    ),
    "big_ints": ("def f(x): return x * x", "assert f(10**50) == 10**100"),
    "floats": ("def f(x): return x", "import math\nassert math.isnan(f(math.nan)); f(math.inf)"),
    "containers": (
        "def f(x): return x",
        "v = [1, (2, 'x'), {'a': {3}, 4: None}, b'z', slice(1, 2), range(3), 1j, ...]\n"
        "assert f(v) == v and type(f((1,))) is tuple and f(v) is v",
    ),
    "copies": ("def f(x): return list(x)", "v = [1]\nassert f(v) == v and f(v) is not v"),
    "keyword_arguments": ("def f(a, *, b=2): return a - b", "assert f(5, b=3) == 2 == f(a=4)"),
    "numpy": (
        "def f(x): return x.T * 2",
        "x = np.arange(6.).reshape(2, 3)\ny = f(x)\n"
        "assert y.shape == (3, 2) and y.dtype == x.dtype and (y == x.T * 2).all()\n"
        "assert type(f(np.float32(3))) is np.float32",
    ),
    "tensors": (
        "def f(x): return x.T.to(torch.bfloat16)",
        "y = f(torch.ones(2, 3))\nassert y.shape == (3, 2) and y.dtype == torch.bfloat16",
    ),
    "sizes_and_dtypes": (
        "def f(t, d): return t.shape, t.to(d).dtype",
        "shape, d = f(torch.zeros(2, 3), torch.int8)\n"
        "assert shape == (2, 3) and type(shape) is torch.Size and d == torch.int8",
    ),
    "meta_tensors": (
        "def f(x): return x @ x",
        "y = f(torch.empty(10**6, 10**6, device='meta'))\n"
        "assert y.shape == (10**6, 10**6) and y.is_meta",
    ),
    "sparse_tensors": (
        "def f(x): return x.to_sparse()",
        "x = torch.eye(3)\nassert f(x).is_sparse and (f(x).to_dense() == x).all()",
    ),
    "generators_of_random_numbers": (
        "def f(r, g, n): return r.random(), torch.rand(1, generator=g), n.random()",
        "import random\nr, g, n = random.Random(1), torch.Generator(), np.random.default_rng(2)\n"
        "a = f(r, g.manual_seed(3), n)\nb = f(r, g, n)\nassert a[0] != b[0] and a[1] != b[1]\n"
        "assert a[2] != b[2] and a[0] == random.Random(1).random()\n"
        "assert a[2] == np.random.default_rng(2).random()",
    ),
    "course_dataclasses": (
        "def f(model, x):\n    from course_lib import cost\n    return cost.count(model, x)",
        "m, x = nn.Linear(3, 4), torch.zeros(1, 3)\nassert f(m, x) == cost.count(m, x)",
    ),
    "dataclasses_and_layers_of_the_setup": (
        "def f(plan, layer): return Plan(plan.bits + 1, layer(plan.scale)), Scale(3)",
        "plan, layer = f(Plan(8, torch.ones(2)), Scale(5))\n"
        "assert type(plan) is Plan and plan.bits == 9 and plan.scale.tolist() == [5, 5]\n"
        "assert type(layer) is Scale and layer(2) == 6",
    ),
    "named_tuples": (
        "from collections import namedtuple\nPair = namedtuple('Pair', 'a b')\n"
        "def f(): return Pair(1, 2)",
        "p = f()\nassert p == (1, 2) and p.a == 1 and p.b == 2",
    ),
    "values_and_not_only_functions": ("answer = {'bits': 4}", "assert answer == {'bits': 4}"),
    "instances": (
        "class C:\n    def __init__(self, n): self.n = n\n    def twice(self): return 2 * self.n\n"
        "    def __len__(self): return self.n\n    def __getitem__(self, i): return i * self.n",
        "c = C(4)\nassert c.n == 4 and c.twice() == 8 and len(c) == 4 and c[3] == 12\n"
        "c.n = 5\nassert c.twice() == 10\nassert not hasattr(c, 'other')",
    ),
    "generators": (
        "def f(n):\n    for i in range(n): yield i",
        "assert list(f(3)) == [0, 1, 2]\nassert next(f(2)) == 0",
    ),
    "inner_functions": ("def f(k): return lambda x: x * k", "assert f(3)(4) == 12"),
    "callbacks": ("def f(g, x): return g(g(x))", "k = 3\nassert f(lambda x: x * k, 2) == 18"),
    "library_functions": ("def f(g, x): return g(x)", "assert f(F.relu, torch.ones(1)) == 1"),
    "classes_as_arguments": (
        "def f(kind): return kind(2, 3)",
        "y = f(nn.Linear)\nassert type(y) is nn.Linear and y.weight.shape == (3, 2)",
    ),
    "setup_names_in_tests": ("def f(): return 1", "assert step == 3 and f() == 1", "step = 3"),
    "partial_printing": ("def f(): print('no'); return 1", "f()\nprint('yes')"),
    "names_in_globals": ("def f(): return 1", "assert 'f' in globals() and 'g' not in globals()"),
    "try_except": (
        "def f(x):\n    if x < 0: raise ValueError('x must not be negative')\n    return x",
        "try:\n    f(-1)\nexcept ValueError as e:\n    assert 'negative' in str(e)\n"
        "else:\n    raise AssertionError('accepted')",
    ),
    "errors_of_callbacks_come_back_themselves": (
        "def f(g): return g()",
        "class Mine(Exception): pass\nthe = Mine()\ndef g(): raise the\n"
        "try:\n    f(g)\nexcept Mine as e:\n    assert e is the\nelse:\n    assert False",
    ),
}


@pytest.mark.parametrize("case", WORKS)
def test_a_test_that_works_in_a_notebook_works_across_processes(case: str, tmp_path: Path):
    answer, test, *plain = WORKS[case]
    verdict = judge(tmp_path, answer, test, *plain)
    assert (verdict.error_name, verdict.error_message) == (None, None)


MODELS = {
    "counts_and_shares": (
        "def f(m):\n    return (sum(p.numel() for p in m.parameters()), [n for n, _ in "
        "m.named_modules()], m.training, [p.requires_grad for p in m.parameters()])",
        "shared = nn.Linear(3, 3)\nm = nn.Sequential(shared, nn.BatchNorm1d(3), shared).eval()\n"
        "m[1].weight.requires_grad_(False)\n"
        "assert f(m) == (18, ['', '0', '1'], False, [True, True, False, True])",
    ),
    "tied_weights": (
        "def f(m): return len(list(m.parameters())), m",
        "a, b = nn.Linear(3, 3), nn.Linear(3, 3)\nb.weight = a.weight\n"
        "n, same = f(nn.Sequential(a, b))\nassert n == 3 and same[0].weight is same[1].weight",
    ),
    "the_same_model_comes_back_as_itself": (
        "def f(m): return m",
        "m = nn.Linear(2, 2)\nassert f(m) is m and f([m, m])[1] is m",
    ),
    "a_new_model_is_new_and_is_really_there": (
        "import copy\ndef f(m):\n    m = copy.deepcopy(m)\n    m[0].weight.data.zero_()\n"
        "    return m",
        "m = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.BatchNorm2d(2), nn.ReLU())\n"
        "g = f(m)\nassert type(g) is nn.Sequential and g is not m and m[0].weight.any()\n"
        "assert not g[0].weight.any() and g[0].stride == (2, 2)\n"
        "assert cost.count(g, torch.zeros(1, 1, 9, 9)).macs == 2 * 9 * 16",
    ),
    "recurrent": (
        "import copy\ndef f(m): return copy.deepcopy(m)",
        "m, x = nn.LSTM(3, 4), torch.ones(2, 1, 3)\nassert (f(m)(x)[0] == m(x)[0]).all()",
    ),
    "course_models": (
        "import copy\ndef f(m): return copy.deepcopy(m)",
        "m = models.mobilenet_v1(0.25).eval()\nx = torch.rand(1, 3, 32, 32)\n"
        "assert (f(m)(x) == m(x)).all() and type(f(m)) is type(m)",
    ),
    "own_classes_stay_in_the_kernel": (
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.fc = nn.Linear(2, 3)\n    def forward(self, x): return self.fc(x)",
        "net = Net()\nassert isinstance(net, nn.Module) and not isinstance(net, nn.Linear)\n"
        "assert sum(p.numel() for p in net.parameters()) == 9 and net.training\n"
        "assert net.eval() is net and not net.training\n"
        "twin = nn.Linear(2, 3)\nnet.fc.load_state_dict(twin.state_dict())\n"
        "net.load_state_dict({f'fc.{k}': v for k, v in twin.state_dict().items()})\n"
        "x = torch.rand(4, 2)\nassert torch.equal(net(x), twin(x))\n"
        "assert list(net.state_dict()) == ['fc.weight', 'fc.bias']\n"
        "assert [n for n, _ in net.named_modules()] == ['', 'fc']",
    ),
    "hooks_that_stay_are_seen": (
        "def f(m): m.register_forward_hook(lambda *a: None)",
        "m = nn.Linear(2, 2)\nf(m)\nf(m)\nassert len(m._forward_hooks) == 2",
    ),
    "training_changes_the_model": (
        "def f(m, x, y):\n    o = torch.optim.SGD(m.parameters(), lr=0.1)\n    m.train()\n"
        "    F.mse_loss(m(x), y).backward()\n    o.step()",
        "m, x, y = nn.Linear(2, 1).eval(), torch.ones(3, 2), torch.zeros(3, 1)\n"
        "before = m.weight.detach().clone()\nw = m.weight\nf(m, x, y)\n"
        "assert m.weight is w and not torch.equal(w, before) and m.training\n"
        "assert torch.allclose(w, before - 0.1 * w.grad)",
    ),
    "surgery_changes_the_model": (
        "def f(m):\n    m[0] = nn.Linear(2, 1)\n    m[1].p = 0.25\n    m.register_buffer('b', x)\n"
        "x = torch.ones(1)",
        "m = nn.Sequential(nn.Linear(2, 2), nn.Dropout())\nf(m)\n"
        "assert m[0].out_features == 1 and m[0](torch.ones(1, 2)).shape == (1, 1)\n"
        "assert m[1].p == 0.25 and m.b.tolist() == [1]",
    ),
    "what_did_not_change_is_not_touched": (
        "def f(m, x): return m(x).sum().item()",
        "m, x = nn.Linear(2, 2), torch.ones(1, 2)\nversion = m.weight._version\nf(m, x)\n"
        "assert m.weight._version == version and x._version == 0",
    ),
}


@pytest.mark.parametrize("case", MODELS)
def test_models_travel(case: str, tmp_path: Path):
    answer, test = MODELS[case]
    verdict = judge(tmp_path, answer, test)
    assert (verdict.error_name, verdict.error_message) == (None, None)


CHANGES = {
    "list": ("x.append(3)", "x = [1]", "x == [1, 3]"),
    "nested_list": ("x[0].append(3)", "x = [[1]]", "x == [[1, 3]]"),
    "dict": ("x['b'] = x.pop('a')", "x = {'a': [1]}; inner = x['a']", "x['b'] is inner"),
    "set": ("x.add(2)", "x = {1}", "x == {1, 2}"),
    "tensor": ("x[0] = 7", "x = torch.zeros(2)", "x.tolist() == [7, 0]"),
    "tensor_behind_autograds_back": ("x.data[0] = 7", "x = torch.zeros(2)", "x[0] == 7"),
    "resized_tensor": ("x.resize_(3).fill_(1)", "x = torch.zeros(2)", "x.tolist() == [1, 1, 1]"),
    "array": ("x += 1", "x = np.zeros(2)", "x.tolist() == [1, 1]"),
    "bytearray": ("x.append(1)", "x = bytearray(b'a')", "x == b'a\\x01'"),
    "gradient": (
        "(2 * x).sum().backward()",
        "x = torch.ones(2, requires_grad=True)",
        "x.grad[0] == 2",
    ),
    "flag": ("x.requires_grad_()", "x = torch.ones(2)", "x.requires_grad"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_changes_of_arguments_come_home(case: str, tmp_path: Path):
    change, before, after = CHANGES[case]
    verdict = judge(tmp_path, f"def f(x):\n    {change}", f"{before}\nf(x)\nassert {after}")
    assert (verdict.error_name, verdict.error_message) == (None, None)


GRADIENTS = {
    "vjp": (
        "def f(x): return (x * x).sum()",
        "x = torch.tensor([1., 3.])\nassert vjp(f, x).gradients[0].tolist() == [2, 6]\n"
        "assert vjp(f, x).value == 10 and x.grad is None and not x.requires_grad",
    ),
    "cotangent": (
        "def f(x, y): return x * y, 1",
        "x, y, c = torch.tensor([1., 3.]), torch.tensor([2., 5.]), torch.tensor([1., 10.])\n"
        "gx, gy = vjp(lambda *a: f(*a)[0], x, y, cotangent=c).gradients\n"
        "assert gx.tolist() == [2, 50] and gy.tolist() == [1, 30]",
    ),
    "models": (
        "def f(student, teacher, x): return F.mse_loss(student(x), teacher(x).detach())",
        "s, t, x = nn.Linear(2, 1), nn.Linear(2, 1), torch.ones(3, 2)\n"
        "gs, gt, gx = vjp(f, s, t, x).gradients\n"
        "want = torch.autograd.grad(F.mse_loss(s(x), t(x).detach()), s.weight)[0]\n"
        "assert torch.allclose(gs['weight'], want) and not gt['weight'].any() and gx.any()\n"
        "assert s.weight.grad is None",
    ),
    "backward_through_a_function": (
        "def f(x): return x.pow(3)",
        "x = torch.tensor([2.], requires_grad=True)\n(5 * f(2 * x)).sum().backward()\n"
        "assert x.grad.item() == 5 * 3 * 16 * 2",
    ),
    "backward_reaches_parameters_in_the_kernel": (
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.w = nn.Parameter(torch.ones(2))\n"
        "    def forward(self, x): return self.w * x",
        "net = Net()\nnet(torch.tensor([3., 4.])).sum().backward()\n"
        "assert net.w.grad.tolist() == [3, 4]",
    ),
    "backward_through_a_callback": (
        "def f(loss, x):\n    x = x.clone().requires_grad_()\n    loss(x).backward()\n"
        "    return x.grad",
        "g = f(lambda x: (3 * x).sum(), torch.ones(2))\nassert g.tolist() == [3, 3]",
    ),
    "straight_through": (
        "class Round(torch.autograd.Function):\n    @staticmethod\n    def forward(ctx, x): "
        "return x.round()\n    @staticmethod\n    def backward(ctx, g): return g\nf = Round.apply",
        "assert vjp(f, torch.tensor([1.3, 2.6])).gradients[0].tolist() == [1, 1]",
    ),
}


@pytest.mark.parametrize("case", GRADIENTS)
def test_gradients_flow_across(case: str, tmp_path: Path):
    answer, test = GRADIENTS[case]
    verdict = judge(tmp_path, answer, test)
    assert (verdict.error_name, verdict.error_message) == (None, None)


@pytest.mark.parametrize("cut", ["x.detach().sum()", "x.sum().item()", "x.round().data.sum()"])
def test_a_gradient_that_was_cut_is_said_in_a_sentence(cut: str, tmp_path: Path):
    verdict = judge(tmp_path, f"def f(x): return {cut}", "vjp(f, torch.ones(2))")
    assert verdict.error_name == "AssertionError"
    assert "no gradient" in verdict.error_message or "tensor" in verdict.error_message


@pytest.mark.parametrize(
    ("answer", "name", "message"),
    [
        ("def g(): pass", "NameError", "name 'f' is not defined"),
        ("def f(x): raise ValueError('too small')", "ValueError", "too small"),
        ("def f(x): raise KeyError('macs')", "KeyError", "'macs'"),
        ("def f(x): raise NotImplementedError()", "NotImplementedError", ""),
        ("class E(Exception): pass\ndef f(x): raise E('odd')", "StudentError", "E: odd"),
        ("class E(ValueError): pass\ndef f(x): raise E('odd')", "ValueError", "odd"),
        ("def f(x): raise SystemExit(0)", "StudentError", "SystemExit: 0"),
        ("def f(x): raise KeyboardInterrupt", "StudentError", "KeyboardInterrupt"),
        ("def f(x): return f(x)", "RecursionError", "maximum recursion depth exceeded"),
        ("def f(): return 1", "TypeError", "positional argument"),
        ("def f(x): assert x == 2, 'mine'", "AssertionError", "mine"),
        ("def f(x): raise UnicodeDecodeError('a', b'', 0, 1, 'b')", "StudentError", "Unicode"),
        ("def f(x): raise ValueError('y' * 10**6)", "ValueError", "yyy"),
        ("def f(x): exit()", "StudentError", "SystemExit"),
    ],
)
def test_errors_of_the_student_arrive_as_what_they_are(answer, name, message, tmp_path: Path):
    verdict = judge(tmp_path, answer, "f(1)")
    assert verdict.error_name == name
    assert message in verdict.error_message
    assert len(verdict.error_message) < 3000


@pytest.mark.parametrize(
    ("end", "score"),
    [
        ("", None),
        ("1.5", 1.5),
        ("x = 1", None),
        ("1.5;", None),
        ("True", None),
        ("'2'", None),
        ("np.float32(0.5)", 0.5),
        ("torch.tensor(2)", 2.0),
        ("f()", 7.0),
        ("10**400", float("inf")),
        ("None", None),
    ],
)
def test_a_number_at_the_end_is_the_score(end: str, score: float | None, tmp_path: Path):
    verdict = judge(tmp_path, "def f(): return 7", f"assert f() == 7\n{end}")
    assert (verdict.error_name, verdict.score) == (None, score)


def test_what_a_test_prints_is_kept_and_what_a_student_prints_is_not(tmp_path: Path):
    answer = "def f():\n    print('student')\n    return 1"
    verdict = judge(tmp_path, answer, "print('test', f())\nprint('x' * 10**6)")
    assert verdict.text.startswith("test 1\nxxx")
    assert "student" not in verdict.text
    assert len(verdict.text) <= 20_000


def test_the_state_of_a_test_ends_with_it(tmp_path: Path):
    import torch

    test = "torch.set_default_dtype(torch.float64)\ntorch.manual_seed(0)\n"
    test += "torch.set_grad_enabled(False)"
    before = torch.get_rng_state()
    assert judge(tmp_path, "", test).error_name is None
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert torch.equal(torch.get_rng_state(), before)


def test_only_cells_that_a_test_needs_run_on_the_trusted_side(tmp_path: Path):
    made = notebook(
        ("setup", "given", "a = 1"),
        ("plain", "picture", "unused = 2"),
        ("plain", "indirect", "b = a + 1"),
        ("plain", "direct", "def c(): return b"),
        ("test", "test", "assert c() == 2"),
        ("plain", "after", "c = 3"),
    )
    with Submission(made, tmp_path) as submission:
        needed = [cell.id for cell in made.cells if submission.trusted.needs(cell)]
    assert needed == ["given", "indirect", "direct"]


def test_a_name_means_what_the_last_cell_before_the_test_made_of_it(tmp_path: Path):
    made = notebook(
        ("answer", "first", "def f(): return 1"),
        ("test", "test_first", "x = 10\nassert f() == 1"),
        ("answer", "second", "x = 20"),
        ("test", "test_second", "assert x == 20\nx = 30"),
        ("test", "test_third", "assert x == 30"),
    )
    with Submission(made, tmp_path) as submission:
        for cell in made.cells:
            if cell.metadata.nbgrader["solution"]:
                submission.run(cell.source)
            else:
                assert submission.test(cell).error_name is None


def test_imports_of_the_instructors_answer_are_trusted(tmp_path: Path):
    made = notebook(
        ("answer", "answer", "import math\ndef f(): return math.pi"),
        ("test", "test", "assert f() == math.pi == 3"),
    )
    with Submission(made, tmp_path) as submission:
        submission.run("class math: pi = 3\ndef f(): return math.pi")
        assert submission.test(made.cells[1]).error_name == "AssertionError"


def test_what_a_visible_test_imports_is_there_for_the_next_answer(tmp_path: Path):
    hidden = "### BEGIN HIDDEN TESTS\nimport wave\n### END HIDDEN TESTS"
    made = notebook(
        ("test", "one", f"from math import tau as round_trip\n{hidden}"),
        ("answer", "answer", "def f(): ..."),
        ("test", "two", "assert f() > 6 and not g()"),
    )
    with Submission(made, tmp_path) as submission:
        submission.test(made.cells[0])
        submission.run("def f(): return round_trip\ndef g(): return 'wave' in globals()")
        assert submission.test(made.cells[2]).error_name is None


USES = "def one(): return 1\ndef two(): return one() + one()"
DOES_NOT = "def one(): return 1\ndef two(): return 2"
TAKEN_AWAY = """
kept = one
del one
try:
    two()
except NameError:
    pass
else:
    raise AssertionError('two does not use one')
finally:
    one = kept
assert two() == 2
"""
REPLACED = """
kept = one
calls = []
def one():
    calls.append(1)
    return 5
try:
    assert two() == 10, 'two does not use one'
finally:
    one = kept
assert len(calls) == 2
assert two() == 2
"""


@pytest.mark.parametrize("test", [TAKEN_AWAY, REPLACED], ids=["taken_away", "replaced"])
def test_a_test_can_find_out_whether_an_answer_uses_another(tmp_path, test):
    assert judge(tmp_path, USES, test).error_name is None
    assert "two does not use one" in str(judge(tmp_path, DOES_NOT, test).error_message)


def test_a_name_that_was_never_used_can_be_taken_away(tmp_path):
    verdict = judge(tmp_path, USES, "del one\ntwo()")
    assert verdict.error_name == "NameError"
    assert judge(tmp_path, USES, "del three").error_name == "NameError"


def test_a_value_that_a_test_binds_to_a_student_name_stays_here(tmp_path):
    answer = "secret = 0\ndef look(): return secret"
    assert judge(tmp_path, answer, "secret = 42\nassert look() == 0").error_name is None


def test_what_one_test_took_away_and_gave_back_is_there_for_the_next(tmp_path):
    made = notebook(
        ("setup", "setup", SETUP),
        ("answer", "answer", USES),
        ("test", "first", TAKEN_AWAY),
        ("test", "second", "assert one() == 1 and two() == 2"),
    )
    with Submission(made, tmp_path) as submission:
        submission.setup(made.cells[0])
        submission.run(USES)
        for cell in made.cells[2:]:
            assert submission.test(cell).error_name is None
