"""The codec on its own: what goes in comes out, and nothing that comes in can do harm."""

from __future__ import annotations

import json
import math
import socket
import tracemalloc
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from autograder.judging import effects, errors, names, raw, unpack
from autograder.judging.errors import ChannelClosed, CodecError
from autograder.judging.pack import Packer
from autograder.judging.unpack import Unpacker
from autograder.judging.wire import MAX_BODY, Wire

FEW = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


def no_handle(value):
    raise CodecError(f"{type(value).__name__} is no data.")


def through(value, *, strict=True):
    """Send a value across, by way of bytes."""
    packer = Packer(no_handle, strict=strict, classes={})
    packed = json.loads(json.dumps(packer.pack(value), allow_nan=False))
    buffers = [memoryview(bytes(buffer)) for buffer in packer.buffers]
    return Unpacker(buffers, no_handle, strict=strict, classes={}).read(packed)


atoms = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.binary(),
    st.complex_numbers(allow_nan=False),
    st.fractions(),
    st.decimals(allow_nan=False, places=3),
    st.builds(slice, st.integers(), st.none(), st.integers()),
    st.sampled_from([torch.float16, torch.Size([2, 0]), ..., range(2, 9, 3), int]),
)
keys = st.one_of(st.integers(), st.text(), st.booleans(), st.tuples(st.integers(), st.text()))
values = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(keys, inner, max_size=4),
        st.frozensets(keys, max_size=4),
        st.sets(keys, max_size=4),
    ),
    max_leaves=20,
)


def same(a, b) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return a == b or (isinstance(a, float) and math.isnan(a) and math.isnan(b))


@FEW
@given(values)
def test_values_come_out_as_they_went_in(value):
    assert same(through(value), value)


@pytest.mark.parametrize("dtype", raw.DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 3), (2, 3)])
def test_tensors_of_every_dtype_and_shape(dtype: str, shape: tuple[int, ...]):
    count = math.prod(shape)
    tensor = (torch.arange(count) % 2).to(raw.DTYPES[dtype]).reshape(shape)
    for given_ in (tensor, tensor.T if tensor.ndim == 2 else tensor):
        back = through(given_)
        assert back.dtype == given_.dtype
        assert back.shape == given_.shape
        assert back.to(torch.complex64).tolist() == given_.to(torch.complex64).tolist()


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3).T,
        np.array("ä"),
        np.array(["a", "bcd"]),
        np.array([True, False]),
        np.array([], dtype=np.int8),
        np.array(3, dtype=">i4"),
        np.longdouble(3) * np.ones(2),
        np.array([None, 1], dtype=object),
        np.array([b"x"]),
    ],
    ids=lambda a: f"{a.dtype.kind}{a.ndim}",
)
def test_arrays(array):
    back = through(array)
    assert (back.dtype, back.shape, back.tolist()) == (array.dtype, array.shape, array.tolist())


def test_what_is_one_object_stays_one_object():
    part, weight = [1], nn.Parameter(torch.ones(2))
    back = through([part, part, {"a": part}, weight, weight])
    assert back[0] is back[1] is back[2]["a"]
    assert back[3] is back[4]
    assert type(back[3]) is nn.Parameter


def test_subclasses_arrive_as_what_they_extend():
    class Word(str):
        pass

    class Box(dict):
        def items(self):
            return [("lie", 1)]

    back = through([Word("a"), Box(b=2)])
    assert back == ["a", {"b": 2}]
    assert [type(part) for part in back] == [str, dict]


def test_a_view_of_a_lot_is_refused_before_it_is_copied():
    for big in (torch.zeros(()).expand(10**5, 10**6), np.broadcast_to(np.int8(0), (10**6, 10**6))):
        with pytest.raises(CodecError, match="MB"):
            through(big)


tags = st.sampled_from([*unpack._READERS, "nonsense"])
names_ = st.sampled_from(
    [
        "torch",
        "os",
        "system",
        "builtins",
        "eval",
        "torch.nn.modules.linear",
        "Linear",
        "course_lib.cost.result",
        "ModelCost",
        "float32",
        "<f8",
        "|O",
        "__main__",
        "O",
        "sparse_coo",
        "cpu",
        "nan",
        "float999",
        "relu",
    ]
)
junk = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-3, 5), st.integers(), names_, st.text(max_size=3)
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.builds(lambda tag, parts: [tag, *parts], tags, st.lists(inner, max_size=7)),
    ),
    max_leaves=25,
)
BUFFERS = [memoryview(bytes(n)) for n in (0, 1, 4, 8, 5056)]


@settings(max_examples=600, deadline=None, suppress_health_check=list(HealthCheck))
@given(junk)
def test_junk_is_read_or_refused_and_nothing_else(packed):
    with suppress(CodecError):
        Unpacker(BUFFERS, no_handle, strict=True, classes={}, arguments=[[1]], lives=[]).read(
            packed
        )


LAYER = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.LSTM(2, 3))
SAMPLE = {
    "a": [1, (2.5, "x"), np.arange(3), torch.ones(2, 2)],
    "m": LAYER,
    "s": torch.eye(2).to_sparse(),
}


@FEW
@given(st.data())
def test_an_honest_message_with_one_part_replaced_is_read_or_refused(data):
    packer = Packer(no_handle, strict=True, classes={})
    packed = json.loads(json.dumps(packer.pack(SAMPLE)))
    place = packed
    while True:
        index = data.draw(st.integers(0, len(place) - 1))
        if not isinstance(place[index], list) or not place[index] or data.draw(st.booleans()):
            break
        place = place[index]
    place[index] = data.draw(junk)
    buffers = [memoryview(bytes(buffer)) for buffer in packer.buffers]
    with suppress(CodecError):
        Unpacker(buffers, no_handle, strict=True, classes={}).read(packed)


@FEW
@given(st.lists(st.tuples(st.integers(-1, 6), junk), max_size=3))
def test_junk_done_to_arguments_is_refused_and_nothing_else(changes):
    originals = [[1], {"a": 1}, {2}, torch.ones(2), np.ones(2), nn.Linear(2, 2), bytearray(b"x")]
    unpacker = Unpacker(BUFFERS, no_handle, strict=True, classes={})
    with suppress(CodecError):
        effects.apply(unpacker, originals, changes)


@FEW
@given(st.one_of(junk, st.dictionaries(st.sampled_from(["kind", "name", "message"]), junk)))
def test_an_exception_can_be_made_of_anything(said):
    assert isinstance(errors.rebuild(said), Exception)


@pytest.mark.parametrize("name", errors.KNOWN)
def test_only_plain_exceptions_are_made(name: str):
    made = errors.rebuild({"kind": name, "name": name, "message": "m"})
    assert type(made).__module__ in ("builtins", "autograder.judging.errors")


def receive(data: bytes):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(20)
        theirs.setblocking(False)
        theirs.send(data)
        theirs.shutdown(socket.SHUT_WR)
        return Wire(ours).receive()


@FEW
@given(st.binary(max_size=200), st.booleans())
def test_garbage_closes_the_channel_and_does_nothing_else(data: bytes, marked: bool):
    with pytest.raises(ChannelClosed):
        receive((b"edl1" if marked else b"") + data)


@FEW
@given(st.lists(st.binary(max_size=300), max_size=4), st.integers(1, 50), st.data())
def test_a_frame_arrives_whole_or_not_at_all(buffers: list[bytes], size: int, data):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        Wire(ours).send({"id": "x" * size}, buffers)
        frame = theirs.recv(10**6)
    header, back = receive(frame)
    assert header["id"] == "x" * size
    assert [bytes(buffer) for buffer in back] == buffers
    with pytest.raises(ChannelClosed):
        receive(frame[: data.draw(st.integers(0, len(frame) - 1))])


def test_two_frames_may_arrive_at_once():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for number in range(3):
            Wire(ours).send({"n": number}, [b"abc" * number])
        wire = Wire(theirs)
        assert [wire.receive()[0]["n"] for _ in range(3)] == [0, 1, 2]


def test_a_claim_of_much_sets_nothing_aside():
    claim = b"edl1" + (10).to_bytes(4, "big") + MAX_BODY.to_bytes(8, "big") + b'{"a":1}   '
    tracemalloc.start()
    with pytest.raises(ChannelClosed):
        receive(claim)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * 2**20
    with pytest.raises(ChannelClosed, match="wrote into"):
        receive(b"edl1" + bytes(4) + (2**63).to_bytes(8, "big"))


def test_once_broken_the_channel_stays_closed():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        wire = Wire(ours)
        theirs.send(b"garbage, longer than a prefix")
        for _ in range(2):
            with pytest.raises(ChannelClosed, match="wrote into"):
                wire.receive()
        with pytest.raises(ChannelClosed, match="wrote into"):
            wire.send({})


def test_nothing_in_the_judge_unpickles():
    for path in Path(effects.__file__).parent.glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text
        assert "torch.load" not in text
        assert (
            path.name in ("trusted_side.py", "namespace.py", "student_side.py")
            or "exec(" not in text
        )


@pytest.mark.parametrize(
    ("source", "bound", "needed"),
    [
        ("x = y", {"x"}, {"y"}),
        ("import a.b, c as d", {"a", "d"}, set()),
        ("def f(u): return u + v", {"f"}, {"v"}),
        ("def f():\n    global g\n    g = 1", {"f", "g"}, set()),
        ("for i in r: pass", {"i"}, {"r"}),
        ("class C(B): z = 1", {"C"}, {"B"}),
        ("[k for k in s]", set(), {"s"}),
        ("with a as (b, c): pass", {"b", "c"}, {"a"}),
        ("if (n := m): pass", {"n"}, {"m"}),
        ("x === y", set(), set()),
    ],
)
def test_names_are_read_from_the_source(source: str, bound: set[str], needed: set[str]):
    assert names.bound(source) == bound
    assert names.needed(source) - bound == needed


def test_magics_and_shell_lines_become_calls():
    assert "run_line_magic" in names.plain_python("%matplotlib inline\nx = 1")
