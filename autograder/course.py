"""Where things are: the course directory as nbgrader's own configuration describes it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nbgrader.coursedir import CourseDirectory
from traitlets.config import Config, PyFileConfigLoader

from autograder.errors import CourseError

CONFIG_NAME = "nbgrader_config.py"


@dataclass(frozen=True)
class Course:
    """An nbgrader course directory."""

    root: Path

    @classmethod
    def find(cls, start: Path | None = None) -> Course:
        """Return the course that holds `start` (default: the working directory)."""
        here = (start or Path.cwd()).resolve()
        for folder in (here, *here.parents):
            if (folder / CONFIG_NAME).is_file():
                return cls(folder)
        raise CourseError(
            f"No {CONFIG_NAME} in {here} or any folder above it. "
            "Change into the course, or name it with --course DIR."
        )

    @cached_property
    def config(self) -> Config:
        """nbgrader's configuration with the course's root filled in."""
        config = PyFileConfigLoader(CONFIG_NAME, path=str(self.root)).load_config()
        config.CourseDirectory.root = str(self.root)
        return config

    @cached_property
    def coursedir(self) -> CourseDirectory:
        """nbgrader's own view of the directory structure."""
        return CourseDirectory(config=self.config)

    @property
    def db_url(self) -> str:
        """SQLAlchemy address of the grade book."""
        return str(self.coursedir.db_url)

    @property
    def gradebook_file(self) -> Path | None:
        """Where the grade book is, unless it lives on a database server."""
        kind, _, path = self.db_url.partition(":///")
        return Path(path) if kind == "sqlite" else None

    def source(self, assignment: str) -> Path:
        """Folder of the instructor's version of an assignment."""
        return self._folder(self.coursedir.source_directory, ".", assignment)

    def released(self, assignment: str) -> Path:
        """Folder of the version that students get."""
        return self._folder(self.coursedir.release_directory, ".", assignment)

    def submitted(self, student: str, assignment: str) -> Path:
        """Folder of what one student handed in."""
        return self._folder(self.coursedir.submitted_directory, student, assignment)

    def autograded(self, student: str, assignment: str) -> Path:
        """Folder of one student's executed notebooks."""
        return self._folder(self.coursedir.autograded_directory, student, assignment)

    def feedback(self, student: str, assignment: str) -> Path:
        """Folder of one student's feedback pages."""
        return self._folder(self.coursedir.feedback_directory, student, assignment)

    def assignments(self) -> list[str]:
        """Names of all assignments that have a source folder with a notebook in it."""
        parent = self.source("x").parent
        return sorted({path.parent.name for path in parent.glob("*/*.ipynb")})

    def check_assignment(self, assignment: str) -> str:
        """Return the name if there is such an assignment; CourseError lists those there are."""
        if assignment not in self.assignments():
            have = ", ".join(self.assignments()) or "none"
            raise CourseError(f"No assignment is called {assignment!r}. There are: {have}.")
        return assignment

    def notebooks(self, assignment: str) -> list[str]:
        """Names (without .ipynb) of the notebooks of an assignment."""
        return sorted(path.stem for path in self.source(assignment).glob("*.ipynb"))

    def submitters(self, assignment: str) -> list[str]:
        """Ids of the students who have a folder for this assignment."""
        parent = self.submitted("x", assignment).parent.parent
        if not parent.is_dir():
            return []
        folders = (folder for folder in parent.iterdir() if not folder.name.startswith("."))
        return sorted(folder.name for folder in folders if (folder / assignment).is_dir())

    def _folder(self, step: str, student: str, assignment: str) -> Path:
        for name in (student, assignment):
            if name in ("", "..") or any(sign in name for sign in "/\\\0"):
                raise CourseError(f"{name!r} cannot be a folder's name: it would lead elsewhere.")
        return Path(self.coursedir.format_path(step, student, assignment))
