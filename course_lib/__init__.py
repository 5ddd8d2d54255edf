"""Efficient deep learning: the library that the course's notebooks and assignments stand on.

One idea per module; import the one you need: `from course_lib import cost`.
"""

from course_lib import _torchvision

__version__ = "0.1.0"

_torchvision.declare_missing_operators()
