"""The `autograder` command. Exit status: 0 all well, 1 something needs a look, 2 usage.

base      what the commands share: options, errors, the course
marking   release, collect, grade, check
handing   feedback, export, report
proving   verify, doctor, demo
"""

from autograder.cli import marking  # isort: skip  # the order of the commands in --help
from autograder.cli import handing  # isort: skip
from autograder.cli import proving  # isort: skip
from autograder.cli.base import app

__all__ = ["app", "handing", "marking", "proving"]
