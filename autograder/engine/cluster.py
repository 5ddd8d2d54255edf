"""The same grading on the workers of a Dask cluster; only this process writes anything.

A task carries all that it needs, so workers share no disk with the course. They do
need the same software: a worker that grades with other code refuses. Losing a worker costs
time, never a grade: Dask moves its tasks, and what still fails is tried again by the caller.
Needs the extra `cluster`.
"""

from __future__ import annotations

from typing import Any

from autograder.engine.contents import Contents
from autograder.engine.terms import Terms, versions
from autograder.errors import CourseError
from autograder.result import Graded

CONNECT_S = 30.0
PATIENCE_S = 300.0  # beyond the notebook's own limit: transfer, start of a worker, queue


class Cluster:
    """A connection to a Dask scheduler, as a grader that can be called from many threads."""

    def __init__(self, address: str) -> None:
        self.client = _connect(address)
        try:
            self.client.wait_for_workers(1, timeout=CONNECT_S)
        except Exception:
            raise CourseError(
                f"The scheduler {address} has no worker. Start some with "
                f"`dask worker {address} --nthreads 1`, as many as there are cores."
            ) from None
        others = [at for at, have in self.client.run(versions).items() if have != versions()]
        if others:
            raise CourseError(
                f"These workers have another version of the course than this machine: "
                f"{', '.join(sorted(others))}. Bring them to the same commit and set-up."
            )

    @property
    def jobs(self) -> int:
        """Submissions that the workers can take at a time."""
        return max(1, sum(self.client.nthreads().values()))

    def grade(self, student: str, contents: Contents, terms: Terms) -> Graded:
        """Grade on some worker; raises where that fails, whatever the reason."""
        future = self.client.submit(grade_task, student, contents, terms, pure=False, retries=2)
        try:
            return Graded.from_json(future.result(terms.limits.notebook_s + PATIENCE_S))
        finally:
            future.cancel()

    def close(self) -> None:
        """Leave the cluster as it was found."""
        self.client.close()


def grade_task(student: str, contents: Contents, terms: Terms) -> str:
    """What a worker does: grade one submission and send the result back as JSON."""
    from autograder.grade import grade_contents

    if terms.versions != versions():
        raise RuntimeError("this worker has another version of the course than the coordinator")
    return grade_contents(student, contents, terms).to_json()


def _connect(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise CourseError(
            "Grading on a cluster needs Dask: pip install -c constraints.txt -e '.[cluster]'"
        ) from None
    try:
        return Client(address, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise CourseError(
            f"No Dask scheduler answers at {address} ({error}). An address looks like "
            "tcp://10.0.0.5:8786; `dask scheduler` prints its own."
        ) from None
