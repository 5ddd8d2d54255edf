"""Landlock: which files a process may touch, whatever its user may, and whom it may signal.

Source: https://docs.kernel.org/userspace-api/landlock.html. Numbers from linux/landlock.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import stat
import struct
from collections.abc import Iterable

from autograder.sandbox.linux import ON_LINUX, syscall

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_VERSION = 1
_RULE_PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
TRUNCATE, IOCTL_DEV = 1 << 14, 1 << 15
_OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
_READ = EXECUTE | READ_FILE | READ_DIR
_FS_BITS = {1: 13, 2: 14, 3: 15, 5: 16}  # rights known from each version on
_TCP_FROM, _SCOPES_FROM = 4, 6
_BIND_AND_CONNECT_TCP = 3
_SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS = 3


def version() -> int:
    """The version of Landlock in this Linux; 0 where there is none."""
    if not ON_LINUX:
        return 0
    try:
        return syscall(_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(_VERSION))
    except OSError:
        return 0


def scopes_signals_and_abstract_sockets() -> bool:
    """Whether this version also confines signals and abstract unix sockets."""
    return version() >= _SCOPES_FROM


def restrict(
    readable: Iterable[str], writable: Iterable[str], listable: Iterable[str] = ()
) -> None:
    """Deny this process and its children all files but these and what lies below them.

    Of `listable` folders, and of what lies below, only the names can be read. Paths that do
    not exist are left out. Needs no_new_privileges first. OSError where this Linux has no
    Landlock.
    """
    abi = version()
    handled = (1 << max(bits for since, bits in _FS_BITS.items() if since <= max(abi, 1))) - 1
    ruleset_attributes = struct.pack(
        "QQQ",
        handled,
        _BIND_AND_CONNECT_TCP if abi >= _TCP_FROM else 0,
        _SCOPE_ABSTRACT_SOCKETS_AND_SIGNALS if abi >= _SCOPES_FROM else 0,
    )
    size = 24 if abi >= _SCOPES_FROM else 16 if abi >= _TCP_FROM else 8
    ruleset = syscall(_CREATE, ruleset_attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
    try:
        for path in listable:
            _allow(ruleset, path, READ_DIR)
        for path in readable:
            _allow(ruleset, path, handled & _READ)
        for path in writable:
            _allow(ruleset, path, handled)
        syscall(_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0))
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    with contextlib.suppress(FileNotFoundError, PermissionError):
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(handle).st_mode):
                rights &= _OF_A_FILE
            rule = struct.pack("=Qi", rights, handle)
            syscall(_ADD_RULE, ctypes.c_int(ruleset), _RULE_PATH_BENEATH, rule, ctypes.c_uint(0))
        finally:
            os.close(handle)
