"""Runs a program under a unit's system call rules: `python sandbox.py UNIT PROGRAM ARGUMENT...`.

It reads SystemCallFilter=, RestrictAddressFamilies= and MemoryDenyWriteExecute= from the unit, has
`systemd-analyze` say what the groups contain, and loads the same kernel filters as systemd before
it becomes the program.
"""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys

import pyseccomp as seccomp

PROT_WRITE, PROT_EXEC = 2, 4


def values(unit: str, key: str) -> list[str]:
    with open(unit, encoding="utf-8") as lines:
        return [line.strip().split("=", 1)[1] for line in lines if line.startswith(f"{key}=")]


def members(name: str) -> set[str]:
    """The system calls of a group, groups in it included; a name that is no group is itself."""
    if not name.startswith("@"):
        return {name}
    command = ["systemd-analyze", "syscall-filter", "--no-pager", name]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    words = [
        line.strip() for line in listed[1:] if line.strip() and not line.strip().startswith("#")
    ]
    return set().union(*(members(word) for word in words))


def allowed(unit: str) -> set[str]:
    calls = members("@default")
    for value in values(unit, "SystemCallFilter"):
        named = set().union(*(members(word) for word in value.removeprefix("~").split()))
        calls = calls - named if value.startswith("~") else calls | named
    return calls


def forbid_arguments(unit: str) -> None:
    rules = seccomp.SyscallFilter(seccomp.ALLOW)
    for value in values(unit, "RestrictAddressFamilies"):
        open_to = {int(getattr(socket, word)) for word in value.split()}
        for family in set(range(46)) - open_to:
            refuse = seccomp.ERRNO(errno.EAFNOSUPPORT)
            rules.add_rule(refuse, "socket", seccomp.Arg(0, seccomp.EQ, family))
    if values(unit, "MemoryDenyWriteExecute") == ["yes"]:
        both, refuse = PROT_WRITE | PROT_EXEC, seccomp.ERRNO(errno.EPERM)
        rules.add_rule(refuse, "mmap", seccomp.Arg(2, seccomp.MASKED_EQ, both, both))
        rules.add_rule(refuse, "mprotect", seccomp.Arg(2, seccomp.MASKED_EQ, PROT_EXEC, PROT_EXEC))
    rules.load()


def main() -> None:
    unit, program = sys.argv[1], sys.argv[2:]
    calls = allowed(unit)
    forbid_arguments(unit)
    rules = seccomp.SyscallFilter(seccomp.ERRNO(errno.EPERM))
    for call in calls:
        try:
            rules.add_rule(seccomp.ALLOW, call)
        except (ValueError, OSError):
            continue  # of another architecture, or newer than this library
    rules.load()
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
