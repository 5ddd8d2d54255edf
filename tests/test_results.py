"""The tables of `results/` and the scripts that make them, held to each other by a quick run."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from course_lib import data, models, results
from course_lib.models.trained import folder as checkpoint_folder
from course_lib.results import Table, read
from experiments import runner
from experiments.__main__ import NAMES, main
from experiments._contestants import Contest
from experiments.recipes import RECIPES
from experiments.runner import Job, Row

STAMP = ("seconds", "hardware", "threads", "torch", "python", "commit")
ROOT = Path(__file__).resolve().parent.parent
COMMITTED = sorted((ROOT / "results").glob("*.csv"))


def experiment(name: str):
    return importlib.import_module(f"experiments.{name}")


@pytest.mark.parametrize("name", NAMES)
def test_every_table_has_a_script_with_its_four_parts(name: str):
    module = experiment(name)
    assert (module.__doc__ or "").strip()
    assert set(module.KEY)
    assert all(callable(getattr(module, part)) for part in ("jobs", "reading", "figure"))
    assert set(module.SPREAD), "which columns a second run must reproduce, and how closely"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_every_row_says_how_it_came_about(path: Path):
    table = read(path)
    assert path.stem in NAMES
    module = experiment(path.stem)
    for column in (*module.KEY, *module.SPREAD, *STAMP, "seed"):
        assert column in table.columns, column
    for row in table.rows:
        assert all(row[column] not in (None, "") for column in STAMP), row
        assert row["seconds"] >= 0
    keys = [tuple(row[column] for column in module.KEY) for row in table.rows]
    assert len(set(keys)) == len(keys), "a row is there twice"


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.stem)
def test_every_table_has_its_reading_and_figure(path: Path):
    text = path.with_suffix(".md").read_text(encoding="utf-8")
    assert text.startswith("# ")
    assert f"({path.stem}.png)" in text
    assert path.with_suffix(".png").stat().st_size > 5_000


def test_every_checkpoint_is_listed_and_has_its_row():
    sums = (checkpoint_folder() / "SHA256SUMS").read_text().splitlines()
    listed = dict(reversed(line.split("  ", 1)) for line in sums)
    table = {row["name"]: row for row in results.table("checkpoints").rows}
    known = {card.name: card for card in models.checkpoints()}
    assert set(known) == set(table) == {name.removesuffix(".safetensors") for name in listed}
    for name, card in known.items():
        content = (checkpoint_folder() / f"{name}.safetensors").read_bytes()
        assert hashlib.sha256(content).hexdigest() == listed[f"{name}.safetensors"]
        assert len(content) == card.size_bytes == table[name]["size_bytes"] <= 2_000_000
        assert card.value == pytest.approx(table[name]["value"], rel=1e-5)  # six digits in CSV
    assert sum(card.size_bytes for card in known.values()) <= 15_000_000


@pytest.mark.parametrize(("name", "floor"), [("lenet_300_100", 0.983), ("lenet_5", 0.992)])
def test_a_checkpoint_is_as_accurate_as_its_card_says(name: str, floor: float):
    from course_lib import train

    card = next(card for card in models.checkpoints() if card.name == name)
    test = data.load("mnist").open_test(f"the card of the checkpoint {name}")
    accuracy = train.evaluate(models.pretrained(name), test).accuracy
    assert accuracy == pytest.approx(card.value, abs=2e-4)  # two of 10,000: other kernels
    assert accuracy >= floor


def test_an_exchanged_checkpoint_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for path in checkpoint_folder().iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    file = tmp_path / "lenet_5.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    monkeypatch.setattr("course_lib.models.trained.folder", lambda: tmp_path)
    with pytest.raises(ValueError, match=r"lenet_5\.safetensors is not the one listed"):
        models.pretrained("lenet_5")
    assert models.pretrained("lenet_300_100")


# The runner


def table_of(counts: dict[str, int], fail_at: str = "") -> SimpleNamespace:
    """A module whose jobs count how often they ran."""

    def work(name: str):
        if name == fail_at:
            raise KeyboardInterrupt
        counts[name] = counts.get(name, 0) + 1
        return [{"part": part, "value": len(name) + part / 7, "seed": 0} for part in (0, 1)]

    def jobs(quick: bool):
        return [Job({"name": name}, lambda name=name: work(name)) for name in ("a", "bb", "ccc")]

    return SimpleNamespace(
        __name__="experiments.made_up", KEY=("name", "part"), SPREAD={"value": 1e-5}, jobs=jobs
    )


def test_an_interrupted_run_goes_on_where_it_stopped(tmp_path: Path):
    counts: dict[str, int] = {}
    with pytest.raises(KeyboardInterrupt):
        runner.run(table_of(counts, fail_at="bb"), tmp_path, False, lambda text: None)
    assert counts == {"a": 1}
    path = runner.run(table_of(counts), tmp_path, False, lambda text: None)
    assert counts == {"a": 1, "bb": 1, "ccc": 1}
    again = path.read_bytes()
    runner.run(table_of(counts), tmp_path, False, lambda text: None)
    assert counts == {"a": 1, "bb": 1, "ccc": 1}
    assert path.read_bytes() == again
    assert len(read(path)) == 6
    assert not list(tmp_path.glob("*.tmp"))


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def small_mnist() -> data.Dataset:
    mnist = data.load("mnist")
    return replace(mnist, train=mnist.train.head(300), validation=mnist.validation.head(50))


@pytest.mark.parametrize(
    "train",
    [
        lambda: RECIPES["lenet_300_100"].train(small_mnist(), 0, loss=stop),
        lambda: Contest(4096, 0, quick=True).fit(models.mlp((4,)), "dense", 1, loss=stop),
    ],
)
def test_ctrl_c_makes_no_row_of_half_a_training(train: Callable[[], object]):
    with pytest.raises(KeyboardInterrupt):
        train()


def test_check_finds_a_row_that_does_not_come_out_again(tmp_path: Path):
    import random

    module = table_of({})
    path = runner.run(module, tmp_path, False, lambda text: None)
    assert runner.check(module, read(path), False, 3, random.Random(0)) == []
    path.write_text(path.read_text().replace("2.14286", "2.24286"))
    (fault,) = runner.check(module, read(path), False, 3, random.Random(0))
    assert "value was 2.24286" in fault


def test_only_runs_the_named_job(tmp_path: Path):
    counts: dict[str, int] = {}
    runner.run(table_of(counts), tmp_path, False, lambda text: None, only=["name=bb"])
    assert counts == {"bb": 1}


def test_an_unknown_table_is_a_usage_error(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        main(["no_such_table"])
    assert stop.value.code == 2
    assert "no_such_table" in capsys.readouterr().err


def test_rows_of_results_are_made_by_code_that_is_in_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    ran: list[Path] = []
    monkeypatch.setattr(runner, "run", lambda module, folder, *rest: ran.append(folder))
    monkeypatch.setattr("experiments.__main__.write_report", lambda module, folder: None)
    monkeypatch.setattr("experiments.provenance.commit", lambda: "0123456789+")
    with pytest.raises(SystemExit) as stop:
        main(["plane"])
    assert stop.value.code == 2
    assert "changes that are in no commit" in capsys.readouterr().err
    assert main(["plane", "--output", str(tmp_path)]) == 0
    assert main(["plane", "--quick"]) == 0
    monkeypatch.setattr("experiments.provenance.commit", lambda: "0123456789")
    assert main(["plane"]) == 0
    assert ran == [tmp_path, ROOT / "build" / "results-quick", ROOT / "results"]


# Readings


def engine_rows() -> tuple[Row, ...]:
    row = {"net": "n", "latency_ms": 2.0, "latency_q1_ms": 2.0, "latency_q3_ms": 2.5}
    row |= {"size_bytes": 1000, "peak_memory_bytes": 4096, "judged_images": 1024}
    other = {"latency_ms": 1.0, "latency_q1_ms": 1.0, "latency_q3_ms": 1.0, "size_bytes": 250}
    return tuple(
        row | {"batch": batch, "dataset": "cifar10 (JPEG-compressed copies)"} | cells
        for batch in (1, 64)
        for cells in (
            {"engine": "eager", "agreement": 1.0},
            {"engine": "close", "agreement": 0.95, "peak_memory_bytes": 0} | other,
            {"engine": "wrong", "agreement": 0.08 / batch} | other,
        )
    )


def test_the_reading_of_the_engines_names_those_that_answer_otherwise():
    rows = engine_rows()
    text = experiment("engines").reading(Table("engines", tuple(rows[0]), rows))
    assert (
        "Fewer than 90% of eager's answers: n in wrong at batch 1 (8.0%), n in wrong at batch 64 "
        "(0.1%)." in text
    )
    assert "compared on 1,024 validation images, of JPEG-compressed copies for CIFAR-10." in text


def test_the_reading_of_the_engines_compares_time_bytes_and_memory_with_eager():
    rows = engine_rows()
    text = experiment("engines").reading(Table("engines", tuple(rows[0]), rows))
    assert "at batch 1: close 0.50 to 0.50, wrong 0.50 to 0.50" in text
    assert "at most 25% of the median" in text
    assert "relative to eager's: close 0.25 to 0.25, wrong 0.25 to 0.25" in text
    assert "at batch 64: close 0.00 to 0.00, wrong 1.00 to 1.00 (0 is" in text


def test_results_come_from_the_folder_that_the_environment_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "made_up.csv").write_text("name,size_bytes\na,4\n")
    monkeypatch.setenv("COURSE_RESULTS_DIR", str(tmp_path))
    assert results.names() == ("made_up",)
    table: Table = results.table("made_up")
    assert table.rows == ({"name": "a", "size_bytes": 4},)
    with pytest.raises(ValueError, match="made_up"):
        results.table("other")
    monkeypatch.setenv("COURSE_RESULTS_DIR", str(tmp_path / "none"))
    with pytest.raises(ValueError, match="make results-quick"):
        results.table("made_up")
