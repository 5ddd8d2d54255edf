"""A class of attackers, each followed by an honest student, graded by the real pipeline at once.

Nearly all submissions are in one class, graded by one call of `grade_class` while this watches
the grade book, the other files of the course and the processes; the tests then look at what
came out. `hostile_listed` and `hostile_more` are the submissions.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import nbformat
import nbgrader
import psutil
import pytest
from hostile_course import FULL, PAPER, POINTS, RIGHT, ROOT, Case, paper
from hostile_listed import LISTED, WRONG, without_test
from hostile_more import MORE
from nbconvert.exporters import HTMLExporter

from autograder import fork_server, sandboxed
from autograder import grade as grade_module
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

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="the sandbox is made of Linux's means"
)
CASES = [*LISTED, *MORE]
# Generous in time, so that a slow machine changes nothing, but for those that use up any time.
LIMITS = Limits(
    cell_s=120.0, notebook_s=600.0, memory_bytes=1200 * 2**20, disk_bytes=48 * 2**20, processes=150
)
BRIEF = replace(LIMITS, cell_s=5.0)
JOBS = {LIMITS: 3, BRIEF: 4}  # who waits for a time limit needs no core


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
                server = psutil.Process(fork_server._server.process.pid)
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
    before, files = snapshot(course), fingerprints(course)
    watch, results = Watch(course), {}
    with pytest.MonkeyPatch.context() as monkeypatch, watch.watching(monkeypatch):
        for limits, jobs in JOBS.items():
            chosen = [case for case in CASES if case.brief == (limits == BRIEF)]
            students = [s for case in chosen for s in (case.student, honest(case.name).student)]
            graded = grade_class(course, PAPER, students, limits, jobs)
            results |= {result.student: result for result in graded}
    return Graded(course, results, watch, before, files)


every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def told(result: Result) -> str:
    """All that the student is told about a submission."""
    return "\n".join([*result.notes, *(cell.reason for cell in result.cells)])


@every_case
def test_it_gets_its_points_and_is_told_why(graded: Graded, case: Case):
    result = graded.results[case.student]
    assert result.problem == ""
    decided = {name: score for name, score in scores(result).items() if name not in case.either}
    expected = case.expected().items()
    assert decided == {name: score for name, score in expected if name not in case.either}
    for pattern in case.says:
        assert re.search(pattern, told(result)), told(result)
    assert result.needs_a_look == case.look, told(result)
    kinds = [event.kind for event in result.events]
    assert set(case.events) <= set(kinds)
    if not case.lost and not case.look and not case.either:
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
        if path.is_file()
        and not path.is_symlink()
        and path.relative_to(course.root).parts[0] not in ours
    }


DRAWS = ("47_markup", "69_odd_text", "70_comms", "75_raw_messages", "83_forged_result")
TOLD = [case for case in CASES if case.says or case.lost or case.name in DRAWS]


@pytest.fixture(scope="module")
def pages(graded: Graded) -> dict[str, str]:
    """The feedback of all attackers to whom there is something to say."""
    students = [case.student for case in TOLD]
    return {
        student: write_feedback(graded.course, PAPER, student)[0].read_text()
        for student in students
    }


@pytest.mark.parametrize("case", TOLD, ids=lambda case: case.name)
def test_its_feedback_is_inert_and_says_what_happened(pages, case: Case):
    page = pages[case.student]
    assert active_parts(page) == []
    assert "marvellous_secret" not in page
    text = re.sub(r"<[^>]*>", "", page)
    for pattern in case.says:
        assert re.search(pattern, text)


@pytest.mark.parametrize("name", DRAWS)
def test_what_it_drew_is_inert_in_formgrader(graded: Graded, name: str):
    """Rendered with nbgrader's own template, whose scripts are the only ones that may be there."""
    path = graded.course.autograded(f"h_{name}", PAPER) / f"{PAPER}.ipynb"
    notebook = nbformat.read(path, 4)
    nbformat.validate(notebook)
    folder = Path(nbgrader.__file__).parent / "server_extensions" / "formgrader" / "templates"
    exporter = HTMLExporter(
        template_name="formgrade",
        extra_template_basedirs=[str(folder)],
        config=graded.course.config,
    )
    page, _ = exporter.from_notebook_node(notebook, {"index": 0, "total": 1})
    finder = _Alerts()
    finder.feed(page)
    assert finder.found == []


class _Alerts(HTMLParser):
    """Collects where `alert` would run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"<{tag} {name}={value}" for name, value in attrs if "alert" in str(value)]
        self.found += [f"<{tag}>" for _ in [0] if tag in ("iframe", "form", "object")]

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script" and "MARKUP" in data:
            self.found.append(data)


def test_the_report_on_such_a_class_is_inert_and_gives_nothing_away(graded: Graded):
    page = render(analyse(graded.course, PAPER))
    assert active_parts(page.replace("<svg", "<div")) == []  # its own pictures
    assert "marvellous_secret" not in page
    assert "Timed out" in page


# What takes more than one submission, or other limits


def hand_in(course: Course, *cases: Case) -> list[str]:
    template = Template.load(course, PAPER, PAPER)
    for case in cases:
        folder = course.submitted(case.student, PAPER)
        shutil.rmtree(folder, ignore_errors=True)
        case.hand_in(folder, template, course.root)
    return [case.student for case in cases]


def scores(result: Result) -> dict[str, float | None]:
    return {cell.cell: cell.score for cell in result.cells if cell.cell in POINTS}


def test_07_many_slow_cells_meet_the_deadline_of_the_notebook(course: Course):
    slow = "import time\ntime.sleep({})\n"
    answers = {"cube": slow.format(0.1) + RIGHT["cube"], "half": slow.format(600)}
    cases = Case("07_slow", answers, ("test_half", "test_twice", "test_share")), honest("07_slow")
    limits = Limits(cell_s=600.0, notebook_s=6.0)
    results = list(grade_class(course, PAPER, hand_in(course, *cases), limits, 2))
    by_student = {result.student: result for result in results}
    slow_result = by_student[cases[0].student]
    assert scores(slow_result) == cases[0].expected()
    assert "whole notebook may take 6 seconds" in told(slow_result)
    assert "Not run, because cell half timed out." in slow_result.cell("test_share").reason
    assert by_student[cases[1].student].score == FULL


def test_21_a_test_deleted_on_resubmission_leaves_no_stale_score(course: Course):
    first = Case("21_again")
    (result,) = grade_class(course, PAPER, hand_in(course, first), LIMITS, 1)
    assert result.score == FULL
    second = Case("21_again", {"square": WRONG}, ("test_square",), edit=without_test)
    (result,) = grade_class(course, PAPER, hand_in(course, second), LIMITS, 1)
    assert scores(result) == second.expected()
    rows = [row for row in snapshot(course) if row["row"] == "grade"]
    mine = {row["cell"]: row["auto_score"] for row in rows if row["student"] == first.student}
    assert mine["test_square"] == 0.0


def test_50_a_worker_that_dies_is_replaced_and_never_a_zero(course: Course):
    case = Case("50_dies", {"square": f"import time\ntime.sleep(1.5)\n{RIGHT['square']}"})
    killed: list[int] = []
    over = threading.Event()

    def kill_one() -> None:
        server = psutil.Process(sandboxed.start() and fork_server._server.process.pid)
        while not over.wait(0.05) and not killed:
            for worker in server.children():
                with contextlib.suppress(psutil.Error):
                    if worker.children():
                        time.sleep(0.5)
                        worker.kill()
                        killed.append(worker.pid)

    thread = threading.Thread(target=kill_one)
    thread.start()
    try:
        (result,) = grade_class(course, PAPER, hand_in(course, case), LIMITS, 1)
    finally:
        over.set()
        thread.join()
    assert len(killed) == 1
    assert (result.score, result.problem, result.notes) == (FULL, "", ())


def test_33_48_49_archives_and_names_that_mean_harm(course: Course, tmp_path: Path):
    template = Template.load(course, PAPER, PAPER)
    right = nbformat.writes(template.filled_in({**RIGHT, "why": "It grows."}))
    before = set(tmp_path.parent.iterdir())
    archive = tmp_path / "class.zip"
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as inner:
        inner.writestr("zeros.bin", bytes(300 * 2**20))
    long_ago = "1999-01-01 00:00:00 UTC"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as outer:
        for name in ("plain", "=1+1", 'a,b"c', "@SUM(A1)"):
            outer.writestr(f"{name}/paper.ipynb", right)
        outer.writestr("plain/timestamp.txt", long_ago)
        outer.writestr("slips/paper.ipynb", right)
        outer.writestr("slips/../../../slipped.txt", "out")
        outer.writestr("../x/paper.ipynb", right)
        outer.writestr("/abs/paper.ipynb", right)
        outer.writestr("new\nline/paper.ipynb", right)
        outer.writestr("bombs/paper.ipynb", right)
        outer.writestr("bombs/all.zip", bomb.getvalue())
    collected = {each.student: each for each in collect(course, PAPER, archive, "plain")}
    assert set(tmp_path.parent.iterdir()) == before
    assert not list(course.root.rglob("slipped.txt"))
    there = {each.student for each in collected.values() if each.status == "new"}
    assert {"plain", "bombs"} <= there
    assert not [name for name in there if "/" in name or "\n" in name or name.startswith(".")]
    stamp = (course.submitted("plain", PAPER) / "timestamp.txt").read_text()
    assert not stamp.startswith("1999")
    results = list(grade_class(course, PAPER, sorted(there), LIMITS, 2))
    assert {result.student: result.score for result in results} == dict.fromkeys(there, FULL)
    export(course, tmp_path / "grades.csv", PAPER)
    with (tmp_path / "grades.csv").open(newline="", encoding="utf-8-sig") as file:
        table = list(csv.reader(file))
    assert {len(line) for line in table} == {len(table[0])}
    assert not [cell for line in table for cell in line if cell[:1] in ("=", "@", "\t", "\n")]
    assert there <= {line[0].removeprefix("'") for line in table}


def test_going_back_to_plain_nbgrader_works(course: Course):
    """`nbgrader autograde` on what this graded gives the same points to an honest student."""
    students = hand_in(course, honest("back"))
    (ours,) = grade_class(course, PAPER, students, LIMITS, 1)
    command = [sys.executable, "-m", "nbgrader", "autograde", PAPER, "--force"]
    command += [f"--student={students[0]}", "--ExecutePreprocessor.timeout=300"]
    command += ["--ExecutePreprocessor.iopub_timeout=300"]
    run = subprocess.run(command, cwd=course.root, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    rows = [row for row in snapshot(course) if row["row"] == "grade"]
    theirs = {row["cell"]: row["auto_score"] for row in rows if row["student"] == students[0]}
    assert theirs == {cell.cell: cell.score for cell in ours.cells}


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
