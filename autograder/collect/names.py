"""Which names of files and students are safe to write on any computer."""

from __future__ import annotations

import re
import unicodedata

MAX_DEPTH = 10
MAX_NAME_BYTES = 180  # file systems allow 255; copies get a suffix

# https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file
_RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$"}
_RESERVED |= {f"{port}{i}" for port in ("com", "lpt") for i in "0123456789¹²³"}
_FORBIDDEN = re.compile(r'[<>:"|?*]')


class Refused(Exception):
    """Why a file or a student is not taken: one sentence."""


def safe_parts(name: str) -> tuple[str, ...]:
    """The folders and the file that a path in an archive names.

    Raises `Refused` for a path that leads elsewhere or that cannot be written down. A character
    that Windows forbids becomes an underscore, so that nobody loses an answer to a question mark.
    """
    if any(unicodedata.category(char) in ("Cc", "Cs") for char in name):
        raise Refused(f"The name {printable(name)} has characters that no file name may have.")
    slashed = name.replace("\\", "/")
    if slashed.startswith("/") or re.match(r"[A-Za-z]:", slashed):
        raise Refused(f"{printable(name)} is an absolute path; it was refused.")
    parts = [part for part in slashed.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Refused(f"{printable(name)} leads out of its folder; it was refused.")
    if not parts or len(parts) > MAX_DEPTH:
        raise Refused(f"{printable(name)} has no name or lies too deep; it was refused.")
    safe = tuple(map(_portable, parts))
    if any(len(part.encode()) > MAX_NAME_BYTES for part in safe):
        raise Refused(f"The name {printable(name)} is too long; it was refused.")
    return safe


def student_id_problem(student: str) -> str:
    """Why this cannot be a student's id, in a sentence; nothing if it can.

    An id becomes the name of a folder, a key of the grade book and a cell of a spreadsheet.
    """
    told = f"The student id {printable(student)!r}"
    if not student or student != student.strip() or not student.isprintable():
        return f"{told} is empty, begins or ends with a blank or has unprintable characters."
    if student[0] in "=+-@.~" or student[-1] == ".":
        return f"{told} begins or ends with a sign that has a meaning elsewhere."
    if any(char in student for char in '/\\"') or _portable(student) != student:
        return f"{told} cannot be the name of a folder on every computer."
    if len(student.encode()) > 100:
        return f"{told} is too long."
    return ""


def folded(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The path as a file system that ignores case and accents' forms sees it."""
    return tuple(unicodedata.normalize("NFKC", part).casefold() for part in parts)


def printable(name: str, most: int = 80) -> str:
    """A name as it may stand in a sentence."""
    text = "".join(char if char.isprintable() else "?" for char in name)
    return text if len(text) <= most else f"{text[:most]}..."


def _portable(part: str) -> str:
    text = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", part))
    if text.rstrip(". ") != text:
        text = text.rstrip(". ") + "_"
    return f"_{text}" if text.partition(".")[0].strip().casefold() in _RESERVED else text
