#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A static Go program under mino: net/http as server and client, os/exec, os.Executable.

Run by ctest as apps.go; see harness.py for the arguments. Go makes its own system calls, from
threads that it makes by clone without a TLS block. The program is static, so ld.so never sees it.
"""

import json
import os
import pathlib
import signal

import harness
from harness import check, check_equal, content, sha256
from peers import HostHttp

SOURCE = pathlib.Path(__file__).resolve().parent / "go"
REQUESTS = 200


def build(t):
    program = t.scratch / "go-program"
    environment = {"CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GO111MODULE": "on",
                   "GOTOOLCHAIN": "local", "GOPROXY": "off", "HOME": str(t.scratch),
                   "GOCACHE": os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")) + "/mino/go"}
    t.host("go", "build", "-o", program, ".", env=environment, cwd=SOURCE,
           timeout_s=90).ok()
    head = program.read_bytes()[:4096]
    check(head[:4] == b"\x7fELF" and b"/lib64/ld-linux" not in head, "the program is not static")
    return program


def server(t, program):
    port = t.port()
    process = t.run_offloaded(program, "serve", f"0.0.0.0:{port}")
    t.wait_on_device(port)
    url = f"http://{t.device_address()}:{port}/"
    body = content(3 << 20)
    (t.scratch / "body").write_bytes(body)
    for size, data in ((len(body), f"@{t.scratch / 'body'}"), (5, "small")):
        got = t.host("curl", "-sSf", "--max-time", "20", "--data-binary", data, url).ok()
        want = sha256(body) if size == len(body) else sha256(b"small")
        check_equal(got.split()[:2], [str(size), want], "length and checksum of what it received")
        check_equal(got.split()[2].rsplit(":", 1)[0], t.gateway_address(), "the peer that it saw")
    check_equal(process.stop(signal.SIGTERM), 7, "exit status after SIGTERM")


def client(t, program):
    with HostHttp(t.gateway_address()) as upstream:
        got = t.offloaded(program, "fetch", upstream.url("/bytes/100000"), REQUESTS).json()
        check_equal(got, {sha256(content(100000)): REQUESTS}, "checksums of what it fetched")
        check_equal(upstream.peers, {t.device_address()}, "the addresses that its requests came from")
        refused = t.offloaded(program, "fetch", f"http://{t.gateway_address()}:1/", 1)
        check(refused.status == 1 and "connection refused" in refused.error_text, refused.error_text)


def itself(t, program):
    got = t.offloaded(program, "self").json()
    check_equal((got["path"], got["args"]), (str(program), [str(program), "self"]), "its own name")
    check(any(address.startswith(t.device_address() + "/") for address in got["addresses"]),
          f"the addresses of its interfaces: {got['addresses']}")
    check(t.device_address() in got["fib_trie"], "a dynamic program that it starts is on the host")
    check_equal(json.loads(got["static"]), ["a", "b"], "what /proc/self/exe printed")
    check("no such file" in got["missing"], got["missing"])
    # Started by a dynamic program, through a shell.
    nested = t.offloaded("sh", "-c", f"{program} self; exit $?").json()
    check_equal(nested["path"], str(program), "its name when a shell has started it")
    native = t.host(program, "wrong")
    wrong = t.offloaded(program, "wrong")
    check_equal((wrong.status, wrong.error_text), (native.status, native.error_text), "wrong usage")


def main(t):
    program = build(t)
    server(t, program)
    client(t, program)
    itself(t, program)


if __name__ == "__main__":
    harness.run(main, needs=["curl", "go"], limit_s=150)
