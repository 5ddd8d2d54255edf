"""Compare an answer with the right one and say in a sentence what went wrong.

The tests of every assignment call these functions, so that a failing test teaches: the message
names the likely mistake and shows the numbers. An answer is first turned into plain numbers, text
and lists by methods of the built-in types alone, so an object whose `__eq__`, `__float__` or
`__array__` lies is rejected, not believed. Failures are raised, never asserted: `python -O` cannot
drop them. Hidden tests draw their inputs with `fresh_rng` and pass `hidden=True`: then the message
names the kind of mistake and shows no values. `vjp` gives the gradients of an answer, both in a
notebook and in the grader, where the student's function runs in another process.
"""

from course_lib.checks.compare import RTOL, close, equal, fresh_rng
from course_lib.checks.gradients import Pullback, vjp
from course_lib.checks.plain import MAX_VALUES

__all__ = ["MAX_VALUES", "RTOL", "Pullback", "close", "equal", "fresh_rng", "vjp"]
