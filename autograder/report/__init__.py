"""How a class did on an assignment, and how good its questions were, as one HTML page."""

from autograder.report.analysis import Analysis, analyse
from autograder.report.page import render, write_report

__all__ = ["Analysis", "analyse", "render", "write_report"]
