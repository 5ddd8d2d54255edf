"""course_lib.checks: what is the same answer, what is refused, and what the messages say."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from collections import OrderedDict, defaultdict, namedtuple
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from course_lib.checks import MAX_VALUES, RTOL, close, equal, fresh_rng, vjp


def failure(function, *args, **options) -> str:
    with pytest.raises(AssertionError) as caught:
        function(*args, **options)
    return str(caught.value)


class Five(int):
    """An int that claims to equal everything."""

    def __eq__(self, other):
        return True

    def __ne__(self, other):
        return False

    __hash__ = int.__hash__

    def __int__(self):
        return 12

    def __index__(self):
        return 12

    def __sub__(self, other):
        return 0

    __rsub__ = __sub__


class Liar:
    """Equal to everything, convertible to anything."""

    __class__ = int  # type: ignore[assignment]

    def __eq__(self, other):
        return True

    def __float__(self):
        return 12.0

    def __int__(self):
        return 12

    __index__ = __int__

    def __array__(self, dtype=None, copy=None):
        return np.array(12)

    def __bool__(self):
        return True

    def __getattr__(self, name):
        return lambda *args: 12


class LyingDict(dict):
    def __getitem__(self, key):
        return 12

    def get(self, key, default=None):
        return 12

    def items(self):
        return [("macs", 12)]

    def __contains__(self, key):
        return True


class LyingList(list):
    def __iter__(self):
        return iter([1, 2])

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return [1, 2][index]


class LyingTensor(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return 12

    def item(self):
        return 12

    def tolist(self):
        return 12


class LyingArray(np.ndarray):
    def tolist(self):
        return 12

    def item(self, *args):
        return 12

    @property
    def size(self):
        return 1


class LyingFloat(np.float64):
    def item(self, *args):
        return 12

    def __float__(self):
        return 12.0

    def __eq__(self, other):
        return True

    __hash__ = np.float64.__hash__


class LyingFloat32(np.float32):
    def item(self, *args):
        return 12


class Nameless(type):
    @property
    def __name__(cls):
        raise RuntimeError("no name")


class Odd(metaclass=Nameless):
    pass


SAME_AS_12 = [
    12,
    12.0,
    np.int8(12),
    np.uint64(12),
    np.float32(12),
    np.longdouble(12),
    np.array(12),
    np.array(12.0),
    torch.tensor(12),
    torch.tensor(12.0, dtype=torch.bfloat16),
    torch.nn.Parameter(torch.tensor(12.0)),
    Fraction(12),
    Decimal(12),
]


@pytest.mark.parametrize("answer", SAME_AS_12, ids=lambda a: f"{type(a).__name__}")
def test_numbers_of_every_kind_are_one_answer(answer: object) -> None:
    equal(answer, 12, "macs")
    close(answer, 12, "macs")
    assert "expected 13, got 12" in failure(equal, answer, 13, "macs")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "did you forget `return`"),
        (True, "expected a number, got a truth value"),
        (np.bool_(True), "got a truth value"),
        (torch.tensor(True), "got a truth value"),
        ("12", "expected a number, got text"),
        (b"12", "type bytes"),
        (float("nan"), "division by zero"),
        (float("inf"), "division by zero"),
        (-np.float32("inf"), "division by zero"),
        (torch.tensor(float("nan")), "division by zero"),
        (12 + 0j, "type complex"),
        (np.complex64(12), "could not be read|type complex"),
        (torch.tensor(12 + 0j), "could not be read|type complex"),
        ([12], "expected a number, got a list"),
        (torch.tensor([12]), "got a list"),
        ((), "got a list"),
        ({"macs": 12}, "got a dict"),
        ({12}, "got a set"),
        (lambda: 12, "type function"),
        (int, "type type"),
        (Ellipsis, "type ellipsis"),
        (NotImplemented, "NotImplementedType"),
        (torch.empty((), device="meta"), "could not be read"),
        (torch.nn.Linear(1, 1), "type Linear"),
        (10**5000, "more than 1000 bits"),
        (Liar(), "type Liar"),
        (Odd(), "type Odd"),
        (np.datetime64("2020-01-01"), "type date"),
        (np.array([None, 12], dtype=object), "did you forget|got a list"),
        (Decimal("sNaN"), "could not be read"),
    ],
    ids=itertools.count(),
)
def test_what_is_no_number_is_refused_in_a_sentence(answer: object, says: str) -> None:
    for check in (equal, close):
        message = failure(check, answer, 12, "macs")
        assert message.startswith("macs: ")
        assert any(part in message for part in says.split("|")), message
        assert message.endswith((".", "?", "it?"))


@pytest.mark.parametrize(
    "answer",
    [
        Five(5),
        LyingFloat(5),
        LyingFloat32(5),
        torch.tensor(5.0).as_subclass(LyingTensor),
        np.array(5.0).view(LyingArray),
        torch.tensor([5.0] * 3).as_subclass(LyingTensor),
        Liar(),
    ],
    ids=lambda a: type(a).__name__,
)
def test_an_object_that_lies_about_its_value_is_not_believed(answer: object) -> None:
    failure(equal, answer, 12, "macs")
    failure(close, answer, 12, "macs")


def test_the_true_value_of_a_lying_number_is_what_counts() -> None:
    equal(Five(5), 5, "macs")
    equal(torch.tensor(5.0).as_subclass(LyingTensor), 5, "macs")
    equal(np.array(5.0).view(LyingArray), 5, "macs")


def test_containers_that_lie_are_read_as_what_they_hold() -> None:
    failure(equal, LyingDict(macs=5), 12, "f()", key="macs")
    assert "no key 'macs'" in failure(equal, LyingDict(), 12, "f()", key="macs")
    failure(equal, LyingList([3, 4]), [1, 2], "pair")
    equal(LyingList([3, 4]), [3, 4], "pair")


def test_a_list_that_contains_itself_and_a_huge_one_are_refused() -> None:
    cyclic: list[object] = [1]
    cyclic.append(cyclic)
    assert "contains itself" in failure(equal, cyclic, [1, 2], "pair")
    shared: list[object] = [0] * 1000
    for _ in range(6):
        shared = [shared] * 1000
    assert "far too big" in failure(equal, shared, [1], "pair")
    big = np.broadcast_to(np.int8(0), (MAX_VALUES, MAX_VALUES))
    assert "far too many" in failure(equal, big, 12, "macs")
    assert "far too many" in failure(equal, torch.zeros(()).expand(10**6, 10**6), 12, "macs")


def test_a_pair_may_be_any_sequence_and_names_the_place_of_a_difference() -> None:
    pair = namedtuple("pair", "h w")
    for answer in ([3, 4], (3.0, 4), pair(3, 4), np.array([3, 4]), torch.Size([3, 4])):
        equal(answer, (3, 4), "size")
    equal(torch.tensor([3, 4]), [3, 4], "size")
    assert "expected 4, got 5 at [1]" in failure(equal, (3, 5), (3, 4), "size")
    assert "got a set" in failure(equal, {3, 4}, (3, 4), "size")
    assert "expected [3, 4], got [3]." in failure(equal, [3], (3, 4), "size")
    assert "got [3, 4, 5]." in failure(equal, [3, 4, 5], (3, 4), "size")


def test_tensors_are_compared_element_by_element_with_their_shape() -> None:
    right = torch.arange(1.0, 7.0).reshape(2, 3)
    close(right * (1 + 2e-7), right, "y")
    close(right.numpy() + 0.5, right, "y", rtol=0, atol=0.5)
    assert "at [0][0]" in failure(close, right.numpy() + 0.6, right, "y", rtol=0, atol=0.5)
    failure(close, right.T, right, "y")
    failure(close, right.flatten(), right, "y")


def test_names_may_come_in_any_container_and_order() -> None:
    for answer in (["b", "a"], ("a", "b"), {"a", "b"}, frozenset("ab"), np.array(["a", "b"])):
        equal(answer, {"a", "b"}, "names")
    assert "{'a', 'b'}" in failure(equal, ["a"], {"a", "b"}, "names")
    failure(equal, "ab", {"a", "b"}, "names")
    failure(equal, [["a"], "b"], {"a", "b"}, "names")


@pytest.mark.parametrize("make", [dict, OrderedDict, lambda d: defaultdict(int, d)])
def test_an_entry_of_a_dict_is_compared_by_its_key(make) -> None:
    answer = make({"macs": 12, "other": object(), 3: None})
    equal(answer, 12, "f(1)", key="macs")
    assert failure(equal, answer, 13, "f(1)", key="macs").startswith("f(1)['macs']: expected 13")
    assert "no key 'params'" in failure(equal, answer, 1, "f(1)", key="params")


@pytest.mark.parametrize("answer", [12, "macs", [("macs", 12)], Liar()], ids=type)
def test_what_is_no_dict_has_no_entries(answer: object) -> None:
    assert "expected a dict with the key 'macs'" in failure(equal, answer, 12, "f()", key="macs")
    assert "forget `return`" in failure(equal, None, 12, "f()", key="macs")


def test_a_mistake_is_named_by_the_value_it_leads_to() -> None:
    mistakes = {"batch missing": 3, "MACs doubled": 24, "FLOPs counted": 24.0, "harmless": 12}
    doubled = failure(equal, torch.tensor(24), 12, "macs", mistakes=mistakes)
    expected = "macs: expected 12, got 24. Likely mistake: MACs doubled, or FLOPs counted."
    assert doubled == expected
    assert "Likely" not in failure(equal, 7, 12, "macs", mistakes=mistakes)
    equal(12, 12, "macs", mistakes=mistakes)


def test_a_mistake_that_leads_to_the_right_value_is_never_named() -> None:
    mistakes = {"within the tolerance": 12 * (1 + 0.9 * RTOL)}
    message = failure(close, 12 * (1 + 1.5 * RTOL), 12, "macs", mistakes=mistakes)
    assert "Likely" not in message


def test_a_mistake_may_be_a_set_or_a_list() -> None:
    mistakes = {"exact fit": ["b"], "all": {"a", "b", "c"}}
    message = failure(equal, ["b"], {"a", "b"}, "fits", mistakes=mistakes)
    assert "Likely mistake: exact fit." in message


@given(st.integers(), st.integers())
def test_hidden_messages_name_the_mistake_and_show_no_value(answer: int, right: int) -> None:
    if answer == right:
        equal(answer, right, "macs", hidden=True)
        return
    message = failure(equal, answer, right, "macs", mistakes={"doubled": answer}, hidden=True)
    assert message == "macs: wrong on inputs drawn at random. Likely mistake: doubled."


@pytest.mark.parametrize("answer", [[77, 78], {"x": 77}, {77}, "77", 77.5, [77], (77, 78, 79)])
@pytest.mark.parametrize("right", [91, [91, 92], {"a91"}, "91", {"k91": 92}])
def test_hidden_messages_never_leak_the_expected_value(answer: object, right: object) -> None:
    message = failure(equal, answer, right, "f", hidden=True)
    assert not set("0123456789") & set(message), message


def test_wrong_shapes_are_named_in_hidden_messages_too() -> None:
    message = failure(equal, torch.zeros(6), torch.ones(2, 3), "f", hidden=True)
    assert message.startswith("f: wrong on inputs drawn at random (wrong shape: [6], not [2, 3]).")
    message = failure(equal, torch.ones(2, 1), [1, 1], "f")
    said = "f: expected a number, got a list of values (wrong shape: [2, 1], not [2])."
    assert message == said
    for ragged in ([[1], [1, 2]], [[1, 2], [1, 3]]):
        assert "shape" not in failure(equal, ragged, [[1, 2], [1, 2]], "f", hidden=True)


def test_close_allows_eight_float32_roundings_and_no_more() -> None:
    close(1e9 * (1 + 0.9 * RTOL), 1e9, "t")
    failure(close, 1e9 * (1 + 1.1 * RTOL), 1e9, "t")
    failure(close, 1e-30, 0.0, "t")
    product = torch.tensor(1.0)
    for factor in (0.1, 0.7, 1.3, 9.1, 3.3, 0.9, 1.7, 2.3):
        product = product * factor
    close(product, 0.1 * 0.7 * 1.3 * 9.1 * 3.3 * 0.9 * 1.7 * 2.3, "t")


def test_equal_is_exact_where_floats_are_not() -> None:
    failure(equal, 2**53 + 1, 2**53, "n")
    failure(equal, float(2**53), 2**53 + 1, "n")
    failure(equal, 0.1 + 0.2, 0.3, "n")
    equal(-0.0, 0, "n")


def test_truth_values_and_text_can_be_asked_for() -> None:
    equal(np.True_, True, "flag")
    equal(np.str_("memory"), "memory", "bound")
    failure(equal, 1, True, "flag")
    assert failure(equal, np.False_, True, "flag") == "flag: expected True, got False."
    failure(equal, "Memory", "memory", "bound")


def test_comparing_changes_nothing() -> None:
    answer, right = {"a": [1, 2]}, {"a": [1, 2]}
    equal(answer, right, "f")
    assert answer == right == {"a": [1, 2]}


def test_seeds_set_by_a_student_have_no_say_in_fresh_numbers() -> None:
    draws = set()
    for _ in range(3):
        random.seed(0)
        np.random.seed(0)  # noqa: NPY002
        torch.manual_seed(0)
        draws.add(fresh_rng().random())
    assert len(draws) == 3


def test_fresh_numbers_leave_the_global_generators_alone() -> None:
    state = random.getstate()
    fresh_rng().random()
    assert random.getstate() == state


def test_checks_still_fail_under_python_o() -> None:
    code = "from course_lib.checks import equal; equal(1, 2, 'n')"
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "AssertionError: n: expected 2, got 1." in done.stderr


# vjp: the gradients of an answer


@pytest.mark.parametrize("shape", [(), (3,), (2, 0), (2, 3)])
def test_vjp_gives_what_autograd_gives(shape: tuple[int, ...]) -> None:
    a, b, up = torch.rand(shape), torch.rand(shape), torch.rand(shape)
    pulled = vjp(lambda x, y: x * torch.sin(y), a, b, cotangent=up)
    torch.testing.assert_close(pulled.value, a * torch.sin(b))
    torch.testing.assert_close(pulled.gradients, (up * torch.sin(b), up * a * torch.cos(b)))


def test_vjp_gives_the_gradients_of_a_models_parameters_by_name() -> None:
    model, x = torch.nn.Linear(2, 3), torch.ones(4, 2)
    model.bias.requires_grad_(False)
    gradients, to_x = vjp(lambda m, x: m(x).sum(), model, x).gradients
    assert list(gradients) == ["weight"]
    torch.testing.assert_close(gradients["weight"], torch.full((3, 2), 4.0))
    torch.testing.assert_close(to_x, model.weight.detach().sum(0).expand(4, 2))


def test_vjp_changes_neither_arguments_nor_their_gradients() -> None:
    model, x = torch.nn.Linear(2, 1), torch.ones(1, 2)
    vjp(lambda m, x: m(x), model, x)
    assert model.weight.grad is None
    assert x.grad is None
    assert not x.requires_grad


def test_vjp_gives_zeros_where_nothing_depends_and_none_for_what_is_no_tensor() -> None:
    gradients = vjp(lambda x, y, n: n * x, torch.ones(2), torch.ones(3), 2).gradients
    torch.testing.assert_close(gradients[:2], (torch.full((2,), 2.0), torch.zeros(3)))
    assert gradients[2] is None


@pytest.mark.parametrize("cut", [lambda x: x.detach(), lambda x: torch.ones(2), torch.sign])
def test_vjp_says_when_no_gradient_flows_back(cut) -> None:
    if cut is torch.sign:  # its gradient exists and is zero: that is an answer
        assert vjp(cut, torch.ones(2)).gradients[0].tolist() == [0, 0]
        return
    assert "no gradient flows back" in failure(vjp, cut, torch.ones(2))


@pytest.mark.parametrize("result", [None, 1.0, [torch.ones(1)]], ids=lambda r: type(r).__name__)
def test_vjp_refuses_what_is_no_tensor(result: object) -> None:
    assert type(result).__name__ in failure(vjp, lambda x: result, torch.ones(2))


def test_vjp_names_its_own_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="cotangent"):
        vjp(torch.relu, torch.ones(2), cotangent=torch.ones(3))
    with pytest.raises(TypeError, match="floating-point tensor"):
        vjp(torch.relu, torch.ones(2, dtype=torch.int64))
