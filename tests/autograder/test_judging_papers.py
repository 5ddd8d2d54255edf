"""Every assignment judged across two processes; `tests/test_corpus` does it in real kernels."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from two_processes import play

from autograder.corpus_files import CORPUS, Variant, variants
from autograder.course import Course
from autograder.template import Template, by_grade_id
from course_lib import models, plot  # noqa: F401  before the fork, as the zygote does

COURSE = Course(Path(__file__).resolve().parents[2])
PAPERS = [folder.name for folder in sorted(CORPUS.iterdir()) if not folder.name.startswith("__")]


@cache
def paper(assignment: str) -> Template:
    (notebook,) = COURSE.notebooks(assignment)
    return Template.load(COURSE, assignment, notebook)


def judged(variant: Variant, template: Template, folder: Path) -> dict[str, str]:
    """What is said about every test of a variant; an empty text where it passed."""
    cells = by_grade_id(variant.notebook)
    answers = {name: cells[name].source for name in template.answers}
    verdicts = play(template.graded, answers, folder, template.steps)
    return {
        name: f"{verdict.error_name}: {verdict.error_message}" if verdict.error_name else ""
        for name, verdict in verdicts.items()
    }


@pytest.mark.parametrize("assignment", PAPERS)
def test_the_solution_passes_and_the_release_fails(assignment: str, tmp_path: Path):
    template = paper(assignment)
    solution, release = variants(template)[:2]
    assert set(judged(solution, template, tmp_path).values()) == {""}
    assert all(judged(release, template, tmp_path).values())
