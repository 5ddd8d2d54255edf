"""Is this machine fit to grade? Each check answers with a sentence and, if not, a remedy."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil

from autograder import sandboxed
from autograder.course import Course
from autograder.errors import CourseError
from autograder.execute import Limits
from autograder.gradebook import open_gradebook

_PIN = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s;]+)", re.MULTILINE)
NEEDED_DISK_BYTES = 2**30
NEEDED_MEMORY_BYTES = 2 * 2**30


@dataclass(frozen=True)
class Finding:
    """The outcome of one check."""

    check: str
    ok: bool
    says: str


def examine(course: Course) -> list[Finding]:
    """Run every check; a check that fails to run is a finding, not an error."""
    checks: dict[str, Callable[[Course], str]] = {
        "Python": _python,
        "packages": _packages,
        "torchvision": _torchvision,
        "data": _data,
        "kernel": _kernel,
        "grade book": _grade_book,
        "assignments": _assignments,
        "machine": _machine,
        "sandbox": _sandbox,
    }
    findings = []
    for name, check in checks.items():
        try:
            findings.append(Finding(name, True, check(course)))
        except Exception as error:
            findings.append(Finding(name, False, str(error)))
    return findings + _layers()


def _python(course: Course) -> str:
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{version}, {sys.prefix}"


def _packages(course: Course) -> str:
    constraints = Path(__file__).parent.parent / "constraints.txt"
    if not constraints.is_file():
        return "No constraints.txt beside the autograder; versions were not compared."
    pins = dict(_PIN.findall(constraints.read_text()))
    differ = []
    for name, wanted in pins.items():
        try:
            have = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        if have.partition("+")[0] != wanted:
            differ.append(f"{name} is {have}, proven with {wanted}")
    if differ:
        raise CourseError("; ".join(differ) + ". Run `make setup`.")
    return f"torch {importlib.metadata.version('torch')}; all versions as in constraints.txt"


def _torchvision(course: Course) -> str:
    import course_lib._torchvision as operators

    how = "compiled operators load" if operators.compiled_library_loads() else "schemas declared"
    import torchvision

    return f"{torchvision.__version__} imports ({how})"


def _data(course: Course) -> str:
    from course_lib import data

    mnist = data.load("mnist")
    return f"MNIST: {len(mnist.train)} training and {len(mnist.validation)} validation images"


def _kernel(course: Course) -> str:
    cell = nbformat.v4.new_code_cell("print('ready')")
    run = sandboxed.run(nbformat.v4.new_notebook(cells=[cell]), [], Limits())
    outputs = run.notebook.cells[0].outputs
    if run.problem or not outputs or outputs[0].get("text") != "ready\n":
        what = outputs[0].get("evalue", "") if outputs else "no output"
        raise CourseError(f"A notebook kernel did not run: {what} Run `make setup` again.")
    return "a notebook kernel starts, runs and is gone afterwards"


def _grade_book(course: Course) -> str:
    file = course.gradebook_file
    if file is not None and not file.exists():
        return "none yet; `autograder release` makes it"
    where = str(file) if file is not None else course.db_url.partition("://")[0]
    with open_gradebook(course) as gradebook:
        return (
            f"{where}: {len(gradebook.students)} students, {len(gradebook.assignments)} released"
        )


def _assignments(course: Course) -> str:
    names = course.assignments()
    if not names:
        raise CourseError(f"{course.source('x').parent} holds no assignment with a notebook.")
    return ", ".join(names)


def _machine(course: Course) -> str:
    disk = shutil.disk_usage(course.root).free
    memory = psutil.virtual_memory().available
    says = f"{memory / 2**30:.1f} GB memory and {disk / 2**30:.1f} GB disk free"
    if disk < NEEDED_DISK_BYTES or memory < NEEDED_MEMORY_BYTES:
        raise CourseError(f"{says}; grading wants 2 GB of memory and 1 GB of disk.")
    return says


def _sandbox(course: Course) -> str:
    level = sandboxed.start()
    if level.problem:
        raise CourseError(level.problem)
    return "holds: it was tried out just now"


def _layers() -> list[Finding]:
    """One finding per layer of the sandbox; a missing one is a fault only if none makes up."""
    try:
        level = sandboxed.start()
    except RuntimeError:
        return []  # the check "sandbox" has said so
    fit = not level.problem
    return [Finding(f"  {layer.name}", fit or layer.holds, layer.says) for layer in level.layers]
