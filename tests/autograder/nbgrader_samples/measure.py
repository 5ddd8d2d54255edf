"""Grade nbgrader's sample notebooks with nbgrader itself and keep the scores.

    python tests/autograder/nbgrader_samples/measure.py

The notebooks beside this file are those of nbgrader 0.9.6's own test suite
(nbgrader/tests/apps/files and nbgrader/tests/preprocessors/files), unchanged, under the licence
in LICENSE. `scores.json` has what `nbgrader autograde` gives each submission per cell: its
points, or null where a person has to mark it; null for a submission that nbgrader fails on.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

HERE = Path(__file__).parent

# (source, submission); "=" hands the released notebook in as it is, "+" the source itself
CASES = [
    ("submitted-unchanged", "="),
    ("submitted-unchanged", "submitted-changed"),
    ("submitted-unchanged", "submitted-cheat-attempt"),
    ("submitted-unchanged", "submitted-cheat-attempt-alternative"),
    ("submitted-unchanged", "submitted-grade-cell-changed"),
    ("submitted-unchanged", "submitted-locked-cell-changed"),
    ("submitted-unchanged", "submitted-answer-cell-type-changed"),
    ("submitted-unchanged", "submitted-grade-cell-type-changed"),
    ("test-hidden-tests", "="),
    ("test-hidden-tests", "+"),
    ("test", "="),
    ("test", "+"),
    ("test_taskcell", "="),
    ("test_taskcell", "+"),
    ("manually-graded-code-cell", "="),
    ("manually-graded-code-cell", "+"),
    ("validation-zero-points", "="),
    ("validating-environment-variable", "="),
    ("open_relative_file", "="),
    ("autotest-simple", "autotest-simple-unchanged"),
    ("autotest-simple", "autotest-simple-changed"),
    ("autotest-hashed", "autotest-hashed-unchanged"),
    ("autotest-hashed", "autotest-hashed-changed"),
    ("autotest-hidden", "autotest-hidden-unchanged"),
    ("autotest-hidden", "autotest-hidden-changed-wrong"),
    ("autotest-hidden", "autotest-hidden-changed-right"),
    ("autotest-multi", "autotest-multi-unchanged"),
    ("autotest-multi", "autotest-multi-changed"),
]


def set_up(root: Path) -> None:
    """A course with an assignment per source notebook, each with its data file."""
    (root / "nbgrader_config.py").write_text("c = get_config()\n")
    shutil.copy(HERE / "autotests.yml", root)
    for source in sorted({source for source, _ in CASES}):
        folder = root / "source" / source
        folder.mkdir(parents=True)
        shutil.copy(HERE / f"{source}.ipynb", folder / "p1.ipynb")
        shutil.copy(HERE / "data.txt", folder)


def hand_in(root: Path, source: str, submission: str) -> str:
    """Put a submission where nbgrader expects it; return the student's id."""
    own = {"=": root / "release" / source / "p1.ipynb", "+": root / "source" / source / "p1.ipynb"}
    student = {"=": "released", "+": "source"}.get(submission, submission)
    folder = root / "submitted" / student / source
    folder.mkdir(parents=True)
    shutil.copy(own.get(submission, HERE / f"{submission}.ipynb"), folder / "p1.ipynb")
    shutil.copy(HERE / "data.txt", folder)
    return student


def main() -> None:
    import os

    from nbgrader.api import Gradebook
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    kept = HERE / "scores.json"  # what is there is not measured again: delete it to start anew
    scores = json.loads(kept.read_text()) if kept.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        set_up(root)
        os.chdir(root)
        config = Config()
        config.CourseDirectory.root = str(root)
        api = NbGraderAPI(config=config)
        released = set()
        for source, submission in CASES:
            if f"{source} {submission}" in scores:
                continue
            if source not in released:
                done = api.generate_assignment(source)
                assert done["success"], done
                released.add(source)
            student = hand_in(root, source, submission)
            done = api.autograde(source, student)
            if not done["success"]:
                scores[f"{source} {submission}"] = None  # nbgrader gives up on it
                continue
            with Gradebook(f"sqlite:///{root}/gradebook.db") as book:
                grades = book.find_submission_notebook("p1", source, student).grades
                scores[f"{source} {submission}"] = {
                    grade.name: None if grade.needs_manual_grade else grade.auto_score
                    for grade in sorted(grades, key=lambda grade: str(grade.name))
                }
            kept.write_text(json.dumps(scores, indent=1) + "\n")


if __name__ == "__main__":
    main()
