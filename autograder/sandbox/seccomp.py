"""seccomp: the system calls that a submission has no business with fail with an error.

A list of what is refused, not of what is allowed: torch, numpy and their libraries use hundreds
of calls that differ between versions, and what the list must stop is known. In place of
libseccomp, which is a system library, the filter is written out: it is a straight line.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct

from autograder.sandbox import linux

# asm/unistd.h: (x86_64, aarch64); None where the architecture does not have the call.
REFUSED: dict[str, tuple[int | None, int | None]] = {
    # other processes
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    # namespaces and mounts
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467),
    "open_by_handle_at": (304, 265),
    # large or historically faulty parts of the kernel
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "vmsplice": (278, 75),
    "fanotify_init": (300, 262),
    "memfd_secret": (447, 447),
    "lookup_dcookie": (212, 18),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    # the machine
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "vhangup": (153, 58),
    "iopl": (172, None),
    "ioperm": (173, None),
}
_SOCKET, _CONNECT, _CLONE, _CLONE3 = (41, 198), (42, 203), (56, 220), (435, 435)
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000
_NEW_NAMESPACES = (
    linux.CLONE_NEWNS
    | linux.CLONE_NEWCGROUP
    | linux.CLONE_NEWUTS
    | linux.CLONE_NEWIPC
    | linux.CLONE_NEWUSER
    | linux.CLONE_NEWPID
    | linux.CLONE_NEWNET
)

# linux/bpf_common.h, linux/seccomp.h
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_NUMBER_AT, _ARCH_AT, _ARGUMENT_AT = 0, 4, 16
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 22, 2


def supported() -> bool:
    """Whether the filter is written for this machine."""
    return linux.ON_LINUX and linux.MACHINE in _AUDIT_ARCH


def program(machine: str, connect: bool = True) -> bytes:
    """The filter for one architecture ("x86_64" or "aarch64") as classic BPF."""
    column = 0 if machine == "x86_64" else 1
    steps = [
        _step(_LOAD, _ARCH_AT),
        _step(_EQUAL, _AUDIT_ARCH[machine], yes=1),
        _step(_RETURN, _KILL),
        _step(_LOAD, _NUMBER_AT),
    ]
    if machine == "x86_64":
        steps += [_step(_AT_LEAST, _X32_BIT, no=1), _step(_RETURN, _ERROR | errno.ENOSYS)]
    for numbers in (*REFUSED.values(), *([] if connect else [_CONNECT])):
        number = numbers[column]
        if number is not None:
            steps += [_step(_EQUAL, number, no=1), _step(_RETURN, _ERROR | errno.EPERM)]
    # The C library falls back from clone3, whose flags a filter cannot see, to clone.
    steps += [_step(_EQUAL, _CLONE3[column], no=1), _step(_RETURN, _ERROR | errno.ENOSYS)]
    steps += [
        _step(_EQUAL, _CLONE[column], no=3),
        _step(_LOAD, _ARGUMENT_AT),
        _step(_ANY_BIT, _NEW_NAMESPACES, no=1),
        _step(_RETURN, _ERROR | errno.EPERM),
        _step(_LOAD, _NUMBER_AT),
    ]
    # A missing network is what a student's machine could also have, so that is the error.
    steps += [
        _step(_EQUAL, _SOCKET[column], no=6),
        _step(_LOAD, _ARGUMENT_AT),
        _step(_EQUAL, socket.AF_UNIX, yes=4),
        _step(_EQUAL, socket.AF_INET, yes=2),
        _step(_EQUAL, socket.AF_INET6, yes=1),
        _step(_RETURN, _ERROR | errno.EAFNOSUPPORT),
        _step(_RETURN, _ERROR | errno.ENETUNREACH),
        _step(_RETURN, _ALLOW),
    ]
    return b"".join(steps)


def install(connect: bool = True) -> None:
    """Apply the filter to this process and its children; needs no_new_privileges first.

    Without `connect` not even unix sockets connect: for where the file system shows sockets of
    the machine's own services, to which Landlock does not deny connecting.
    """
    code = program(linux.MACHINE, connect)
    buffer = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(buffer))
    zero = ctypes.c_ulong(0)
    mode = ctypes.c_ulong(_SECCOMP_MODE_FILTER)
    linux.checked("prctl", ctypes.c_int(_PR_SET_SECCOMP), mode, header, zero, zero)


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    return struct.pack("HBBI", code, yes, no, value)
