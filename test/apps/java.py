#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Java under mino: its HTTP server and client, NIO and its selectors, signals as control flow.

Run by ctest as apps.java; see harness.py for the arguments. The virtual machine generates code,
takes SIGSEGV for null pointers, ends waiting calls by signals, and polls from threads of its own.
"""

import concurrent.futures
import http.client
import pathlib
import signal

import harness
from harness import check, check_equal, content, sha256
from peers import HostHttp

SOURCE = pathlib.Path(__file__).resolve().parent / "java"
REQUESTS = 200


def pattern(length):
    """Bytes.make() of Bytes.java."""
    return bytes((i * 7 + i // 251) & 255 for i in range(length))


def java(t, *words):
    return ["java", "-cp", t.scratch / "classes", *words]


def network(t, *options, part=()):
    """Network.java natively, in a network of its own, and under mino: the same lines."""
    results = []
    for name, runner, start in (
            ("native", t.host, ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")),
            ("offloaded", t.offloaded, ())):
        folder = t.scratch / f"{name}-{'-'.join(part)}"
        folder.mkdir()
        got = runner(*start, *java(t, *options, "Network", folder, *part), timeout_s=60)
        check_equal((got.status, got.error_text), (3, ""), f"Network.java, {name}:\n{got.text}")
        results.append(got.text.splitlines())
    native, offloaded = results
    for want, got in zip(native, offloaded):
        check_equal(got, want, "a line of Network.java under mino, and natively")
    check_equal(len(offloaded), len(native), "lines of Network.java")
    return native


def post(t, port, body):
    connection = http.client.HTTPConnection(t.device_address(), port, timeout=20)
    connection.request("POST", "/", body)
    got = connection.getresponse().read().decode()
    connection.close()
    check_equal(got, f"{len(body)} {sha256(body)} {t.gateway_address()}", "answer to a POST")


def server(t):
    port = t.port()
    process = t.run_offloaded(*java(t, "Server", port))
    process.wait_log("listening", 30)
    t.wait_on_device(port)
    for size in (0, 1, 4097, 5_000_000):
        post(t, port, content(size))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: post(t, port, content(number * 100)), range(REQUESTS)))
    base = f"http://{t.device_address()}:{port}"
    for size in (1, 65536, 5_000_000):
        got = t.host("curl", "-sSf", "--max-time", "20", f"{base}/bytes/{size}")
        check_equal(sha256(got.out), sha256(pattern(size)), f"GET of {size} bytes: {got.error_text}")
    check_equal(t.host("curl", "-sSf", f"{base}/threads").ok(), "8", "threads that answered")
    for address in ("127.0.0.1", t.device_address()):
        fetch(t, f"http://{address}:{port}/bytes/70000", pattern(70000))
    check_equal(process.stop(signal.SIGTERM), 128 + signal.SIGTERM, "exit status after SIGTERM")
    check("stopped\n" in process.log(), f"its shutdown hook did not run:\n{process.log()}")


def fetch(t, url, body):
    got = t.offloaded(*java(t, "Fetch", url, REQUESTS), timeout_s=60)
    check_equal((got.status, got.text), (0, f"200 {sha256(body)} {REQUESTS}\n"),
                f"java.net.http, {url}: {got.error_text}")


def client(t):
    with HostHttp(t.gateway_address()) as upstream:
        fetch(t, upstream.url("/bytes/70000"), content(70000))
        check_equal(upstream.peers, {t.device_address()}, "addresses that its requests came from")
    refused = t.offloaded(*java(t, "Fetch", f"http://{t.gateway_address()}:1/", 1))
    check_equal((refused.status, refused.error_text), (1, "java.net.ConnectException\n"),
                f"a refused connection: {refused.text}")


def main(t):
    (t.scratch / "classes").mkdir()
    t.host("javac", "-Xlint:all,-try", "-Werror", "-d", t.scratch / "classes",
           *sorted(SOURCE.glob("*.java")), timeout_s=60).ok()
    lines = network(t)
    check("faults 3000 9000 10 true" in lines and len(lines) > 30, f"Network.java printed {lines}")
    # The interpreter never learns to check before it dereferences, so each null pointer is a
    # signal.
    network(t, "-Xint", part=("faults",))
    server(t)
    client(t)


if __name__ == "__main__":
    harness.run(main, needs=["java", "javac", "curl", "unshare"], limit_s=150)
