"""What can go wrong between a test and a student's function, and how an exception travels.

An exception crosses as the name of a built-in class and a capped message; the class is looked up
in a fixed list, so a test may catch ValueError from a student's function, and no class of the
student's is ever made in the trusted process.
"""

from __future__ import annotations

import builtins
from typing import Any

MAX_MESSAGE = 2000

_NEVER = {"StopAsyncIteration", "EncodingWarning", "BaseExceptionGroup", "ExceptionGroup"}
KNOWN = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, Exception) and name not in _NEVER
}


class StudentError(Exception):
    """The student's code raised something without a built-in class, or answered nonsense."""


class GraderError(Exception):
    """A test needs something that the judge cannot do; the student is not to blame."""


class CodecError(Exception):
    """A value that cannot travel, or data that no honest peer sends; the message says why."""


class ChannelClosed(BaseException):
    """The other side is gone, or wrote what is no frame; no `except Exception` may hide it."""


def describe(error: BaseException) -> dict[str, Any]:
    """Return class and message of an exception as plain data."""
    kinds = type.__dict__["__mro__"].__get__(type(error))
    name = next((k.__name__ for k in kinds if KNOWN.get(k.__name__, object) is k), "")
    own = str(type(error).__name__)[:80]
    arguments: Any = getattr(error, "args", ())
    message: str | int = _text(error)
    if name == "KeyError" and len(arguments) == 1 and type(arguments[0]) in (str, int):
        key = arguments[0]  # str(KeyError("x")) is "'x'"
        message = key[:MAX_MESSAGE] if isinstance(key, str) else key
    return {"kind": name, "name": own, "message": message}


def rebuild(said: Any) -> Exception:
    """Return the exception that `describe` described; never raises, whatever `said` is."""
    if not isinstance(said, dict):
        return StudentError("The submission failed and did not say why.")
    kind, name, message = (said.get(key) for key in ("kind", "name", "message"))
    if not isinstance(message, str | int) or (isinstance(message, str) and len(message) > 2500):
        message = ""
    name = name if isinstance(name, str) and name.isidentifier() and len(name) <= 80 else "Error"
    if name == StudentError.__name__:
        return StudentError(str(message))
    found = KNOWN.get(kind) if isinstance(kind, str) else None
    if found is None or found is Exception:
        return StudentError(f"{name}: {message}" if message != "" else name)
    try:
        return found(message) if message != "" else found()
    except Exception:  # such as UnicodeDecodeError, which takes five arguments
        return StudentError(f"{kind}: {message}")


def _text(error: BaseException) -> str:
    try:
        return str(error)[:MAX_MESSAGE]
    except BaseException:
        return "its message could not be read"
