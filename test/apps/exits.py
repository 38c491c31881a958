#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Exit statuses and messages of mino: no device, programs it cannot offload, wrong configuration.

Run by ctest as apps.exits; see harness.py for the arguments. Each message must name the remedy or
the place. A program that mino refuses must not have been started.
"""

import re
import shutil
import signal

import harness
from harness import check, check_equal

CANNOT_START = 125
# (name, text, line of the mistake, word that the message must hold)
MISTAKES = (
    ("unknown-key", "# one\n# two\nno_such_key = 1\n", 3, "no_such_key"),
    ("no-toml", "# one\nthis is no TOML\n", 2, ""),
)
CONFIG_MISTAKES = (
    ("unknown-section", "[uplink]\nnat = true\n\n[no_such_section]\nx = 1\n", 4, "no_such_section"),
    ("bad-address", "[uplink]\naddress = \"10.300.0.2/30\"\n", 2, "10.300.0.2"),
    ("bad-mtu", "[uplink]\nmtu = 7\n", 2, "mtu"),
    ("wrong-type", "[limits]\n\nsessions = \"many\"\n", 3, "sessions"),
    ("bad-engine", "engine = \"steam\"\n", 1, "steam"),
)
STATIC_SOURCE = """
#include <unistd.h>
int main(void) { return write(1, "static ran\\n", 11) == 11 ? 7 : 1; }
"""
# Executes a command under a seccomp filter that refuses one kind of call.
FILTER_SOURCE = """
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, field)
#define END BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
struct sock_filter opening[] = {LOAD(0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 1), END};
struct sock_filter executable[] = {LOAD(0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mprotect, 0, 3), LOAD(32),
  BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 4, 0, 1), END};
struct sock_filter place[] = {LOAD(0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 4), LOAD(20),
  BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x5800, 0, 2), BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 0x5900, 1, 0), END};
#define PROGRAM(code) {sizeof code / sizeof *code, code}
int main(int argc, char** argv) {
  struct sock_fprog programs[] = {PROGRAM(opening), PROGRAM(executable), PROGRAM(place)};
  const char* names[] = {"opening", "executable", "place"};
  for (int i = 0; i < 3; i++)
    if (!strcmp(argv[1], names[i]) &&
        (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &programs[i])))
      return 100;
  execv(argv[2], argv + 2);
  return 101;
}
"""


def without_device(t):
    """Before `mino up`: a message that names it, status 125, and no program started."""
    trace = t.scratch / "started"
    got = t.mino("run", "--", "touch", trace)
    check_equal(got.status, CANNOT_START,
                f"exit status of `mino run` without a device: {got.error_text}")
    # If the run directory is not the default, the remedy includes it.
    check(re.search(r"mino (--run-dir \S+ )?up\b", got.error_text),
          f"the message does not name `mino up`: {got.error_text!r}")
    check(not got.out, f"the message is on standard output: {got.text!r}")
    check(not trace.exists(), "the program was started without a device")
    for command in ("status", "ss", "down"):
        got = t.mino(command)
        check(got.status != 0 or command == "down",
              f"`mino {command}` without a device succeeds: {got.text}")
        check(got.text + got.error_text, f"`mino {command}` without a device says nothing")
        check("Traceback" not in got.error_text and "terminate called" not in got.error_text,
              f"`mino {command}` without a device: {got.error_text}")


def of_the_program(t):
    for status in (0, 3, 255):
        got = t.offloaded("sh", "-c", f"exit {status}")
        check_equal((got.status, got.err), (status, b""), f"a program that exits with {status}")
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV):
        got = t.offloaded("sh", "-c", f"ulimit -c 0; kill -{int(number)} $$")
        # mino replaces itself with the program, or reports its end as a shell would.
        check(got.status in (-number, 128 + number),
              f"exit status {got.status} of a program that died of {number.name}: {got.error_text}")
    got = t.offloaded("cat", stdin=b"through\n")
    check_equal((got.status, got.out, got.err), (0, b"through\n", b""), "standard input and output")
    got = t.offloaded("sh", "-c", 'echo "$0" "$@"', "a b", "", "--", "-x", "$HOME")
    check_equal(got.text, "a b  -- -x $HOME\n", "arguments")
    got = t.offloaded("sh", "-c", "pwd; umask; echo $VARIABLE", cwd=t.scratch,
                      env={"VARIABLE": "v"})
    check_equal(got.text.splitlines()[0], str(t.scratch), "working directory")
    check_equal(got.text.splitlines()[2], "v", "environment")


def not_a_program(t):
    for argv in (["/nowhere/no-such-program"], ["no-such-program-at-all"]):
        got = t.offloaded(*argv)
        check(got.status in (CANNOT_START, 126, 127), f"{argv}: exit status {got.status}")
        check(argv[0] in got.error_text, f"the message does not name {argv[0]}: {got.error_text!r}")
    plain = t.scratch / "not-executable"
    plain.write_text("no program\n")
    got = t.offloaded(plain)
    check(got.status in (CANNOT_START, 126, 127), f"not executable: exit status {got.status}")
    check(str(plain) in got.error_text, f"the message does not name {plain}: {got.error_text!r}")


def says_what(got, kind):
    check(re.search(kind, got.error_text, re.IGNORECASE),
          f"no message about a {kind} program: {got.error_text!r}")
    check("offload" in got.error_text,
          f"the message does not say what is not offloaded: {got.error_text!r}")


def static_program(t):
    """A static program runs like any other. With a tier that sees only the sites that a scan can
    prove, it runs on the host, with a message.
    """
    source, binary = t.scratch / "static.c", t.scratch / "static"
    source.write_text(STATIC_SOURCE)
    t.host("gcc", "-static", "-o", binary, source).ok()
    check_equal(t.host(binary).status, 7, "the static program, natively")
    got = t.offloaded(binary)
    check_equal((got.status, got.text, got.error_text), (7, "static ran\n", ""), "a static program")
    for hook in ("patch", "preload"):
        got = t.mino("run", "--hook", hook, "--", binary)
        check_equal((got.status, got.text), (7, "static ran\n"), f"a static program with --hook {hook}")
        says_what(got, "static")


def under_a_filter(t):
    """Where a seccomp filter leaves no way to hook a program, it runs on the host, with a message.
    """
    source, launcher = t.scratch / "filter.c", t.scratch / "filter"
    source.write_text(FILTER_SOURCE)
    t.host("gcc", "-o", launcher, source).ok()
    for kind, options, program, status in (
            ("opening", (), t.scratch / "static", 7), ("place", (), "/bin/true", 0),
            ("executable", ("--hook", "patch"), "/bin/true", 0)):
        check_equal(t.host(launcher, kind, program).status, status, f"{kind}, natively")
        got = t.mino("run", *options, "--", launcher, kind, program)
        check_equal(got.status, status, f"under a filter ({kind}): {got.error_text!r}")
        check("seccomp filter" in got.error_text,
              f"under a filter ({kind}), no message: {got.error_text!r}")
    got = t.offloaded(launcher, "executable", "/bin/true")
    check_equal((got.status, got.error_text), (0, ""), "under a filter that leaves a way")


def set_uid_program(t):
    """A set-uid program owned by nobody, so that even root changes its user by running it."""
    binary = t.scratch / "set-uid-id"
    shutil.copy("/usr/bin/id", binary)
    shutil.chown(binary, "nobody")
    binary.chmod(0o4755)
    if t.host(binary, "-un").text != "nobody\n":
        print(f"exits: set-uid programs not tried: {t.scratch} is mounted nosuid")
        return
    got = t.offloaded(binary, "-un")
    check(got.status in (0, CANNOT_START), f"exit status of a set-uid program: {got.status}")
    says_what(got, r"set-?u(ser-)?id")
    want = "" if got.status == CANNOT_START else "nobody\n"
    check_equal(got.text, want, "what the program printed")


def usage(t):
    for command in ((), ("up",), ("run",), ("status",), ("ss",), ("trace",), ("down",),
                    ("syscalls",), ("bench",)):
        got = t.mino(*command, "--help")
        check_equal(got.status, 0, f"exit status of `mino {' '.join(command)} --help`")
        check(len(got.text) > 40, f"`mino {' '.join(command)} --help` prints {got.text!r}")
    for argv in (("no-such-command",), ("run", "--no-such-option", "--", "true"),
                 ("run", "--hook", "no-such-hook", "--", "true"), ("run",),
                 ("run", "--arena", "many", "--", "true"), ("up", "--engine", "no-such-engine")):
        got = t.mino(*argv)
        check(got.status in (2, CANNOT_START), f"`mino {' '.join(argv)}`: exit status "
              f"{got.status}, want 2 or 125: {got.text}{got.error_text}")
        check(got.error_text, f"`mino {' '.join(argv)}` says nothing on standard error")


def refused(t, argv, mistake, rest=()):
    """A file with a mistake is refused; the message has the file, the line and the wrong word."""
    name, text, line, word = mistake
    path = t.scratch / f"{name}.toml"
    path.write_text(text)
    got = t.host(*argv, path, *rest, timeout_s=10)
    what = f"{' '.join(map(str, argv))} with {name}"
    check(got.status in (2, CANNOT_START), f"{what}: exit status {got.status}: {got.error_text!r}")
    check(f"{path.name}:{line}" in got.error_text,
          f"{what}: no {path.name}:{line} in the message: {got.error_text!r}")
    check(word in got.error_text, f"{what}: the message does not name {word}: {got.error_text!r}")


def full_device(t):
    """One session at a time is allowed: the second program is not started, and is told the limit.
    """
    config, trace = t.scratch / "small.toml", t.scratch / "started-full"
    config.write_text("[limits]\nsessions = 1\n")
    t.device.up("--config", config)
    # A program's session begins with its first socket.
    hold = "import socket, time; s = socket.socket(); print('ready', flush=True); time.sleep(60)"
    first = t.run_offloaded("/usr/bin/python3", "-c", hold)
    first.wait_log("ready")
    got = t.offloaded("touch", trace)
    check_equal(got.status, CANNOT_START, f"exit status on a full device: {got.error_text!r}")
    check("limits.sessions" in got.error_text, f"the limit is not named: {got.error_text!r}")
    check(not trace.exists(), "a program was started on a full device")
    first.kill()
    t.wait_no_sessions()
    check_equal(t.offloaded("true").status, 0, "a program after the device had room again")
    t.device.down()


def wrong_configuration(t, command):
    """Every command that takes a TOML file must name file and line for an unknown key."""
    taken = 0
    for option in ("--policy", "--config"):
        if option not in t.mino(command, "--help").text:
            continue
        taken += 1
        started = t.scratch / f"started-{command}{option}"
        rest = ["--", "touch", started] if command == "run" else []
        for mistake in MISTAKES + (CONFIG_MISTAKES if option == "--config" else ()):
            refused(t, [t.device.mino, "--run-dir", t.device.run_dir, command, option], mistake,
                    rest)
        got = t.mino(command, option, t.scratch / "no-such-file.toml", *rest)
        check(got.status in (2, CANNOT_START) and "no-such-file.toml" in got.error_text,
              f"`mino {command} {option}` without its file: {got.status} {got.error_text!r}")
        check(not started.exists(), f"a program ran in spite of a wrong {option}")
    return taken


def wrong_device(t):
    for url in ("nonsense", "shm:/nowhere/minod.sock", "ftp://127.0.0.1:1"):
        trace = t.scratch / "started-url"
        got = t.mino("run", "--device", url, "--", "touch", trace)
        check(got.status in (2, CANNOT_START), f"--device {url}: exit status {got.status}")
        check(not trace.exists(), f"--device {url}: the program was started")
        where = url.removeprefix("shm:").removesuffix("/minod.sock")
        check(where in got.error_text, f"--device {url} is not in the message: {got.error_text!r}")


def main(t):
    if t.native:  # the part that does not use mino
        t.device.up()
        of_the_program(t)
        t.device.down()
        return
    without_device(t)
    usage(t)
    taken = wrong_configuration(t, "up")
    for mistake in MISTAKES + CONFIG_MISTAKES:
        refused(t, [t.mino_path.with_name("minod"), "--config"], mistake)
    got = t.mino("status")
    check(got.status != 0, f"a device was started by a refused command: {got.text}")
    t.device.up()
    of_the_program(t)
    not_a_program(t)
    static_program(t)
    under_a_filter(t)
    set_uid_program(t)
    taken += wrong_configuration(t, "run")
    check(taken, "neither `mino up` nor `mino run` takes a policy or a configuration file")
    wrong_device(t)
    t.wait_no_sessions()
    second = t.mino("up")
    check(second.status == 0 or "running" in second.error_text,
          f"a second `mino up`: {second.status} {second.error_text!r}")
    check_equal(t.offloaded("true").status, 0, "a program after the second `mino up`")
    t.device.down()
    check(not t.device.leftovers(t), f"`mino down` left behind: {t.device.leftovers(t)}")
    full_device(t)
    without_device(t)


if __name__ == "__main__":
    harness.run(main, own_device=True, own_tiers=True)
