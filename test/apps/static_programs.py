#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Static programs under mino, C with musl and Rust; and a program that musl's ld.so starts.

Run by ctest as apps.static_programs; see harness.py for the arguments. musl makes its threads, its
cancellation and its setuid in its own way. It asks in a signal's frame where the program was, gives
the child of posix_spawn a small stack, and passes no arguments to constructors.
"""

import os
import pathlib
import shutil
import signal
import socket

import harness
from harness import check, check_equal, content, sha256

SOURCE = pathlib.Path(__file__).resolve().parent / "static"


def is_static(path):
    head = path.read_bytes()[:4096]
    return head[:4] == b"\x7fELF" and b"/ld-linux" not in head and b"/ld-musl" not in head


def build_c(t, name, *options):
    program = t.scratch / name
    t.host("musl-gcc", *options, "-O1", "-Wall", "-Wextra", "-Werror", "-o", program,
           SOURCE / "program.c").ok()
    check_equal(is_static(program), "-static" in options, f"{program} is static")
    return program


def build_rust(t):
    """None where there is no compiler for it; Debian's package is too large to require."""
    rustc = shutil.which("rustc") or shutil.which("rustc", path=os.path.expanduser("~/.cargo/bin"))
    if not rustc:
        print("static_programs: without Rust: rustc is not installed")
        return None
    program = t.scratch / "rust"
    got = t.host(rustc, "--edition", "2021", "-O", "-C", "target-feature=+crt-static", "--target",
                 "x86_64-unknown-linux-gnu", "-o", program, SOURCE / "program.rs", timeout_s=60,
                 env={key: os.environ[key] for key in ("PATH", "CARGO_HOME", "RUSTUP_HOME")
                      if key in os.environ})
    check_equal((got.status, is_static(program)), (0, True), f"rustc:\n{got.error_text}")
    return program


def itself(t, program):
    """All parts of "self", natively in a network of its own and under mino."""
    native = t.host("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$0" self', program)
    check_equal(native.status, 3, f"{program} self, natively: {native.error_text}")
    for argv in ((program, "self"), ("sh", "-c", f"{program} self; exit $?")):
        got = t.offloaded(*argv)
        check_equal(got.text.splitlines(), native.text.splitlines(), f"{argv} under mino and natively")
        check_equal(got.status, 3, f"exit status of {argv}: {got.error_text}")
    wrong = t.offloaded(program, "wrong")
    native = t.host(program, "wrong")
    check_equal((wrong.status, wrong.error_text), (native.status, native.error_text), "wrong usage")


def echo(t, port, size):
    """A socket of the host itself as a client."""
    with socket.create_connection((t.device_address(), port), timeout=20) as client:
        client.sendall(content(size))
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as stream:
            check_equal(sha256(stream.read()), sha256(content(size)), f"echo of {size} bytes")


def servers(t, programs):
    for program in programs:
        port = t.port()
        process = t.run_offloaded(program, "serve", port)
        process.wait_log("listening")
        t.wait_on_device(port)
        # The Rust server reads on only after it has written.
        for size in (0, 1, 4097, 100_000):
            echo(t, port, size)
        for client in programs:
            for runner, address in ((t.host, t.device_address()), (t.offloaded, "127.0.0.1"),
                                    (t.offloaded, t.device_address())):
                got = runner(client, "client", address, port, 24)
                check_equal((got.status, got.text), (0, "24 right\n"),
                            f"{client.name} client of {program.name} server at {address}: "
                            f"{got.error_text}")
        status = process.stop(signal.SIGTERM)
        check(status in ((7,) if "musl" in program.name else (-signal.SIGTERM, 128 + signal.SIGTERM)),
              f"{program.name} server ended with {status} after SIGTERM")


def clients(t, programs):
    """Servers on the host, clients under mino; nobody listens at port 1."""
    for server, client in zip(programs, reversed(programs)):
        port = t.port()
        process = t.start_host(server, "serve", port)
        process.wait_log("listening")
        got = t.offloaded(client, "client", t.gateway_address(), port, 24)
        check_equal((got.status, got.text), (0, "24 right\n"), f"{client.name} client: {got.error_text}")
        got = t.offloaded(client, "client", t.gateway_address(), 1, 4)
        check(got.status == 1 and "Connection refused" in got.error_text, got.error_text)


def main(t):
    programs = [build_c(t, "musl-shared"), build_c(t, "musl-static", "-static")]
    rust = build_rust(t)
    if rust:
        programs.append(rust)
    for program in programs:
        itself(t, program)
    servers(t, programs)
    clients(t, programs)


if __name__ == "__main__":
    harness.run(main, needs=["musl-gcc", "unshare"], limit_s=150)
