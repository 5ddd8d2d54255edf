"""Every assignment's grader gives every answer of its corpus what it deserves."""

from __future__ import annotations

from pathlib import Path

import pytest

from autograder.corpus_files import CORPUS, Variant, read_variant, variants
from autograder.course import Course
from autograder.errors import CourseError
from autograder.execute import Limits
from autograder.grade import default_jobs
from autograder.result import CellResult, Result
from autograder.template import Template
from autograder.verify import matrix, verify

COURSE = Course(Path(__file__).resolve().parent.parent)
TEMPLATES = [
    Template.load(COURSE, assignment, name)
    for assignment in COURSE.assignments()
    for name in COURSE.notebooks(assignment)
]


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.notebook)
def test_real_kernels_judge_every_variant_rightly(template: Template):
    verdicts = list(verify(template, COURSE, Limits(cell_s=120.0), default_jobs()))
    assert len(verdicts) == len(variants(template))
    faults = [f"{v.variant.name}: {fault}" for v in verdicts for fault in v.faults]
    assert faults == []
    assert matrix(template, verdicts).row_count == sum(map(bool, template.tests.values()))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda template: template.notebook)
def test_the_corpus_is_large_enough_for_every_answer(template: Template):
    corpus = variants(template)
    assert sum(variant.kind == "correct" for variant in corpus) >= 3
    for answer in (answer for answer, tests in template.tests.items() if tests):
        wrong = [v.expect[answer] for v in corpus if answer in v.expect]
        assert len(set(wrong)) >= 5, f"{answer} has only these wrong answers: {wrong}"


def test_points_sum_to_100():
    for template in TEMPLATES:
        assert sum(template.points.values()) == 100


# The judgement of a variant, without kernels

TEMPLATE = TEMPLATES[0]
ANSWER = next(answer for answer, tests in TEMPLATE.tests.items() if tests)
TEST = TEMPLATE.tests[ANSWER][0]


def outcome(**changed: CellResult) -> Result:
    cells = tuple(
        changed.get(name, CellResult(name, points, points, "Passed."))
        for name, points in TEMPLATE.points.items()
    )
    return Result("x", TEMPLATE.assignment, TEMPLATE.notebook, cells)


def wrong(phrase: str = "bias") -> Variant:
    return Variant("wrong_x", "wrong", TEMPLATE.released, {ANSWER: phrase})


def test_a_wrong_answer_that_passes_is_a_fault():
    assert "full points" in wrong().faults(outcome(), TEMPLATE)[0]


def test_a_wrong_answer_rejected_with_its_mistake_is_fine():
    lost = CellResult(TEST, 0.0, TEMPLATE.points[TEST], "the BIAS was forgotten")
    assert wrong().faults(outcome(**{TEST: lost}), TEMPLATE) == []


def test_a_rejection_that_does_not_name_the_mistake_is_a_fault():
    lost = CellResult(TEST, 0.0, TEMPLATE.points[TEST], "wrong")
    assert "no message says" in wrong().faults(outcome(**{TEST: lost}), TEMPLATE)[0]


def test_points_lost_elsewhere_are_a_fault():
    other = next(test for test in TEMPLATE.points if test not in TEMPLATE.tests[ANSWER])
    lost = {
        TEST: CellResult(TEST, 0.0, TEMPLATE.points[TEST], "bias"),
        other: CellResult(other, 0.0, TEMPLATE.points[other], "collateral"),
    }
    assert wrong().faults(outcome(**lost), TEMPLATE) == [
        f"{other}: lost points although it is right: collateral"
    ]


def test_points_for_the_release_are_a_fault():
    release = Variant("release", "release", TEMPLATE.released)
    assert len(release.faults(outcome(), TEMPLATE)) == len(TEMPLATE.points)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no cells", "grade_id"),
        ("# %% nonsense\n# expect: x\npass\n", "nonsense"),
        (f"# %% {ANSWER}\npass\n", "expect"),
        (f"# %% {ANSWER}\n# expect: a\npass\n# %% {ANSWER}\n# expect: b\npass\n", "two cells"),
    ],
)
def test_a_malformed_corpus_file_is_named(tmp_path: Path, text: str, says: str):
    path = tmp_path / "wrong_x.py"
    path.write_text(text)
    with pytest.raises(CourseError, match=says):
        read_variant(path, TEMPLATE)


def test_every_corpus_folder_belongs_to_an_assignment():
    folders = {path.name for path in CORPUS.iterdir() if path.is_dir()}
    assert folders - {"__pycache__"} == {template.assignment for template in TEMPLATES}
