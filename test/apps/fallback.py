#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A machine that refuses Syscall User Dispatch, patching or both: `mino run` takes the tier that is left, and says so.

Run by ctest as apps.fallback; see harness.py for the arguments. The refusals come from a seccomp
filter around `mino run`: prctl(PR_SET_SYSCALL_USER_DISPATCH) and mprotect(PROT_EXEC) answer EPERM.
"""

import ctypes
import os
import re
import struct

import harness
from harness import check, check_equal, content, sha256
from peers import HostHttp

LOAD, EQUAL, ANY_BIT, RETURN = 0x20, 0x15, 0x45, 0x06
NUMBER_AT, FIRST_AT, THIRD_AT = 0, 16, 32
ALLOW, REFUSE = 0x7fff0000, 0x00050001  # the errno is EPERM
PRCTL, MPROTECT, SET_DISPATCH, PROT_EXEC = 157, 10, 59, 4
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, MODE_FILTER = 38, 22, 2
TIERS = (("dispatch", "patch", "Syscall User Dispatch"), ("patching", "sud", "patching"),
         ("dispatch,patching", "preload", "Syscall User Dispatch .* and patching"))


def refuse(what, *command):
    """Executes a command to which the kernel refuses what is named."""
    nothing = 0xffff
    code = [(LOAD, 0, 0, NUMBER_AT),
            (EQUAL, 0, 2, PRCTL if "dispatch" in what else nothing),
            (LOAD, 0, 0, FIRST_AT), (EQUAL, 4, 3, SET_DISPATCH),
            (EQUAL, 0, 2, MPROTECT if "patching" in what else nothing),
            (LOAD, 0, 0, THIRD_AT), (ANY_BIT, 1, 0, PROT_EXEC),
            (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, REFUSE)]
    packed = b"".join(struct.pack("HBBI", *line) for line in code)
    program = ctypes.create_string_buffer(packed, len(packed))
    header = struct.pack("HxxxxxxQ", len(code), ctypes.addressof(program))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(PR_SET_SECCOMP, MODE_FILTER, header, 0, 0):
        raise OSError(ctypes.get_errno(), "the filter")
    os.execvp(command[0], command)


def refused(t, what, *argv):
    return t.host(*t.role("refuse", what, *t.device.run_argv(argv)))


def falls_back(t, server):
    for what, tier, reason in TIERS:
        got = refused(t, what, "curl", "-sS", "-w", "%{stderr}%{local_ip}", server.url("/bytes/1048576"))
        check_equal(got.status, 0, f"exit status of curl without {what}: {got.error_text}")
        check_equal(sha256(got.out), sha256(content(1 << 20)), f"1 MiB downloaded without {what}")
        said, _, address = got.error_text.rpartition("\n")
        check_equal(address, t.device_address(), f"curl's own address without {what}")
        check(re.search(f"^mino: this machine refuses {reason} .*; using --hook {tier}$", said),
              f"without {what} mino says {said!r}")


def goes_to_children(t):
    """The shell's children and theirs are offloaded too, and do not repeat the message."""
    got = refused(t, "dispatch,patching", "sh", "-c", "sh -c 'ip -4 -o addr show scope global' | cat; env")
    check(f" {t.device_address()}/" in got.ok(), f"a shell's child has the host's addresses: {got.text}")
    check("MINO_RUN" not in got.text and "LD_PRELOAD" not in got.text, f"the environment: {got.text}")
    check_equal(got.error_text.count("mino:"), 1, f"messages: {got.error_text}")


def cannot_load(t):
    got = t.mino("run", "--hook", "preload", "--load", "--", "true")
    check_equal(got.status, 125, "exit status of --hook preload --load")
    check("--load" in got.error_text, f"the message does not name --load: {got.error_text!r}")


def main(t):
    if t.native:
        harness.skip("there is no mino to choose a tier")
    with HostHttp(t.gateway_address()) as server:
        falls_back(t, server)
    goes_to_children(t)
    cannot_load(t)


if __name__ == "__main__":
    harness.run(main, needs=["curl", "ip"], own_tiers=True, roles={"refuse": refuse})
