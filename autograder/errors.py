"""Errors that a command turns into one sentence on the screen and exit code 2."""

from __future__ import annotations


class CourseError(Exception):
    """The command cannot start: what is wrong, with which value, and what to do about it."""


class NoSandboxError(CourseError):
    """This machine cannot confine submissions; nothing is graded, not even the next one."""
