#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""python3 -m http.server and urllib under mino, against each other and against native ones.

Run by ctest as apps.python_http; see harness.py for the arguments.
"""

import concurrent.futures
import signal

import harness
from harness import check, check_equal, content, sha256
from peers import HostHttp, fetch

SIZES = harness.CONTENT_SIZES


def check_replies(replies, what, peer=None):
    check_equal(len(replies), len(SIZES), f"{what}: number of replies")
    for size, reply in zip(SIZES, replies):
        check_equal((reply["status"], reply["length"], reply["sha256"]),
                    (200, size, sha256(content(size))), f"{what}: file of {size} bytes")
        if peer:
            check_equal(reply["peer"], peer, f"{what}: the client's address as the server saw it")


def native_client(base):
    check_replies([fetch(f"{base}/{size}") for size in SIZES], "native client, offloaded server")
    listing = fetch(base + "/")
    check(listing["status"] == 200 and listing["length"] > 0, f"directory listing: {listing}")
    # 16 at a time: each connection gets a thread of the server, and therefore a lane of its own.
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(fetch, [f"{base}/65536"] * 64))
    check_equal({reply["sha256"] for reply in replies}, {sha256(content(65536))},
                "64 files of 64 KiB, 16 at a time")


def main(t):
    files = t.scratch / "files"
    files.mkdir()
    for size in SIZES:
        (files / str(size)).write_bytes(content(size))
    port, server = t.offloaded_http(files)
    native_client(f"http://{t.device_address()}:{port}")

    for address in (t.device_address(), "127.0.0.1"):
        urls = [f"http://{address}:{port}/{size}" for size in SIZES]
        check_replies(t.offloaded(*t.peer("fetch", *urls)).json(), f"both under mino, {address}")

    with HostHttp(t.gateway_address()) as native:
        urls = [native.url(f"/bytes/{size}") for size in SIZES]
        check_replies(t.offloaded(*t.peer("fetch", *urls)).json(),
                      "offloaded client, native server", t.device_address())

    lines = server.log()
    check(f'"GET /{SIZES[0]} HTTP/1.1" 200' in lines, "the server's log lacks the requests")
    check(t.gateway_address() in lines, "the server's log lacks the native client's address")
    check_equal(server.stop(signal.SIGINT), 0, "exit status of http.server after SIGINT")


if __name__ == "__main__":
    harness.run(main)
