#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A server with threads, built with the sanitizers of gcc and clang, and under valgrind.

Run by ctest as apps.sanitizers; see harness.py for the arguments. The sanitizers' runtimes come as
shared and as static libraries. Each must let the server work, and must still find a fault in it.
"""

import socket
import subprocess

import harness
import tiers
from harness import check, check_equal

PROGRAM = r"""
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static int ended, shared;

static void* serve(void* argument) {
  int connection = *(int*)argument;
  free(argument);
  char* text = calloc(1, 64);
  while (recv(connection, text, 63, 0) > 0 && send(connection, text, strlen(text), 0) > 0) {
    if (strcmp(text, "end") == 0) __atomic_store_n(&ended, 1, __ATOMIC_SEQ_CST);
    memset(text, 0, 64);
  }
  free(text);
  close(connection);
  return 0;
}

static void* race(void* unused) {
  for (int i = 0; i < 1000; i++) shared++;
  return unused;
}

static void fault(const char* kind, volatile int big) {
  if (strcmp(kind, "leak") == 0) {
    void* volatile lost = malloc(77);
    lost = 0;
  } else if (strcmp(kind, "race") == 0) {
    pthread_t a, b;
    pthread_create(&a, 0, race, 0);
    pthread_create(&b, 0, race, 0);
    pthread_join(a, 0);
    pthread_join(b, 0);
  } else if (strcmp(kind, "overflow") == 0) {
    big += big;
  } else if (strcmp(kind, "unset") == 0) {
    volatile int unset;
    if (unset) puts("unset");
  }
}

int main(int argc, char** argv) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1, set = epoll_create1(0), status;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(listener, (struct sockaddr*)&address, sizeof address) || listen(listener, 5)) return 2;
  struct epoll_event event = {EPOLLIN, {0}};
  epoll_ctl(set, EPOLL_CTL_ADD, listener, &event);
  while (!__atomic_load_n(&ended, __ATOMIC_SEQ_CST)) {
    if (epoll_wait(set, &event, 1, -1) != 1) continue;
    int* connection = malloc(sizeof(int));
    *connection = accept(listener, 0, 0);
    pthread_t thread;
    pthread_create(&thread, 0, serve, connection);
    pthread_join(thread, 0);
  }
  if (fork() == 0) _exit(7);
  wait(&status);
  if (argc > 2) fault(argv[2], 0x7fffffff);
  return WEXITSTATUS(status) == 7 ? 0 : 3;
}
"""

# What compiles it, the fault that it must find, and what it then says.
LEAK = ("leak", "detected memory leaks")
RACE, OVERFLOW = ("race", "data race"), ("overflow", "signed integer overflow")
BUILDS = [
    ("gcc -fsanitize=address", LEAK),
    ("gcc -fsanitize=address -static-libasan", LEAK),
    ("gcc -fsanitize=leak", LEAK),
    ("gcc -fsanitize=thread", RACE),
    ("gcc -fsanitize=thread -static-libtsan", RACE),
    ("gcc -fsanitize=undefined", OVERFLOW),
    ("gcc -fsanitize=undefined -static-libubsan", OVERFLOW),
    ("gcc -fsanitize=address,undefined", OVERFLOW),
    ("clang-19 -fsanitize=address", LEAK),
    ("clang-19 -fsanitize=address -shared-libsan", LEAK),
    ("clang-19 -fsanitize=leak", LEAK),
    ("clang-19 -fsanitize=thread", RACE),
    ("clang-19 -fsanitize=undefined", OVERFLOW),
    ("clang-19 -fsanitize=undefined -shared-libsan", OVERFLOW),
    ("clang-19 -fsanitize=memory", ("unset", "use-of-uninitialized-value")),
]


def build(t, words):
    (t.scratch / "server.c").write_text(PROGRAM)
    program = t.scratch / "server"
    argv = [*words.split(), "-g", "-O1", "-w", "-pthread", "-o", program, t.scratch / "server.c"]
    if "-shared-libsan" in argv:
        where = subprocess.run(["clang-19", "-print-runtime-dir"], capture_output=True, text=True, check=True).stdout.strip()
        argv.append(f"-Wl,-rpath,{where}")
        argv.append("-Wl,-rpath,/usr/lib/llvm-19/lib/clang/19/lib/linux")
    t.host(*argv, timeout_s=60).ok()
    return program


def serve(t, argv, what):
    """Starts the server with these words, talks to it over the device, and returns status and log."""
    port = t.port()
    process = t.run_offloaded(*(str(port) if word == "PORT" else word for word in argv), cwd=t.scratch)
    t.wait_on_device(port, timeout_s=40)
    for text in ("hello", "end"):
        with socket.create_connection((t.device_address(), port), 20) as connection:
            connection.settimeout(20)
            connection.sendall(text.encode())
            check_equal(connection.recv(64).decode(), text, f"an answer of {what}")
    return process.wait(60), process.log()


def sanitizers(t):
    for words, (fault, says) in BUILDS:
        program = build(t, words)
        status, log = serve(t, [program, "PORT"], words)
        check_equal((status, log.strip()), (0, ""), f"what the server of {words} says")
        status, log = serve(t, [program, "PORT", fault], words)
        check(says in log, f"{words} does not find its fault (status {status}): {log}")


def preloaded(t):
    """The sanitizer's own remedy: its library in LD_PRELOAD."""
    program = build(t, "gcc -fsanitize=address")
    library = t.host("gcc", "-print-file-name=libasan.so").ok().strip()
    status, log = serve(t, ["env", f"LD_PRELOAD={library}", program, "PORT"], "a preloaded sanitizer")
    check_equal((status, log.strip()), (0, ""), "the server with a preloaded sanitizer")


def valgrind(t):
    program = build(t, "gcc")
    for tool, fault, says in (("memcheck", "unset", "uninitialised value"), ("helgrind", "race", "data race")):
        words = ["valgrind", "-q", f"--tool={tool}"]
        if not t.native and tiers.tier() in ("patch", "preload"):
            # valgrind is a static program, and the processor that it shows to others has no rdfsbase.
            said = t.offloaded(*words, "/bin/true", timeout_s=60)
            check("lacks FSGSBASE" in said.error_text, f"no message under valgrind: {said.error_text}")
            continue
        status, log = serve(t, [*words, program, "PORT"], tool)
        check_equal((status, log.strip()), (0, ""), f"the server under {tool}")
        status, log = serve(t, [*words, program, "PORT", fault], tool)
        check(says in log, f"{tool} does not find its fault (status {status}): {log}")


def main(t):
    sanitizers(t)
    preloaded(t)
    valgrind(t)


if __name__ == "__main__":
    harness.run(main, needs=["gcc", "clang-19", "valgrind"], limit_s=400)
