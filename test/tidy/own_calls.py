# SPDX-License-Identifier: Apache-2.0
"""A program's seccomp filter must not end it for a call that it did not make: what the hook calls by
raw() or mino_interruptible() is on the list of hook/calls/seccomp_front.cc, or the same file asks
filters_allow_own() about it first.

Exempt are calls that the program makes itself and the hook in its place, and those made where no
filter can be or where the hook gives the matter up as soon as there is one (EXEMPT).
"""
import re

from tree import line_at

RULE = "own_calls"
LIST = "hook/calls/seccomp_front.cc"
CALL = re.compile(r"\b(?:raw|mino_interruptible)\((?:\s*\w+,)?\s*__NR_(\w+)((?:,[^,()]*){0,2})")
TOLD_BY = {"prctl": 1, "ioctl": 2}  # the argument that says what it does
# {file: the calls there that need not be on the list}
EXEMPT = {
    # in the program's place
    "hook/calls/descriptors.cc": {"close_range", "dup"},
    "hook/calls/exec.cc": {"execve"},
    "hook/calls/fork.cc": {"clone", "clone3"},
    "hook/calls/pidfd_getfd.cc": {"pidfd_getfd"},
    "hook/calls/seccomp.cc": {"prctl"},
    "hook/calls/setns.cc": {"setns"},
    "hook/calls/signals.cc": {"sigaltstack", "rt_sigtimedwait", "rt_sigpending"},
    "hook/catch/on_signal.cc": {"ptrace"},
    "hook/catch/strict_mode.cc": {"exit"},
    "hook/device/sharing.cc": {"unshare"},
    "hook/preload/spawn.cc": {"getpgrp", "getuid", "getgid", "sched_setparam", "sched_setscheduler", "setpgid", "setsid"},
    "hook/start/load.cc": {"exit_group", "openat"},
    # not with a filter: there is a session before one is installed; links, patch and disarm are then off
    "hook/base/proc.h": {"openat"},
    "hook/calls/symlinks.cc": {"stat", "newfstatat", "openat2"},
    "hook/catch/disarm.cc": {"mprotect", "personality", "prctl"},
    "hook/catch/image.cc": {"openat", "ioctl"},
    "hook/catch/patch.cc": {"mprotect"},
    "hook/device/attach.cc": {"open", "socket", "connect"},
    # exec asks first whether the filters allow what reads a program (hook/calls/exec.cc)
    "hook/start/program_file.cc": {"openat", "mprotect"},
    "hook/start/shown_environment.cc": {"brk", "prctl"},
}


def check(tree):
    if LIST not in tree.present:
        return
    lists = " ".join(re.findall(r"\bkOwn\w+(?:\[\])?\s*=\s*([^;]*);", tree.code(LIST)))
    allowed = {name.removeprefix("__NR_") for name in re.findall(r"\w+", lists)}
    for name in tree.sources("hook"):
        if name.endswith("_test.cc"):
            continue
        code = tree.code(name)
        passes = allowed | EXEMPT.get(name, set()) | set(re.findall(r"filters_allow_own\(\s*\w+,\s*__NR_(\w+)", code))
        for match in CALL.finditer(code):
            call, arguments = match.group(1), [*match.group(2).split(","), "", ""]
            if call not in passes and arguments[TOLD_BY.get(call, 0)].strip() not in allowed:
                yield name, line_at(code, match.start()), (
                    f"{call} does not pass a program's filter: see {LIST}, or ask filters_allow_own()")
