"""A class of attackers, each followed by an honest student, graded by the real pipeline at once.

Nearly all submissions are in one class, graded by one call of `grade_class` while this watches
the grade book, the other files of the course and the processes; the tests then look at what
came out. `hostile_listed` and `hostile_more` are the submissions.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import re
import shutil
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import psutil
import pytest

from autograder import grade as grade_module
from autograder import sandboxed
from autograder.collect import collect
from autograder.course import Course
from autograder.execute import Limits
from autograder.export import export
from autograder.feedback import write_feedback
from autograder.grade import grade_class
from autograder.inert import active_parts
from autograder.release import release
from autograder.report import analyse, render
from autograder.result import Result
from autograder.snapshot import snapshot
from autograder.template import Template

sys.path.insert(0, str(Path(__file__).parent))
from hostile_course import FULL, PAPER, POINTS, ROOT, Case, paper
from hostile_listed import LISTED
from hostile_more import MORE

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the sandbox is made of Linux's means"
)
CASES = [*LISTED, *MORE]
LIMITS = Limits(
    cell_s=6.0, notebook_s=120.0, memory_bytes=1200 * 2**20, disk_bytes=48 * 2**20, processes=150
)
JOBS = 4  # most of the time is spent in waiting for time limits


def honest(name: str) -> Case:
    return Case(f"{name}_then_honest")


@dataclass
class Watch:
    """What was seen while a class was graded."""

    course: Course
    writes: int = 0
    foreign_writes: list[str] = field(default_factory=list)
    seen: dict[int, float] = field(default_factory=dict)  # pid: time of creation
    _done: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def watching(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        """Record every process below the fork server, and each change of the grade book."""
        thread = threading.Thread(target=self._look_for_processes)
        original, book = grade_module.recorder, self.course.gradebook_file
        last = _digest(book)

        @contextmanager
        def recorder(course: Course) -> Iterator[Any]:
            with original(course) as record:

                def watched(*arguments: Any) -> None:
                    nonlocal last
                    if _digest(book) != last:
                        self.foreign_writes.append(arguments[0].student)
                    record(*arguments)
                    self.writes += 1
                    last = _digest(book)

                yield watched

        monkeypatch.setattr(grade_module, "recorder", recorder)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()
        if _digest(book) != last:
            self.foreign_writes.append("at the end")

    def survivors(self) -> list[str]:
        """Processes of submissions that are still there, after a while to end."""
        alive: list[psutil.Process] = []
        for _ in range(50):
            alive = [p for p in psutil.process_iter() if self.seen.get(p.pid) == _created(p)]
            alive = [process for process in alive if _status(process) != psutil.STATUS_ZOMBIE]
            if not alive:
                break
            time.sleep(0.1)
        return [str(process) for process in alive]

    def _look_for_processes(self) -> None:
        while not self._done.wait(0.1):
            with contextlib.suppress(psutil.Error, AttributeError):
                server = psutil.Process(sandboxed._server.process.pid)
                for process in server.children(recursive=True):
                    self.seen[process.pid] = _created(process)


@dataclass(frozen=True)
class Graded:
    """A graded class."""

    course: Course
    results: dict[str, Result]
    watch: Watch
    book_before: list[dict[str, Any]]
    files_before: dict[str, str]


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A course with a released paper and a student who is graded already."""
    course = make_course(tmp_path_factory.mktemp("hostile"))
    veteran = Case("veteran")
    template = Template.load(course, PAPER, PAPER)
    veteran.hand_in(course.submitted(veteran.student, PAPER), template, course.root)
    (result,) = grade_class(course, PAPER, [veteran.student], Limits(), 1)
    assert result.score == FULL
    return course


def make_course(root: Path) -> Course:
    (root / "nbgrader_config.py").write_text((ROOT / "nbgrader_config.py").read_text())
    course = Course(root)
    course.source(PAPER).mkdir(parents=True)
    nbformat.write(paper(), course.source(PAPER) / f"{PAPER}.ipynb")
    release(course, PAPER)
    return course


@pytest.fixture(scope="module")
def graded(course: Course) -> Graded:
    """All cases, each with an honest student behind it."""
    template = Template.load(course, PAPER, PAPER)
    everybody = [each for case in CASES for each in (case, honest(case.name))]
    for case in everybody:
        case.hand_in(course.submitted(case.student, PAPER), template, course.root)
    students = [case.student for case in everybody]
    before, files = snapshot(course), fingerprints(course)
    watch = Watch(course)
    with pytest.MonkeyPatch.context() as monkeypatch, watch.watching(monkeypatch):
        results = {r.student: r for r in grade_class(course, PAPER, students, LIMITS, JOBS)}
    return Graded(course, results, watch, before, files)


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def told(result: Result) -> str:
    """All that the student is told about a submission."""
    return "\n".join([*result.notes, *(cell.reason for cell in result.cells)])


@every_case
def test_it_gets_its_points_and_is_told_why(graded: Graded, case: Case):
    result = graded.results[case.student]
    assert result.problem == ""
    points = {cell.cell: cell.score for cell in result.cells if cell.cell in POINTS}
    assert points == case.expected(), told(result)
    for pattern in case.says:
        assert re.search(pattern, told(result)), told(result)
    assert result.needs_a_look == case.look, told(result)
    kinds = [event.kind for event in result.events]
    assert set(case.events) <= set(kinds)
    if not case.lost and not case.look:
        assert all(cell.reason == "Passed." for cell in result.cells if cell.cell in POINTS)


@every_case
def test_the_next_submission_is_graded_as_ever(graded: Graded, case: Case):
    result = graded.results[honest(case.name).student]
    assert result.score == FULL
    assert (result.notes, result.events, result.problem) == ((), (), "")
    assert not result.needs_a_look


@every_case
def test_its_grades_in_the_book_are_those_of_its_result(graded: Graded, case: Case, rows):
    for student in (case.student, honest(case.name).student):
        result = graded.results[student]
        expected = {cell.cell: cell.score for cell in result.cells}
        assert {row["cell"]: row["auto_score"] for row in rows[student]} == expected
        assert all(row["manual_score"] is None for row in rows[student])
        assert not any(row["extra_credit"] for row in rows[student])


@pytest.fixture(scope="module")
def rows(graded: Graded) -> dict[str, list[dict[str, Any]]]:
    """Rows of grades by student."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in snapshot(graded.course):
        if row["row"] == "grade":
            found.setdefault(row["student"], []).append(row)
    return found


def test_the_grade_book_changed_only_through_the_writer(graded: Graded):
    assert graded.watch.foreign_writes == []
    assert graded.watch.writes == len(graded.results) == 2 * len(CASES)
    after = snapshot(graded.course)
    assert [row for row in graded.book_before if row not in after] == []
    new = [row for row in after if row not in graded.book_before]
    assert {row["student"] for row in new} == set(graded.results)


def test_nothing_else_in_the_course_changed(graded: Graded):
    assert fingerprints(graded.course) == graded.files_before


def test_no_process_survives(graded: Graded):
    assert len(graded.watch.seen) > 2 * len(CASES)
    assert graded.watch.survivors() == []
    marked = [p.pid for p in psutil.process_iter() if "mark-of-" in " ".join(_command(p))]
    assert marked == []


def fingerprints(course: Course) -> dict[str, str]:
    """Digests of all that no submission and no grader may change."""
    ours = ("autograded", ".autograder", "gradebook.db", "feedback")
    return {
        str(path): _digest(path)
        for path in sorted(course.root.rglob("*"))
        if path.is_file() and path.relative_to(course.root).parts[0] not in ours
    }


@pytest.fixture(scope="module")
def pages(graded: Graded) -> dict[str, str]:
    """The feedback of all attackers."""
    students = [case.student for case in CASES]
    return {
        student: write_feedback(graded.course, PAPER, student)[0].read_text()
        for student in students
    }


@every_case
def test_its_feedback_is_inert_and_says_what_happened(pages, case: Case):
    page = pages[case.student]
    assert active_parts(page) == []
    assert "marvellous_secret" not in page
    text = re.sub(r"<[^>]*>", "", page)
    for pattern in case.says:
        assert re.search(pattern, text)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _created(process: psutil.Process) -> float:
    with contextlib.suppress(psutil.Error):
        return process.create_time()
    return -1.0


def _status(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return process.status()
    return psutil.STATUS_ZOMBIE


def _command(process: psutil.Process) -> list[str]:
    with contextlib.suppress(psutil.Error):
        return process.cmdline()
    return []
