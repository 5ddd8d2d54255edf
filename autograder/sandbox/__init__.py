"""Confine a submission on Linux: `probe` finds the means, `confine` applies them.

What a submission can do is: read the Python installation, the course library and its own
files; write to its home, /tmp and /dev/shm, which are limited in size and gone afterwards;
compute, within limits. Not: any network, other files, other processes.

    linux     calls that Python does not have
    view      which files are seen, and where
    landlock  files, signals and abstract sockets denied by the kernel
    seccomp   system calls refused
    confine   forks a process into all of it
    probe     tries it out, fails closed
"""

from autograder.sandbox import linux
from autograder.sandbox.confine import NO_MEANS, Box, Means, home_inside, home_outside, start
from autograder.sandbox.probe import Layer, Level, find_level
from autograder.sandbox.view import HOME, RUNTIME, View, this_installation

__all__ = [
    "HOME",
    "NO_MEANS",
    "RUNTIME",
    "Box",
    "Layer",
    "Level",
    "Means",
    "View",
    "find_level",
    "home_inside",
    "home_outside",
    "linux",
    "start",
    "this_installation",
]
