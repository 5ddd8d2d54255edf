"""Each submission is graded once, whatever is interrupted, lost, damaged or changed."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import weakref
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest
from nbgrader.api import Gradebook

from autograder import grade as grade_module
from autograder.course import Course
from autograder.engine import contents as contents_module
from autograder.engine import pool as pool_module
from autograder.engine.cache import Cache
from autograder.engine.contents import Contents
from autograder.engine.pool import fitting_jobs, in_parallel
from autograder.engine.terms import Terms
from autograder.errors import CourseError
from autograder.execute import Limits
from autograder.files import only_one
from autograder.grade import grade_class
from autograder.result import CellResult, Event, Graded, Result
from autograder.sandboxed import Run
from autograder.snapshot import snapshot


@pytest.fixture
def runs(monkeypatch):
    """Execute nothing, but count what would have been executed."""
    counted = []

    def run(notebook, *_, **__):
        counted.append(1)
        return Run(deepcopy(notebook))

    monkeypatch.setattr(grade_module.sandboxed, "run", run)
    monkeypatch.setattr(grade_module.sandboxed, "require", lambda limits: None)
    return counted


def hand_in(course: Course, student: str, notebook, **files: str) -> Path:
    folder = course.submitted(student, "mini")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mini.ipynb").write_text(json.dumps(notebook))
    for name, text in files.items():
        (folder / name).write_text(text)
    return folder


def grade(course: Course, limits: Limits, *students: str, **options) -> list[Result]:
    return list(grade_class(course, "mini", students, limits, jobs=2, **options))


# contents


def test_contents_come_back_as_they_were_and_links_are_not_followed(tmp_path):
    folder = tmp_path / "in"
    (folder / "data" / "deep").mkdir(parents=True)
    (folder / "data" / "deep" / "x.bin").write_bytes(bytes(range(256)))
    (folder / "é ü.txt").write_text("non-ASCII")
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "folder_link").symlink_to("/etc")
    (folder / ".ipynb_checkpoints").mkdir()
    (folder / ".ipynb_checkpoints" / "old.ipynb").write_text("{}")
    (folder / "timestamp.txt").write_text("2026-01-01")
    os.mkfifo(folder / "pipe")
    found = Contents.read(folder)
    assert found.links == ("folder_link", "link")
    assert "not a regular file" in found.left_out[0]
    copy = found.write(tmp_path / "out")
    assert (copy / "data" / "deep" / "x.bin").read_bytes() == bytes(range(256))
    assert not (copy / "link").exists()
    assert (copy / "link").is_symlink()
    assert not list(copy.rglob("old.ipynb"))
    assert not (copy / "timestamp.txt").exists()


def test_too_much_is_left_out_and_said(tmp_path, monkeypatch):
    monkeypatch.setattr(contents_module, "MAX_FILE_BYTES", 100)
    monkeypatch.setattr(contents_module, "MAX_BYTES", 150)
    for name, size in {"a": 90, "b": 101, "c": 61, "d": 60}.items():
        (tmp_path / name).write_bytes(bytes(size))
    found = Contents.read(tmp_path)
    assert [name for name, _ in found.files] == ["a", "d"]
    assert len(found.left_out) == 2


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x"])
def test_contents_never_leave_their_folder(tmp_path, name):
    with pytest.raises(ValueError, match="leads out"):
        Contents(((name, b""),)).write(tmp_path / "here")


# the key


def test_the_key_covers_everything_that_decides_a_grade(template, limits):
    terms = Terms(template, Contents(), limits)
    files = Contents((("mini.ipynb", b"{}"),))
    other_form = deepcopy(template.source)
    other_form.cells[3].source += "\n### more"
    keys = [
        terms.key("ann", files),
        terms.key("bob", files),
        terms.key("ann", Contents((("mini.ipynb", b"{} "),))),
        terms.key("ann", Contents((("mini2.ipynb", b"{}"),))),
        terms.key("ann", Contents((*files.files, ("model.bin", b"1")))),
        terms.key("ann", Contents(files.files, links=("x",))),
        replace(terms, supplies=files).key("ann", files),
        replace(terms, limits=replace(limits, cell_s=1.0)).key("ann", files),
        replace(terms, limits=replace(limits, unsafe_local=True)).key("ann", files),
        replace(terms, versions="other").key("ann", files),
        replace(terms, template=replace(template, source=other_form)).key("ann", files),
    ]
    assert len(set(keys)) == len(keys)
    assert keys[0] == Terms(template, Contents(), limits).key("ann", deepcopy(files))


# the cache and the ledger


def test_an_unchanged_class_is_neither_run_nor_written_again(released, solved, limits, runs):
    for student in ("ann", "bob"):
        hand_in(released, student, solved)
    first = grade(released, limits, "ann", "bob")
    written = released.gradebook_file.stat().st_mtime_ns
    notebook = released.autograded("ann", "mini") / "mini.ipynb"
    executed = notebook.stat().st_mtime_ns
    again = grade(released, limits, "ann", "bob")
    assert len(runs) == 2
    assert sorted(first, key=str) == sorted(again, key=str)
    assert released.gradebook_file.stat().st_mtime_ns == written
    assert notebook.stat().st_mtime_ns == executed
    assert len(grade(released, limits, "ann", again=True)) == 1
    assert len(runs) == 3


def test_one_changed_file_grades_one_submission(released, solved, limits, runs):
    for student in ("ann", "bob"):
        hand_in(released, student, solved)
    grade(released, limits, "ann", "bob")
    hand_in(released, "bob", solved, **{"data.csv": "1,2"})
    grade(released, limits, "ann", "bob")
    assert len(runs) == 3


@pytest.mark.parametrize("damage", [b"", b"garbage", b"truncated", b"flipped"])
def test_a_damaged_result_is_computed_again(released, template, solved, limits, runs, damage):
    hand_in(released, "ann", solved)
    grade(released, limits, "ann")
    entry = next((released.root / ".autograder" / "results").rglob("*.json"))
    whole = entry.read_bytes()
    changed = {b"truncated": whole[: len(whole) // 2], b"flipped": whole.replace(b":4.0", b":9.0")}
    entry.write_bytes(changed.get(damage, damage))
    assert grade(released, limits, "ann")[0].score == 7
    assert len(runs) == 2
    assert entry.read_bytes() == whole


def test_a_stored_result_comes_back_equal(course, template):
    cells = (CellResult("square", 1.5, 4.0, "é\n\u2028", 0.25), CellResult("why", None, 3.0, ""))
    result = Result(
        "ann", "mini", "mini", cells, ("n",), True, 1.25, (Event("TimedOut", "square"),), "none"
    )
    cache = Cache(course, template)
    cache.put("ann", "key", Graded(result, template.graded))
    assert cache.get("ann", "key") == Graded(result, template.graded)
    assert cache.get("ann", "other key") is None
    assert cache.get("bob", "key") is None


def change_by_hand(course: Course, what: str) -> None:
    with Gradebook(course.db_url, course.coursedir.course_id) as book:
        grade = book.find_grade("test_square", "mini", "mini", "ann")
        if what == "automatic score":
            grade.auto_score = 1.0
        elif what == "manual score":
            grade.manual_score = 2.0
        elif what == "comment":
            book.find_comment("square", "mini", "mini", "ann").auto_comment = "forged"
        elif what == "submission":
            book.remove_submission("mini", "ann")
        book.db.commit()


@pytest.mark.parametrize("what", ["automatic score", "comment", "submission"])
def test_a_grade_book_that_was_changed_is_put_right_without_a_run(
    released, solved, limits, runs, what
):
    hand_in(released, "ann", solved)
    grade(released, limits, "ann")
    before = snapshot(released)
    change_by_hand(released, what)
    assert snapshot(released) != before
    grade(released, limits, "ann")
    assert snapshot(released) == before
    assert len(runs) == 1


def test_a_manual_score_survives_and_a_lost_notebook_comes_back(released, solved, limits, runs):
    hand_in(released, "ann", solved)
    grade(released, limits, "ann")
    change_by_hand(released, "manual score")
    (released.autograded("ann", "mini") / "mini.ipynb").unlink()
    grade(released, limits, "ann")
    assert (released.autograded("ann", "mini") / "mini.ipynb").is_file()
    with Gradebook(released.db_url, released.coursedir.course_id) as book:
        assert book.find_grade("test_square", "mini", "mini", "ann").manual_score == 2.0
    assert len(runs) == 1


# the pool


def test_a_pool_fits_cores_and_memory(monkeypatch):
    monkeypatch.setattr(pool_module, "cores", lambda: 8)
    monkeypatch.setattr(pool_module, "available_memory", lambda: 10 * 2**30)
    assert fitting_jobs(2**30) == 8
    assert fitting_jobs(4 * 2**30) == 2
    assert fitting_jobs(40 * 2**30) == 1


def test_a_limited_container_has_less_memory_than_its_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(pool_module, "_CGROUP", tmp_path)
    whole = pool_module.available_memory()
    (tmp_path / "memory.max").write_text("max")
    (tmp_path / "memory.current").write_text("1000")
    assert pool_module.available_memory() >= whole // 2
    (tmp_path / "memory.max").write_text("5000")
    assert pool_module.available_memory() == 4000


def test_results_are_forgotten_and_tasks_are_made_as_places_become_free():
    class Big:
        pass

    made, alive = [], []

    def items():
        for number in range(40):
            made.append(number)
            yield number

    def work(number: int) -> Big:
        big = Big()
        alive.append(weakref.ref(big))
        return big

    most = 0
    for count, (_, outcome) in enumerate(in_parallel(work, items(), jobs=2), 1):
        assert isinstance(outcome, Big)
        del outcome
        most = max(most, sum(ref() is not None for ref in alive))
        assert len(made) <= count + 4
    assert count == 40
    assert most <= 5


def test_failed_work_is_tried_again_and_no_more_than_allowed():
    tries = {}

    def work(item: str) -> str:
        tries[item] = tries.get(item, 0) + 1
        if item == "broken" or (item == "flaky" and tries[item] < 3):
            raise OSError("gone")
        return item

    def failed(outcome):
        return isinstance(outcome, Exception)

    done = dict(in_parallel(work, ["good", "flaky", "broken"], 2, failed, attempts=3))
    assert (done["good"], done["flaky"]) == ("good", "flaky")
    assert isinstance(done["broken"], OSError)
    assert tries == {"good": 1, "flaky": 3, "broken": 3}


def test_two_graders_do_not_write_one_grade_book(tmp_path):
    lock = tmp_path / "lock"
    script = (
        "import sys, time; from pathlib import Path; from autograder.files import only_one\n"
        f"with only_one(Path({str(lock)!r})): print('held', flush=True); time.sleep(600)"
    )
    holder = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(CourseError, match="Another"), only_one(lock, patience_s=0.2):
        pass
    holder.kill()
    holder.wait()
    with only_one(lock, patience_s=5.0):
        pass


# kill -9 at any moment, then the same command again

KILLS = int(os.environ.get("KILLS", "4"))  # KILLS=20 for the whole proof, in minutes

DRIVER = """
import sys, time
from copy import deepcopy
from pathlib import Path
from autograder import grade
from autograder.course import Course
from autograder.execute import Limits
from autograder.sandboxed import Run

def run(notebook, *_, **__):
    time.sleep(0.05)
    with open(Path(sys.argv[1], "runs"), "a") as log:
        log.write("run\\n")
    return Run(deepcopy(notebook))

grade.sandboxed.run, grade.sandboxed.require = run, lambda limits: None
course = Course(Path(sys.argv[1]))
print("ready", flush=True)
for result in grade.grade_class(course, "mini", course.submitters("mini"), Limits(), jobs=2):
    print(result.student, flush=True)
"""


def start_driver(course: Course) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", DRIVER, str(course.root)]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert driver.stdout.readline() == "ready\n"
    return driver


def test_killed_graders_leave_what_an_undisturbed_one_does(
    released, template, solved, limits, runs
):
    students = [f"s{number:02}" for number in range(12)]
    for number, student in enumerate(students):
        answers = {"square": f"def square(x):\n    return x * x + {number} * 0"}
        hand_in(released, student, template.filled_in(answers) if number % 3 else solved)
    chance = random.Random(5)
    for _ in range(KILLS):
        driver = start_driver(released)
        time.sleep(chance.uniform(0.0, 0.4))
        driver.send_signal(signal.SIGKILL)
        driver.communicate()
    driver = start_driver(released)
    said, _ = driver.communicate()
    assert sorted(said.split()) == students
    # a killed grader may lose the submissions it was at, two at a time, and no others
    assert len((released.root / "runs").read_text().split()) <= len(students) + KILLS * 2
    disturbed = snapshot(released)
    for student in students:
        with Gradebook(released.db_url, released.coursedir.course_id) as book:
            book.remove_submission("mini", student)
    grade(released, limits, *students, again=True)
    assert snapshot(released) == disturbed


# a cluster


@pytest.fixture
def scheduler():
    """A Dask scheduler on the loopback with two worker processes."""
    pytest.importorskip("distributed", reason="Dask is not installed (the extra `cluster`)")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    processes = []

    def start(*words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "distributed.cli." + words[0], *words[1:]]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        processes.append(subprocess.Popen(command, **quiet))
        return processes[-1]

    port = address.rpartition(":")[2]
    start("dask_scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")
    options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1")
    workers = [start("dask_worker", address, *options) for _ in range(2)]
    yield address, workers
    for process in processes:
        process.kill()
        process.wait()


def test_a_cluster_that_loses_a_worker_gives_the_same_grade_book(
    released, template, solved, limits, scheduler
):
    from autograder.engine.cluster import Cluster

    address, workers = scheduler
    wrong = template.filled_in({"square": "def square(x):\n    return abs(x)"})
    students = [f"s{number}" for number in range(6)]
    for number, student in enumerate(students):
        hand_in(released, student, wrong if number % 2 else solved)
    cluster = Cluster(address)
    try:
        cluster.client.wait_for_workers(2, timeout=60)
        results = grade_class(
            released, "mini", students, limits, cluster.jobs, grader=cluster.grade
        )
        done = [next(results)]
        workers[0].kill()
        done += results
    finally:
        cluster.close()
    assert [result.problem for result in done] == [""] * 6
    distributed = snapshot(released)
    grade(released, limits, *students, again=True)
    assert snapshot(released) == distributed


def test_a_scheduler_that_does_not_answer_is_an_error_in_words(monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed (the extra `cluster`)")
    from autograder.engine import cluster

    monkeypatch.setattr(cluster, "CONNECT_S", 0.5)
    with pytest.raises(CourseError, match="No Dask scheduler answers"):
        cluster.Cluster("tcp://127.0.0.1:9")


def test_without_dask_the_extra_is_named(monkeypatch):
    from autograder.engine import cluster

    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(CourseError, match="cluster"):
        cluster.Cluster("tcp://127.0.0.1:8786")
