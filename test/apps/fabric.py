#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""UCX and libfabric over tcp under mino: ucx_perftest on the device, fi_pingpong from either side.

Run by ctest as apps.fabric; see harness.py for the arguments.
"""

import re

import harness
from harness import check, check_equal

UCX = {"UCX_TLS": "tcp,self", "UCX_SOCKADDR_TLS_PRIORITY": "tcp", "UCX_WARN_UNUSED_ENV_VARS": "n"}


def ucx(t, test, size):
    port = t.port()
    listening = t.run_offloaded("ucx_perftest", "-p", port, env=UCX)
    t.wait_on_device(port)
    text = t.offloaded("ucx_perftest", "127.0.0.1", "-p", port, "-t", test, "-s", size, "-n", "40", "-w", "5", env=UCX,
                  timeout_s=40).ok()
    check(re.search(r"Final:\s+40\s", text), f"{test} of {size} bytes ends otherwise:\n{text}")
    check_equal(listening.wait(), 0, f"exit status of the server of {test}")


def pingpong(t, client, address, endpoint):
    port = t.port()
    provider = "tcp;ofi_rxm" if endpoint == "rdm" else "tcp"
    words = ["fi_pingpong", "-p", provider, "-e", endpoint, "-I", "10", "-S", "65536", "-c", "-v"]
    listening = t.run_offloaded(*words, "-B", port)
    t.wait_on_device(port)
    text = client(*words, "-P", port, address, timeout_s=40).ok()
    check(re.search(r"^64k\s+10\s", text, re.M), f"{endpoint}: no line for 64 KiB:\n{text}")
    check_equal(listening.wait(), 0, f"exit status of the server of {endpoint}")


def main(t):
    for test, size in (("tag_lat", 8), ("tag_bw", 65536), ("stream_bw", 4096), ("tag_sync_lat", 8)):
        ucx(t, test, size)
    for endpoint in ("msg", "rdm"):
        pingpong(t, t.offloaded, "127.0.0.1", endpoint)
    pingpong(t, t.host, t.device_address(), "msg")


if __name__ == "__main__":
    harness.run(main, needs=["ucx_perftest", "fi_pingpong"])
