"""Text that is on every machine with Python: the source of its standard library.

It has a structure worth learning (brackets, indentation, words) and a licence that lets it be
used. The modules of the three splits are different files; which text they hold depends a little
on the Python version, so results on it name theirs.
"""

from __future__ import annotations

import sysconfig
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from course_lib._validate import check_choice

MODULES = {
    "train": (
        "argparse ast bdb calendar codecs collections/__init__ configparser contextlib copy csv "
        "datetime difflib dis doctest email/message enum fractions ftplib functools gettext glob "
        "gzip heapq html/parser http/client imaplib inspect ipaddress json/decoder json/encoder "
        "locale logging/__init__ mailbox mimetypes multiprocessing/pool nntplib numbers optparse "
        "os pathlib pdb pickle pickletools platform plistlib pprint queue random re/_parser sched "
        "selectors shelve shlex shutil smtplib socket socketserver sqlite3/dump ssl string "
        "subprocess tarfile tempfile textwrap threading timeit tokenize trace traceback turtle "
        "typing unittest/case unittest/mock urllib/parse urllib/request uuid warnings wave "
        "weakref webbrowser xml/dom/minidom zipfile"
    ),
    "validation": "bisect cmd decimal _pydecimal statistics http/server tracemalloc",
    "test": "dataclasses fileinput hmac linecache operator unittest/loader xmlrpc/client",
}


def python_source(split: str) -> str:
    """Return the source text of the standard library's modules in a split.

    `split` is "train", "validation" or "test". A module that this Python lacks is left out.
    """
    return _read(check_choice("split", split, MODULES))


def windows(text: str, length: int, count: int, generator: torch.Generator) -> Tensor:
    """Return `count` random pieces of the UTF-8 bytes of `text`, -> int64 [count, length]."""
    data = torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)
    if not 0 < length <= len(data):
        raise ValueError(
            f"length must be from 1 to the {len(data)} bytes of the text, got {length!r}."
        )
    starts = torch.randint(len(data) - length + 1, (count, 1), generator=generator)
    return data[starts + torch.arange(length)].long()


@cache
def _read(split: str) -> str:
    folder = Path(sysconfig.get_paths()["stdlib"])
    paths = [folder / f"{module}.py" for module in MODULES[split].split()]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths if path.is_file())
