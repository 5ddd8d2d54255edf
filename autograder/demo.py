"""A whole class in one command: release, sample submissions, grading, feedback, CSV.

The sample class is made of real submissions: correct and wrong answers of the corpus, and the
accidents that every class produces.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from autograder.corpus_files import Variant, variants
from autograder.course import CONFIG_NAME, Course
from autograder.errors import CourseError
from autograder.files import write_text
from autograder.template import Template, grade_id

MARKER = ".autograder-demo"


@dataclass(frozen=True)
class Submission:
    """One student of the sample class and the files handed in."""

    student: str
    story: str
    files: dict[str, str]


def set_up(course: Course, folder: Path, assignment: str) -> Course:
    """Make a fresh demo course in `folder` with a copy of one assignment."""
    if folder.exists():
        if not (folder / MARKER).is_file():
            raise CourseError(
                f"{folder} exists and is not a demo of this program; name another with --folder."
            )
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    write_text(folder / MARKER, "made by `autograder demo`, which may delete this folder\n")
    shutil.copy(course.root / CONFIG_NAME, folder / CONFIG_NAME)
    demo = Course(folder.resolve())
    shutil.copytree(course.source(assignment), demo.source(assignment))
    return demo


def hand_in(course: Course, assignment: str, submission: Submission) -> None:
    """Write a sample submission where nbgrader collects them."""
    folder = course.submitted(submission.student, assignment)
    folder.mkdir(parents=True)
    for name, text in submission.files.items():
        write_text(folder / name, text)


def sample_class(template: Template) -> list[Submission]:
    """Correct and wrong answers of the corpus, then the accidents."""
    corpus = variants(template)
    name = f"{template.notebook}.ipynb"
    stories: list[tuple[str, str, dict[str, str]]] = []
    for variant in _few(corpus, "solution", 1) + _few(corpus, "correct", 3):
        stories.append((variant.name, "all correct", {name: _text(variant.notebook)}))
    for variant in _few(corpus, "wrong", 6):
        stories.append((variant.name, "a known mistake", {name: _text(variant.notebook)}))
    for story, files in _accidents(template, corpus[0].notebook, name):
        stories.append((story, story, files))
    return [
        Submission(f"{student}_{_slug(what)}", story, files)
        for student, (what, story, files) in zip(_students(), stories, strict=False)
    ]


def _accidents(
    template: Template, solution: NotebookNode, name: str
) -> Iterator[tuple[str, dict[str, str]]]:
    answer = template.answers[0]
    last = [each for each in template.answers if template.tests[each]][-1]
    test = template.tests[answer][0]

    def changed(change: Callable[[NotebookNode], None]) -> dict[str, str]:
        notebook = deepcopy(solution)
        change(notebook)
        return {name: _text(notebook)}

    def replace(cell: str, source: str) -> Callable[[NotebookNode], None]:
        return lambda notebook: _cell(notebook, cell).update(source=source)

    yield "untouched", {name: _text(template.released)}
    yield "syntax_error", changed(replace(answer, "def broken(:\n    return 1"))
    yield "endless_loop", changed(replace(answer, "while True:\n    pass"))
    yield "kills_its_kernel", changed(replace(last, "import os\nos._exit(1)"))
    yield "deleted_a_test", changed(lambda nb: nb.cells.remove(_cell(nb, test)))
    yield "copied_a_cell", changed(lambda nb: nb.cells.append(deepcopy(_cell(nb, answer))))
    yield "renamed_file", {f"{template.notebook} (1).ipynb": _text(solution)}
    yield "no_notebook", {"notes.txt": "I could not find the upload button for notebooks.\n"}
    yield "broken_json", {name: _text(solution)[:2000]}


def _few(corpus: list[Variant], kind: str, most: int) -> list[Variant]:
    return [variant for variant in corpus if variant.kind == kind][:most]


def _cell(notebook: NotebookNode, name: str) -> NotebookNode:
    return next(cell for cell in notebook.cells if grade_id(cell) == name)


def _text(notebook: NotebookNode) -> str:
    return nbformat.writes(notebook)


def _students() -> Iterator[str]:
    return (f"s{number:02}" for number in range(1, 100))


def _slug(text: str) -> str:
    return text.removeprefix("correct_").removeprefix("wrong_")[:24].rstrip("_")
