"""The notebooks of nbgrader's own test suite get the scores that nbgrader gives them.

`nbgrader_samples/measure.py` measured those with `nbgrader autograde`.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from autograder.course import Course
from autograder.execute import Limits
from autograder.grade import grade_intake, supply_files
from autograder.intake import take_in
from autograder.template import Template

HERE = Path(__file__).parent / "nbgrader_samples"
SCORES: dict[str, dict[str, float | None] | None] = json.loads((HERE / "scores.json").read_text())

# Where nbgrader's answer is not to be followed, and why. Each still has to be this score here.
OTHERWISE: dict[str, tuple[str, dict[str, float | None]]] = {
    "submitted-unchanged submitted-answer-cell-type-changed": (
        "nbgrader fails on a cell without outputs; here the answer is set back and counts",
        {"foo": 1.0, "bar": 0.0, "baz": 0.0, "quux": 0.0},
    ),
    "submitted-unchanged submitted-grade-cell-type-changed": (
        "nbgrader fails on a cell without outputs; here the test is restored and run",
        {"foo": 1.0, "bar": 0.0, "baz": 0.0, "quux": 0.0},
    ),
}


def measuring() -> ModuleType:
    spec = importlib.util.spec_from_file_location("measure", HERE / "measure.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A course whose assignments are nbgrader's sample notebooks."""
    root = tmp_path_factory.mktemp("samples")
    measuring().set_up(root)
    return Course(root)


@pytest.fixture(scope="module")
def templates(samples: Course) -> dict[str, Template]:
    """One template per assignment; those with automatic tests start a kernel to make them."""
    sources = sorted({case.split()[0] for case in SCORES})
    return {source: Template.load(samples, source, "p1") for source in sources}


@pytest.mark.parametrize("case", sorted(SCORES))
def test_a_sample_gets_the_scores_that_nbgrader_gives(case, samples, templates, tmp_path):
    source, submission = case.split()
    template = templates[source]
    if submission == "=":
        (tmp_path / "p1.ipynb").write_text(json.dumps(template.released))
    elif submission == "+":
        shutil.copy(samples.source(source) / "p1.ipynb", tmp_path)
    else:
        shutil.copy(HERE / f"{submission}.ipynb", tmp_path / "p1.ipynb")
    supplies = supply_files(samples, source)
    intake = take_in(tmp_path, template, supplies)
    limits = Limits(cell_s=60.0, notebook_s=120.0)
    graded = grade_intake("ann", intake, template, supplies, limits)
    assert graded.result.problem == ""
    scores = {cell.cell: cell.score for cell in graded.result.cells}
    _, expected = OTHERWISE.get(case, ("", SCORES[case]))
    assert scores == expected, [c.reason for c in graded.result.cells]


def test_every_sample_was_measured():
    assert set(SCORES) == {" ".join(case) for case in measuring().CASES}


def test_the_samples_carry_their_licence():
    assert "Jupyter Contributors" in (HERE / "LICENSE").read_text()
