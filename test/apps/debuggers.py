#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""gdb and strace on programs under mino, mino under strace, and core dumps.

Run by ctest as apps.debuggers; see harness.py for the arguments. A debugger must find the program's
own stack behind the hook's frames, and must leave a blocked call as it was.
"""

import pathlib
import signal
import socket

import harness
from harness import check, check_equal, content, sha256, wait_for
from peers import HostHttp

PROGRAM = r"""
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int serve_one(int listener) {
  char text[64] = {0};
  int connection = accept(listener, 0, 0);
  if (connection < 0) {
    perror("accept");
    return 1;
  }
  ssize_t n = read(connection, text, sizeof text - 1);
  if (n < 0) perror("read");
  if (strcmp(text, "crash") == 0) abort();
  write(connection, text, n);
  close(connection);
  return strcmp(text, "end") == 0;
}

int main(int argc, char** argv) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr*)&address, sizeof address) || listen(listener, 5)) return 2;
  puts("listening");
  fflush(stdout);
  while (!serve_one(listener)) {
  }
  return 7;
}
"""


class Server:
    def __init__(self, t, *before):
        self.t, self.port = t, t.port()
        self.program = t.scratch / "server"
        if not self.program.exists():
            (t.scratch / "server.c").write_text(PROGRAM)
            t.host("gcc", "-g", "-O0", "-o", self.program, t.scratch / "server.c").ok()
        self.process = t.run_offloaded(*before, self.program, self.port, cwd=t.scratch)
        t.wait_on_device(self.port)

    def ask(self, text):
        with socket.create_connection((self.t.device_address(), self.port), 10) as connection:
            connection.settimeout(10)
            connection.sendall(text.encode())
            return connection.recv(64).decode()

    def end(self):
        check_equal(self.ask("end"), "end", "the last answer")
        check_equal(self.process.wait(10), 7, f"exit status of the server:\n{self.process.log()}")


def gdb(t, *arguments):
    return t.host("gdb", "-nx", "-batch", *arguments, timeout_s=60).ok()


def check_stack(text, what):
    """serve_one calls accept (or abort), and main calls serve_one, with main's arguments."""
    serving = text.find("in serve_one (listener=3)")
    check(0 <= serving < text.find("in main (argc=2"), f"the stack {what}:\n{text}")


def attached(t):
    server = Server(t)
    check_equal(server.ask("before"), "before", "an answer")
    for _ in range(3):
        said = gdb(t, "-p", server.process.pid, "-ex", "backtrace", "-ex", "detach")
        check_stack(said, "of a blocked call")
    check_equal(server.ask("between"), "between", "an answer after gdb")
    trace = t.scratch / "strace"
    tracer = t.start_host("strace", "-f", "-o", trace, "-p", server.process.pid)
    wait_for("strace to attach", lambda: "attached" in tracer.log())
    check_equal(server.ask("traced"), "traced", "an answer under strace")
    tracer.send_signal(signal.SIGINT)
    tracer.wait(10)
    check(trace.read_text(), "strace saw nothing")
    server.end()


def started(t):
    """Programs that strace and gdb have started, natively and under mino."""
    body = content(100_000)
    with HostHttp(t.gateway_address()) as upstream:
        url = upstream.url(f"/bytes/{len(body)}")
        inside = t.offloaded("strace", "-f", "-o", t.scratch / "inside", "curl", "-sSf", url)
        check_equal((inside.status, sha256(inside.out)), (0, sha256(body)), f"mino run -- strace curl: {inside.error_text}")
        missing = t.offloaded("strace", "-o", "/dev/null", "curl", "-sf", upstream.url("/none"))
        check_equal(missing.status, 22, "exit status of mino run -- strace curl, for a file that is not there")
        if not t.native:
            outside = t.host("strace", "-f", "-o", t.scratch / "outside", *t.device.run_argv(["curl", "-sSf", url]))
            check_equal((outside.status, sha256(outside.out)), (0, sha256(body)),
                        f"strace mino run -- curl: {outside.error_text}")
        check_equal(upstream.peers, {t.device_address()}, "the addresses that the requests came from")
    server = Server(t, "gdb", "-nx", "-batch", "-return-child-result", "-ex", "handle SIGSYS nostop noprint pass", "-ex",
                    "break serve_one", "-ex", "run", "-ex", "backtrace", "-ex", "delete", "-ex", "continue", "--args")
    check_equal(server.ask("more"), "more", "an answer of a program that gdb has started")
    server.end()
    check("Breakpoint 1, serve_one" in server.process.log(), server.process.log())


def dumped(t):
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip()
    if pattern != "core":
        print(f"debuggers: no core dump is looked at: kernel.core_pattern is {pattern}")
        return
    server = Server(t, "sh", "-c", 'ulimit -c unlimited; exec "$@"', "sh")
    with socket.create_connection((t.device_address(), server.port), 10) as connection:
        connection.sendall(b"crash")
        check_equal(server.process.wait(20), -signal.SIGABRT, "how the server ended")
    cores = [path for path in t.scratch.iterdir() if path.name.startswith("core")]
    check_equal(len(cores), 1, "core files")
    check_stack(gdb(t, server.program, cores[0], "-ex", "backtrace"), "in a core file")


def main(t):
    attached(t)
    started(t)
    dumped(t)


if __name__ == "__main__":
    harness.run(main, needs=["gdb", "strace", "gcc", "curl"], limit_s=150)
