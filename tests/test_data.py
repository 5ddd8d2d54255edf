"""Data: the splits, the cache and what can happen to it, the sources, the log of test openings."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import stat
import struct
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from course_lib import _cache, _idx, _parquet, _sources, data

# Small copies are what most tests stand on; one test is about this warning.
pytestmark = pytest.mark.filterwarnings("ignore:This copy of")

ROOT = Path(__file__).parents[1]
LABELS_SHA256 = {
    "train": "f84d4cd98e3fc1464d4b7bc0cbb3aed07ee1059a0b53538bf9a6d7fa818c7824",
    "validation": "c7daa4ee0422c816312e100e05685a2fa4d1595b459160cb1904a65c965d0e94",
    "test": "2fd8de6bdb8d11780b4b96dc57847bcfe6953f7c32aa48bfcd8237c3b7847243",
}


@pytest.fixture(scope="session")
def mnist(tmp_path_factory):
    """MNIST with a cache of its own; the tests that damage caches use other folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_CACHE_DIR", str(tmp_path_factory.mktemp("mnist")))
        data.load("mnist")
        yield data.load("mnist")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty cache folder, and no data set but those inside the package."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("COURSE_CACHE_DIR", str(folder))
    monkeypatch.delenv("COURSE_DATA_DIR", raising=False)
    monkeypatch.setattr(_cache, "_reported", set())
    return folder


def sha256(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.numpy()).hexdigest()


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape) + array.tobytes()


def images_and_labels(count: int, shape: tuple[int, ...], seed: int = 0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, *shape), dtype=np.uint8)
    return images, rng.integers(0, 10, count, dtype=np.uint8)


def write_fashion(root: Path, train: int = 48, test: int = 10, packed: bool = True) -> dict:
    """A small Fashion-MNIST in torchvision's layout; returns what it holds."""
    folder = root / "FashionMNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    content = {}
    for part, count, seed in (("train", train, 0), ("t10k", test, 1)):
        images, labels = images_and_labels(count, (28, 28), seed)
        content[part] = (images, labels)
        for kind, array in (("images-idx3-ubyte", images), ("labels-idx1-ubyte", labels)):
            path = folder / f"{part}-{kind}"
            if packed:
                path.with_suffix(".gz").write_bytes(gzip.compress(idx_bytes(array)))
            else:
                path.write_bytes(idx_bytes(array))
    return content


def png(pixels: np.ndarray) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_shard(path: Path, images, labels, column: str = "img", names=None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    encoded = [{"bytes": image if isinstance(image, bytes) else png(image)} for image in images]
    table = pa.table(
        {
            "id": list(range(len(labels))),  # a column that is nobody's business
            column: pa.array(encoded, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            "label": pa.array([int(label) for label in labels], pa.int64()),
        }
    )
    if names:
        features = {"label": {"names": names, "_type": "ClassLabel"}}
        info = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": info})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)


def write_cifar(folder: Path, shards: int = 2, names=None, column: str = "img") -> dict:
    content = {}
    for part, count, seed in (("train", 40, 0), ("test", 6, 1)):
        images, labels = images_and_labels(count, (32, 32, 3), seed)
        content[part] = (images, labels)
        pieces = zip(np.array_split(images, shards), np.array_split(labels, shards), strict=True)
        for i, piece in enumerate(pieces):
            path = folder / f"{part}-{i:05d}-of-{shards:05d}.parquet"
            write_shard(path, *piece, column=column, names=names)
    return content


@pytest.fixture
def fashion(tmp_path, monkeypatch):
    """A small Fashion-MNIST that load() finds; its size is not the published one, so it warns."""
    content = write_fashion(tmp_path / "data")
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "data"))
    return content


# --- MNIST and its splits


def test_mnist_is_the_published_one_in_the_published_order(mnist):
    pair = torch.arange(60_000) // 2
    images = torch.empty(60_000, 1, 28, 28, dtype=torch.uint8)
    images[pair % 12 == 11] = mnist.validation.images
    images[pair % 12 != 11] = mnist.train.images
    # the sha256 of the published file, less its header of 16 bytes
    raw = _idx.contents(ROOT / "course_lib/assets/mnist/train-images-idx3-ubyte.gz")
    published = "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
    assert hashlib.sha256(raw).hexdigest() == published
    assert hashlib.sha256(raw[:16] + images.numpy().tobytes()).hexdigest() == published


@pytest.mark.parametrize(
    ("part", "count"), [("train", 55_000), ("validation", 5_000), ("test", 10_000)]
)
def test_mnist_splits_are_fixed(mnist, part, count):
    split = mnist._test if part == "test" else getattr(mnist, part)
    assert split.images.shape == (count, 1, 28, 28)
    assert split.images.dtype == torch.uint8
    assert split.labels.shape == (count,)
    assert split.labels.dtype == torch.int64
    assert split.images.is_contiguous()
    assert sha256(split.labels) == LABELS_SHA256[part]


@pytest.mark.parametrize("part", ["train", "validation", "_test"])
def test_every_mnist_split_holds_every_digit_at_its_share(mnist, part):
    share = mnist.train.labels.bincount() / len(mnist.train)
    split = getattr(mnist, part)
    count = len(split)
    deviation = (count * share * (1 - share)).sqrt()
    # Four standard deviations of a random draw of that size.
    assert ((split.labels.bincount() - count * share).abs() <= 4 * deviation).all()


def test_mnist_validation_images_are_as_heavy_as_the_train_images(mnist):
    # `index % 12 == 11` fails here by 14 standard errors: MNIST alternates light and heavy images.
    train, validation = (
        split.images.double().mean((1, 2, 3)) for split in (mnist.train, mnist.validation)
    )
    error = train.std() / len(validation) ** 0.5
    assert (validation.mean() - train.mean()).abs() < 4 * error


def test_mean_and_std_are_those_of_the_train_split(mnist):
    pixels = mnist.train.images.numpy() / 255
    assert mnist.mean == pytest.approx([pixels.mean()], rel=1e-12)
    assert mnist.std == pytest.approx([pixels.std()], rel=1e-9)
    assert (round(mnist.mean[0], 4), round(mnist.std[0], 4)) == (0.1307, 0.3081)


def test_every_split_is_normalized_as_the_train_split(mnist):
    for split in (mnist.train, mnist.validation, mnist._test):
        assert (split.mean, split.std) == (mnist.mean, mnist.std)
    inputs = mnist.train.inputs()
    assert abs(float(inputs.double().mean())) < 1e-6
    assert float(inputs.double().std()) == pytest.approx(1, abs=1e-6)


def test_a_dataset_describes_itself_in_one_line(mnist):
    text = repr(mnist)
    assert "\n" not in text
    assert "55,000 train" in text
    assert "1×28×28" in text
    assert "55,000" in repr(mnist.train)


def test_names_are_what_load_knows():
    assert data.names() == ("mnist", "fashion_mnist", "cifar10")


@pytest.mark.parametrize("name", ["imagenet", "MNIST", "", None, 3, ["mnist"]])
def test_an_unknown_name_is_answered_with_the_list(name):
    with pytest.raises(
        ValueError, match=r"name must be one of cifar10, fashion_mnist, mnist; got"
    ):
        data.load(name)


# --- Split


def split_of(count: int, channels: int = 3, size: int = 5) -> data.Split:
    generator = torch.Generator().manual_seed(count)
    images = torch.randint(
        0, 256, (count, channels, size, size), dtype=torch.uint8, generator=generator
    )
    mean = tuple(0.1 * (i + 1) for i in range(channels))
    std = tuple(0.2 * (i + 1) for i in range(channels))
    return data.Split(images, torch.arange(count) % 10, mean, std)


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_inputs_agree_with_torchvision(channels):
    from torchvision.transforms.functional import normalize, to_tensor

    split = split_of(7, channels)
    pictures = [to_tensor(image.permute(1, 2, 0).numpy()) for image in split.images]
    expected = torch.stack([normalize(p, split.mean, split.std) for p in pictures])
    torch.testing.assert_close(split.inputs(), expected)


@pytest.mark.parametrize(
    "indices",
    [
        [2, 0, 2],
        (1,),
        range(3),
        [],
        torch.tensor([4, -1]),
        torch.tensor([], dtype=torch.int64),
        torch.tensor([3, 1], dtype=torch.uint8),
        np.array([1, 2]),
        slice(1, 4),
        slice(0, 0),
        torch.tensor([True, False, True, False, True]),
        [False] * 5,
    ],
    ids=repr,
)
def test_inputs_selects_by_indices(indices):
    split = split_of(5)
    index = indices if isinstance(indices, slice) else np.asarray(indices)
    if not isinstance(index, slice) and index.size == 0:
        index = index.astype(int)
    expected = split.inputs().numpy()[index]
    chosen = split.inputs(indices)
    assert chosen.dtype == torch.float32
    np.testing.assert_array_equal(chosen.numpy(), expected)


@pytest.mark.parametrize(
    "indices", [3, 1.5, "12", [0.5], [[0, 1]], torch.tensor(2), {1, 2}, [None]]
)
def test_inputs_rejects_what_is_no_index(indices):
    with pytest.raises(TypeError, match="indices must be a slice, a list or a tensor of integers"):
        split_of(5).inputs(indices)


@pytest.mark.parametrize("indices", [[5], [-6], torch.tensor([0, 99]), [True, False]])
def test_inputs_rejects_indices_outside_of_the_split(indices):
    with pytest.raises(IndexError, match="indices"):
        split_of(5).inputs(indices)


def test_inputs_leaves_the_images_as_they_are():
    split = split_of(4)
    before = split.images.clone()
    split.inputs().zero_()
    split.inputs(slice(None)).zero_()
    assert torch.equal(split.images, before)


@pytest.mark.parametrize("n", [0, 1, 4, 5])
def test_head_is_the_first_n_images(n):
    split = split_of(5)
    head = split.head(n)
    assert len(head) == n
    assert torch.equal(head.images, split.images[:n])
    assert torch.equal(head.labels, split.labels[:n])
    assert head.inputs().shape == (n, 3, 5, 5)
    if n:
        assert head.images.data_ptr() == split.images.data_ptr()


@pytest.mark.parametrize("n", [-1, 6, 2.0, True, "3"])
def test_head_rejects_what_the_split_cannot_give(n):
    with pytest.raises((ValueError, TypeError), match=r"n must be an integer in 0\.\.5, got"):
        split_of(5).head(n)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"images": torch.zeros(2, 1, 4, 4)}, TypeError, "images must be torch.uint8"),
        ({"images": np.zeros((2, 1, 4, 4), np.uint8)}, TypeError, "images must be a torch.Tensor"),
        ({"images": torch.zeros(2, 4, 4, dtype=torch.uint8)}, ValueError, "4 dimensions"),
        ({"labels": torch.zeros(2)}, TypeError, "labels must be torch.int64"),
        ({"labels": torch.zeros(3, dtype=torch.int64)}, ValueError, "2 images and 3 labels"),
        ({"mean": (0.1, 0.2)}, ValueError, "each of the 1 channels"),
        ({"std": (0.0,)}, ValueError, "std must be positive"),
        ({"std": (float("nan"),)}, ValueError, "std must be positive"),
    ],
)
def test_a_split_refuses_parts_that_do_not_fit(change, error, message):
    parts = {
        "images": torch.zeros(2, 1, 4, 4, dtype=torch.uint8),
        "labels": torch.zeros(2, dtype=torch.int64),
        "mean": (0.5,),
        "std": (0.5,),
    }
    with pytest.raises(error, match=message):
        data.Split(**{**parts, **change})


# --- the log of test openings


def test_opening_the_test_split_records_claim_caller_and_time(mnist, cache):
    before = len(data.test_openings())
    split = mnist.open_test("pruning keeps accuracy")
    *_, opening = data.test_openings()
    assert len(data.test_openings()) == before + 1
    assert opening.dataset == "mnist"
    assert opening.claim == "pruning keeps accuracy"
    assert opening.caller.startswith(f"{__file__}:")
    assert opening.when.endswith("+00:00")
    assert len(split) == 10_000
    lines = (cache / "test_openings.jsonl").read_text().splitlines()
    assert json.loads(lines[-1]) == {
        "dataset": "mnist",
        "claim": "pruning keeps accuracy",
        "when": opening.when,
        "caller": opening.caller,
    }


def test_the_test_property_records_that_no_claim_was_stated(mnist):
    line = sys._getframe().f_lineno + 1
    assert len(mnist.test) == 10_000
    assert data.test_openings()[-1].claim == "not stated"
    assert data.test_openings()[-1].caller == f"{__file__}:{line}"


def test_the_log_file_keeps_every_opening(mnist, cache):
    for claim in ("first", "second", "with\na line break"):
        mnist.open_test(claim)
    lines = (cache / "test_openings.jsonl").read_text().splitlines()
    assert [json.loads(line)["claim"] for line in lines] == [
        "first",
        "second",
        "with\na line break",
    ]


def test_loading_and_printing_open_nothing(fashion):
    before = data.test_openings()
    dataset = data.load("fashion_mnist")
    repr(dataset)
    dataset.train.inputs([0])
    assert data.test_openings() == before


@pytest.mark.parametrize("claim", ["", "  \n", None, 3])
def test_a_claim_must_say_something(mnist, claim):
    before = data.test_openings()
    with pytest.raises((TypeError, ValueError), match="claim must"):
        mnist.open_test(claim)
    assert data.test_openings() == before


def test_an_opening_survives_a_log_that_cannot_be_written(mnist, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "file" / "below"))
    mnist.open_test("the disk is full")
    assert data.test_openings()[-1].claim == "the disk is full"


def test_a_notebook_cell_is_named_by_its_number(mnist):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell(user_ns={"mnist": mnist})
    shell.run_cell("first = 1", store_history=True)
    second = shell.run_cell("second = 2\nmnist.test;", store_history=True)
    second.raise_error()
    assert data.test_openings()[-1].caller == f"notebook cell [{second.execution_count}], line 2"
    assert second.execution_count == 2


# --- the cache


def damage_by_truncation(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1000)


def damage_by_emptying(path: Path) -> None:
    os.truncate(path, 0)


def damage_with_garbage(path: Path) -> None:
    path.write_bytes(os.urandom(5000))


def damage_with_a_huge_header(path: Path) -> None:
    path.write_bytes(b"\xff" * 8 + path.read_bytes()[8:])


def damage_with_foreign_safetensors(path: Path) -> None:
    save_file({"weights": torch.ones(3)}, path)


def damage_by_another_version(path: Path) -> None:
    stored = _cache.read(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_cache, "_FORMAT", 1)
        assert _cache.write(path, stored)


def damage_the_mean(path: Path) -> None:
    raw = path.read_bytes()
    assert b'\\"mean\\": [0.' in raw
    path.write_bytes(raw.replace(b'\\"mean\\": [0.', b'\\"mean\\": [1.'))


DAMAGES = [value for name, value in list(globals().items()) if name.startswith("damage_")]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda f: f.__name__)
def test_a_damaged_cache_is_named_and_rebuilt(fashion, cache, damage):
    good = data.load("fashion_mnist")
    images = good.train.images.clone()  # the mapping itself ends where the file is cut off
    path = cache / "fashion_mnist.safetensors"
    damage(path)
    with pytest.warns(RuntimeWarning, match=r"fashion_mnist\.safetensors .*it will be rebuilt"):
        again = data.load("fashion_mnist")
    assert torch.equal(again.train.images, images)
    assert again.mean == good.mean
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.filterwarnings("ignore", message="This copy of")
        data.load("fashion_mnist")


def test_any_flipped_bit_is_noticed(fashion, cache):
    data.load("fashion_mnist")
    path = cache / "fashion_mnist.safetensors"
    good = path.read_bytes()
    header = 8 + struct.unpack("<Q", good[:8])[0]
    rng = np.random.default_rng(0)
    unnoticed = []
    for place in [*range(header), *rng.integers(header, len(good), 60), len(good) - 1]:
        flipped = bytearray(good)
        flipped[place] ^= 1 << int(rng.integers(8))
        path.unlink()  # the mapping of the last round keeps its own file
        path.write_bytes(flipped)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            stored = _cache.read(path)
        if stored is not None or "will be rebuilt" not in str(caught[-1].message):
            unnoticed.append(place)
    assert unnoticed == []


def test_a_changed_source_rebuilds_the_cache(fashion, tmp_path):
    first = data.load("fashion_mnist")
    write_fashion(tmp_path / "data", train=72)
    with pytest.warns(RuntimeWarning, match="made from source files that have changed"):
        second = data.load("fashion_mnist")
    assert (len(first.train), len(second.train)) == (44, 66)


@pytest.mark.filterwarnings("ignore:The cache file")
def test_a_rebuilt_cache_leaves_tensors_that_are_in_use_alone(fashion, tmp_path):
    first = data.load("fashion_mnist")
    images = first.train.images.clone()
    write_fashion(tmp_path / "data", train=72)
    data.load("fashion_mnist")
    assert torch.equal(first.train.images, images)


def test_a_source_that_is_gone_leaves_the_cache_in_use(fashion, monkeypatch):
    first = data.load("fashion_mnist")
    monkeypatch.delenv("COURSE_DATA_DIR")
    assert torch.equal(data.load("fashion_mnist").train.images, first.train.images)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads Linux's /proc")
def test_loaded_tensors_are_mapped_from_the_cache_file(fashion, cache):
    for _ in ("just decoded", "read from the cache"):
        dataset = data.load("fashion_mnist")
        for split in (dataset.train, dataset.validation, dataset._test):
            for tensor in (split.images, split.labels):
                assert mapping_of(tensor.data_ptr()) == str(cache / "fashion_mnist.safetensors")


def mapping_of(address: int) -> str:
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, *_, name = line.split(maxsplit=5)
        low, high = (int(end, 16) for end in span.split("-"))
        if low <= address < high:
            return name
    return "nothing"


def test_writing_to_a_tensor_never_reaches_the_cache(fashion, cache):
    dataset = data.load("fashion_mnist")
    before = (cache / "fashion_mnist.safetensors").read_bytes()
    dataset.train.images.zero_()
    dataset.train.labels.fill_(3)
    assert (cache / "fashion_mnist.safetensors").read_bytes() == before
    assert data.load("fashion_mnist").train.images.any()


@pytest.mark.parametrize("obstacle", ["file in the way", "folder in place of the file"])
def test_a_cache_that_cannot_be_written_is_reported_once_and_does_without(
    fashion, cache, monkeypatch, obstacle
):
    if obstacle == "file in the way":
        cache.touch()
    else:
        (cache / "fashion_mnist.safetensors" / "x").mkdir(parents=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        first = data.load("fashion_mnist")
        second = data.load("fashion_mnist")
    assert sum("cannot be written" in str(w.message) for w in caught) == 1
    assert torch.equal(first.train.images, second.train.images)
    assert len(first.train) == 44
    assert not list(cache.parent.glob("**/*.tmp"))


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **environment}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT
    )


def test_a_full_disk_leaves_no_half_written_file(fashion, cache):
    code = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "from course_lib import data\n"
        "print(len(data.load('fashion_mnist').train))"
    )
    result = run_python(code)
    assert result.stdout.strip() == "44", result.stderr
    assert "cannot be written (File too large)" in result.stderr
    assert list(cache.iterdir()) == []


def test_processes_that_build_the_cache_at_once_agree(fashion, cache):
    code = (
        "import hashlib\nfrom course_lib import data\n"
        "for _ in range(5):\n"
        "    images = data.load('fashion_mnist').train.images\n"
        "    print(hashlib.sha256(images.numpy()).hexdigest())\n"
        "    (data._cache.folder() / 'fashion_mnist.safetensors').unlink(missing_ok=True)"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        for _ in range(3)
    ]
    hashes = [child.communicate()[0].split() for child in children]
    assert [child.returncode for child in children] == [0, 0, 0]
    assert {h for of_child in hashes for h in of_child} == {
        sha256(data.load("fashion_mnist").train.images).encode()
    }
    assert not list(cache.glob("*.tmp"))


def test_the_cache_can_be_read_by_whoever_may_read_its_folder(fashion, cache):
    old = os.umask(0o022)
    try:
        data.load("fashion_mnist")
    finally:
        os.umask(old)
    mode = (cache / "fashion_mnist.safetensors").stat().st_mode
    assert stat.S_IMODE(mode) == 0o644


def test_the_cache_folder_follows_the_environment(monkeypatch, tmp_path):
    assert _cache.folder() == tmp_path / "cache"
    monkeypatch.delenv("COURSE_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert _cache.folder() == tmp_path / "xdg" / "course_lib"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _cache.folder() == tmp_path / ".cache" / "course_lib"


# --- idx files


@pytest.mark.parametrize("shape", [(0,), (1,), (7,), (3, 2, 5), (0, 4, 4), (2, 1, 1)])
@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_round_trip(tmp_path, shape, packed):
    array = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    path = tmp_path / ("x.gz" if packed else "x")
    path.write_bytes(gzip.compress(idx_bytes(array)) if packed else idx_bytes(array))
    tensor = _idx.read(path, array.ndim)
    np.testing.assert_array_equal(tensor.numpy(), array)
    tensor.fill_(1)  # it is the caller's own


GOOD = idx_bytes(np.arange(24, dtype=np.uint8).reshape(2, 3, 4))


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "too short"),
        (GOOD[:15], "too short"),
        (GOOD[:-1], "24 elements.*23 bytes follow"),
        (GOOD + b"\0", "24 elements.*25 bytes follow"),
        (b"\0\0\x0d" + GOOD[3:], "starts with 00000d03, not 00000803"),
        (b"\0\0\x08\x01" + GOOD[4:], "starts with 00000801, not 00000803"),
        (b"\1" + GOOD[1:], "starts with 01000803"),
        (GOOD[:4] + b"\xff" * 12, "0 bytes follow"),
    ],
)
def test_a_damaged_idx_file_is_named(tmp_path, raw, message):
    path = tmp_path / "images"
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=message) as caught:
        _idx.read(path, ndim=3)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b[:-10],
        lambda b: b"not gzip",
        lambda b: b[:40] + b"\0\0\0" + b[43:],
        lambda b: b"",
    ],
)
def test_a_damaged_gz_file_is_named(tmp_path, damage):
    path = tmp_path / "images.gz"
    path.write_bytes(damage(gzip.compress(bytes(range(256)))))
    with pytest.raises(ValueError, match=r"images\.gz is"):
        _idx.read(path, ndim=3)


def test_a_damaged_mnist_asset_is_named(tmp_path, monkeypatch):
    for path in (ROOT / "course_lib/assets/mnist").glob("*.gz"):
        target = tmp_path / "assets" / "mnist" / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.name.startswith("t10k-labels"):
            raw = bytearray(gzip.decompress(path.read_bytes()))
            raw[100] ^= 1  # another label
            target.write_bytes(gzip.compress(raw))
        else:
            target.symlink_to(path)
    monkeypatch.setattr(_sources, "files", lambda package: tmp_path)
    with pytest.raises(ValueError, match=r"t10k-labels-idx1-ubyte\.gz is not the published file"):
        data.load("mnist")


# --- Fashion-MNIST


@pytest.mark.parametrize("packed", [True, False])
def test_fashion_mnist_is_read_from_torchvisions_layout(tmp_path, cache, monkeypatch, packed):
    content = write_fashion(tmp_path / "data", packed=packed)
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "data"))
    dataset = data.load("fashion_mnist")
    images, labels = content["train"]
    held_out = np.arange(48) // 2 % 12 == 11
    np.testing.assert_array_equal(dataset.train.images[:, 0].numpy(), images[~held_out])
    np.testing.assert_array_equal(dataset.validation.images[:, 0].numpy(), images[held_out])
    np.testing.assert_array_equal(dataset.validation.labels.numpy(), labels[held_out])
    np.testing.assert_array_equal(dataset._test.labels.numpy(), content["t10k"][1])
    assert dataset.classes[0] == "T-shirt/top"
    assert len(dataset.classes) == 10


def test_what_torchvision_downloaded_is_found_in_the_cache_folder(cache):
    write_fashion(cache / "downloads")
    assert len(data.load("fashion_mnist").validation) == 4


def test_a_copy_of_another_size_is_named(fashion):
    with pytest.warns(RuntimeWarning, match=r"fashion_mnist holds 48 training and 10 test images"):
        data.load("fashion_mnist")


def test_a_copy_too_small_to_split_is_refused(tmp_path, monkeypatch):
    write_fashion(tmp_path, train=5)
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="too few images for a validation split"):
        data.load("fashion_mnist")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-labels-idx1-ubyte", np.zeros(47, np.uint8), "48 images.* 47 labels"),
        ("train-labels-idx1-ubyte", np.full(48, 10, np.uint8), r"labels in 10\.\.10"),
        ("t10k-images-idx3-ubyte", np.zeros((10, 27, 28), np.uint8), r"shape \(1, 27, 28\)"),
    ],
)
def test_files_that_do_not_fit_together_are_named(fashion, tmp_path, name, array, message):
    path = tmp_path / "data" / "FashionMNIST" / "raw" / f"{name}.gz"
    path.write_bytes(gzip.compress(idx_bytes(array)))
    with pytest.raises(ValueError, match=message) as caught:
        data.load("fashion_mnist")
    assert name.split("-")[0] in str(caught.value)


def test_a_missing_data_set_says_what_to_do():
    for name in ("fashion_mnist", "cifar10"):
        with pytest.raises(
            FileNotFoundError, match=r"download=True.*COURSE_DATA_DIR.*MNIST needs"
        ):
            data.load(name)


def test_a_failed_download_says_what_to_do(monkeypatch):
    from urllib.error import URLError

    from torchvision.datasets import mnist as torchvision_mnist

    def no_network(*args, **options):
        raise URLError("Name or service not known")

    monkeypatch.setattr(torchvision_mnist, "download_and_extract_archive", no_network)
    with pytest.raises(FileNotFoundError, match=r"not downloaded .*Name or service.*COURSE_DATA"):
        data.load("fashion_mnist", download=True)


def test_a_requested_download_is_used_and_then_kept(cache, monkeypatch):
    from torchvision import datasets

    calls = []

    def fake_download(root, download):
        calls.append(root)
        write_fashion(root)

    monkeypatch.setattr(datasets, "FashionMNIST", fake_download)
    data.load("fashion_mnist", download=True)
    data.load("fashion_mnist", download=True)
    assert calls == [cache / "downloads"]


# --- parquet folders and CIFAR-10


@pytest.mark.parametrize("inside", ["", "cifar10"])
@pytest.mark.parametrize("column", ["img", "image"])
def test_cifar_is_read_from_parquet_shards_in_order(tmp_path, monkeypatch, inside, column):
    content = write_cifar(tmp_path / "data" / inside, shards=3, column=column)
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "data"))
    dataset = data.load("cifar10")
    images, labels = content["train"]
    held_out = np.arange(40) // 2 % 10 == 9
    train = dataset.train.images.permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(train, images[~held_out])
    np.testing.assert_array_equal(dataset.validation.labels.numpy(), labels[held_out])
    np.testing.assert_array_equal(dataset._test.labels.numpy(), content["test"][1])
    pixels = images[~held_out] / 255
    assert dataset.mean == pytest.approx(pixels.mean((0, 1, 2)), rel=1e-12)
    assert dataset.std == pytest.approx(pixels.std((0, 1, 2)), rel=1e-9)
    assert dataset.classes[:2] == ("airplane", "automobile")


def test_fashion_mnist_is_read_from_parquet(tmp_path, monkeypatch):
    for part, count in (("train", 24), ("test", 3)):
        images, labels = images_and_labels(count, (28, 28))
        path = tmp_path / "fashion_mnist" / f"{part}-00000-of-00001.parquet"
        write_shard(path, images, labels, "image")
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    dataset = data.load("fashion_mnist")
    np.testing.assert_array_equal(dataset._test.images[:, 0].numpy(), images)


def test_class_names_come_from_the_schema(tmp_path, monkeypatch):
    names = [f"class {i}" for i in range(10)]
    write_cifar(tmp_path, names=names)
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    assert data.load("cifar10").classes == tuple(names)
    assert data.load("cifar10").classes == tuple(names)


def test_a_folder_named_as_another_data_set_is_left_alone(tmp_path, monkeypatch):
    write_cifar(tmp_path / "cifar10")
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "cifar10"))
    with pytest.raises(FileNotFoundError, match=r"fashion_mnist is not in .*cifar10"):
        data.load("fashion_mnist")


def test_images_of_another_data_set_are_refused(tmp_path, monkeypatch):
    write_cifar(tmp_path)
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match=r"32×32 pixels, not 28×28.*another data set"):
        data.load("fashion_mnist")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("test-0000?-of-00002.parquet", r"no test-\*\.parquet"),
        ("train-00001-of-00002.parquet", r"1 of the 2 files train-\*\.parquet"),
    ],
)
def test_missing_shards_are_named(tmp_path, monkeypatch, missing, message):
    write_cifar(tmp_path)
    for path in tmp_path.glob(missing):
        path.unlink()
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match=message):
        data.load("cifar10")


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"PAR1", lambda b: b""])
def test_a_damaged_shard_is_named(tmp_path, monkeypatch, damage):
    write_cifar(tmp_path)
    path = tmp_path / "train-00001-of-00002.parquet"
    path.write_bytes(damage(path.read_bytes()))
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match=r"train-00001-of-00002\.parquet is damaged"):
        data.load("cifar10")


def test_damaged_pages_inside_a_shard_are_named(tmp_path):
    images, labels = images_and_labels(50, (32, 32, 3))
    path = tmp_path / "train-0.parquet"
    write_shard(path, images, labels)
    raw = bytearray(path.read_bytes())
    raw[4:2000] = os.urandom(1996)
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"train-0\.parquet"):
        _parquet.decode([path], (3, 32, 32))


@pytest.mark.parametrize("encoded", [b"", b"no image", png(np.zeros((32, 32, 3), np.uint8))[:60]])
def test_an_image_that_cannot_be_decoded_is_named(tmp_path, encoded):
    images, labels = images_and_labels(3, (32, 32, 3))
    path = tmp_path / "train-0.parquet"
    write_shard(path, [*images, encoded], [*labels, 0])
    with pytest.raises(ValueError, match=r"Image 3 of .*train-0\.parquet cannot be decoded"):
        _parquet.decode([path], (3, 32, 32))


def test_a_parquet_file_with_other_columns_is_named(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "train-0.parquet"
    pq.write_table(pa.table({"text": ["a"], "label": [1]}), path)
    with pytest.raises(ValueError, match=r"its columns are text, label"):
        _parquet.decode([path], (3, 32, 32))


def test_a_missing_pyarrow_is_answered_with_the_command(tmp_path, monkeypatch):
    write_cifar(tmp_path)
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    command = r'pip install "efficient-dl-course\[parquet\]"'
    with pytest.raises(ModuleNotFoundError, match=command):
        data.load("cifar10")


def test_a_cached_data_set_needs_no_pyarrow(tmp_path, monkeypatch):
    write_cifar(tmp_path)
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path))
    data.load("cifar10")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert len(data.load("cifar10").train) == 36


def test_damaged_torchvision_batches_are_named_and_never_unpickled(cache):
    folder = cache / "downloads" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "data_batch_1").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(ValueError, match=r"data_batch_1 is missing or damaged"):
        data.load("cifar10")


def test_torchvision_batches_are_read_in_their_order(cache, monkeypatch):
    from torchvision import datasets
    from torchvision.datasets import utils

    (cache / "downloads" / "cifar-10-batches-py").mkdir(parents=True)
    (cache / "downloads" / "cifar-10-batches-py" / "test_batch").touch()
    images, labels = images_and_labels(40, (32, 32, 3))

    class Batches(datasets.CIFAR10):
        def __init__(self, root, train):
            kept = slice(None) if train else slice(0, 7)
            self.data, self.targets = images[kept], labels[kept].tolist()

    monkeypatch.setattr(utils, "check_integrity", lambda path, md5: True)
    monkeypatch.setattr(datasets, "CIFAR10", Batches)
    dataset = data.load("cifar10")
    np.testing.assert_array_equal(dataset._test.images.permute(0, 2, 3, 1).numpy(), images[:7])
    np.testing.assert_array_equal(dataset.train.labels.numpy()[:18], labels[:18])


REAL_CIFAR = Path(os.environ.get("COURSE_DATA_DIR") or ROOT.parent / "shared" / "data" / "cifar10")


@pytest.mark.skipif(
    not list(REAL_CIFAR.glob("**/train-*.parquet")),
    reason="CIFAR-10 is neither in COURSE_DATA_DIR nor in ../shared/data/cifar10",
)
def test_the_real_cifar10(monkeypatch):
    monkeypatch.setenv("COURSE_DATA_DIR", str(REAL_CIFAR))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # it is whole
        dataset = data.load("cifar10")
    assert [len(s) for s in (dataset.train, dataset.validation, dataset._test)] == [
        45_000,
        5_000,
        10_000,
    ]
    assert dataset.train.images.shape[1:] == (3, 32, 32)
    every = torch.cat([dataset.train.labels, dataset.validation.labels])
    assert every.bincount().tolist() == [5_000] * 10
    assert dataset._test.labels.bincount().tolist() == [1_000] * 10
    # what is known of the published training images, to the JPEG's rounding
    assert dataset.mean == pytest.approx((0.4914, 0.4822, 0.4465), abs=1e-3)
    assert dataset.std == pytest.approx((0.2470, 0.2435, 0.2616), abs=3e-3)


# --- cost of importing


def test_importing_data_imports_nothing_heavy():
    heavy = ("torchvision", "matplotlib", "pyarrow", "PIL", "ipywidgets")
    code = (
        f"import sys; from course_lib import data; print([m for m in {heavy} if m in sys.modules])"
    )
    result = run_python(code)
    assert result.stdout.strip() == "[]", result.stderr
