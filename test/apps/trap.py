#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""When Syscall User Dispatch is armed, as the kernel tells a tracer.

Run by ctest as apps.trap; see harness.py for the arguments. For a program that makes many calls the
trap is disarmed, until text appears that has not been scanned. The trap stays armed for good once
the program has had a thread, or has made many calls by an instruction that could not become a jump.
"""

import ctypes
import os
import signal

import harness
from harness import check_equal, skip, wait_for

# Stops itself after each phase.
SOURCE = """
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
static void calls(int count) { while (count--) fcntl(-1, F_GETFD); }
/* No jump has room here, nor is there any near. */
void no_room(void);
__asm__(".text\\n.globl no_room\\nno_room: .cfi_startproc\\n.rept 200\\n inc %ecx\\n.endr\\n mov $39, %al\\n movzbl %al, %eax\\n"
        " syscall\\n.rept 200\\n inc %ecx\\n.endr\\n ret\\n.cfi_endproc\\n");
static void* nothing(void* argument) { return argument; }
int main(void) {
  pthread_t thread;
  raise(SIGSTOP);
  calls(40000);
  raise(SIGSTOP);
  if (!dlopen("libresolv.so.2", RTLD_NOW)) return 1;
  raise(SIGSTOP);
  calls(70000);
  raise(SIGSTOP);
  for (int i = 0; i < 500; i++) no_room();
  raise(SIGSTOP);
  for (int i = 0; i < 1000; i++) no_room();
  raise(SIGSTOP);
  if (pthread_create(&thread, 0, nothing, 0) || pthread_join(thread, 0)) return 2;
  raise(SIGSTOP);
  calls(300000);
  raise(SIGSTOP);
  return 7;
}
"""
PHASES = ("at its start", "after 40,000 calls", "after dlopen", "after 70,000 more",
          "after some calls that no jump has room for", "after many", "after a thread", "after 300,000 more")
SEIZE, DETACH, GET_CONFIG = 0x4206, 17, 0x4211  # linux/ptrace.h

libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
libc.ptrace.restype = ctypes.c_long


def ptrace(request, pid, address=None, data=None):
    if libc.ptrace(request, pid, address, data) == -1:
        raise OSError(ctypes.get_errno(), f"ptrace {request:#x}")


def is_stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()[0] in "Tt"


def is_armed(pid):
    """The trap's state in a process that has stopped itself, and stays stopped."""
    wait_for(f"{pid} stops itself", lambda: is_stopped(pid), interval_s=0.01)
    ptrace(SEIZE, pid)
    try:
        os.waitpid(pid, os.WUNTRACED)
        config = (ctypes.c_uint64 * 4)()  # mode, selector, offset, len
        try:
            ptrace(GET_CONFIG, pid, ctypes.sizeof(config), ctypes.addressof(config))
        except OSError as error:
            skip(f"this kernel tells nothing of Syscall User Dispatch (before 6.4): {error}")
        return config[0] == 1
    finally:
        ptrace(DETACH, pid)


def phases(t, program, flags):
    process = t.start(t.device.mino_argv(["run", *flags, "--", program]))
    armed = []
    for _ in PHASES:
        armed.append(is_armed(process.pid))
        os.kill(process.pid, signal.SIGCONT)
    check_equal(process.wait(), 7, f"exit status with {flags}")
    return armed


def main(t):
    program = t.scratch / "phases"
    source = t.scratch / "phases.c"
    source.write_text(SOURCE)
    t.host("cc", "-O1", "-o", program, source).ok()
    for flags, expected in (([], (True, False, True, False, False, True, True, True)),
                            (["--rest-after", "0"], (True,) * 8),
                            (["--rest-after", "300000"], (True,) * 8),
                            (["--hook", "sud"], (True,) * 8),
                            (["--hook", "patch"], (False,) * 8)):
        got = phases(t, program, flags)
        for phase, armed, wanted in zip(PHASES, got, expected):
            check_equal(armed, wanted, f"mino run {' '.join(flags)}: armed {phase}")


harness.run(main, needs=("cc",), own_tiers=True)
