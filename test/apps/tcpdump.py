#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""tcpdump under mino sees the device's packets, and those alone.

Run by ctest as apps.tcpdump; see harness.py for the arguments. libpcap reads from a packet ring
that it maps, so this is also the test of rings under load. The host's own tcpdump reads the file
that it writes.
"""

import re
import signal

import harness
from harness import check, check_equal, wait_for
from peers import HostHttp

# The host's packets on its own lo, which the device must not see.
HOST_ONLY = "127.7.7.7"


class Capture:
    """tcpdump under mino in the background, once it listens."""

    def __init__(self, t, *arguments):
        self.process = t.run_offloaded("tcpdump", "-n", "-U", *arguments)
        wait_for("tcpdump to listen", lambda: "listening on" in self.process.log())

    def stop(self):
        """The packets that it has captured, after SIGINT."""
        check_equal(self.process.stop(signal.SIGINT), 0, "exit status of tcpdump after SIGINT")
        log = self.process.log()
        counts = [int(n) for n in re.findall(
            r"(\d+) packets? (?:captured|received by filter|dropped by kernel)", log)]
        check(len(counts) == 3 and counts[0] <= counts[1], f"tcpdump's summary:\n{log}")
        return counts[0]


def counted(t):
    """tcpdump ends by itself after so many packets, and prints them."""
    capture = Capture(t, "-i", "eth0", "-c", "4", "icmp")
    t.host("ping", "-n", "-c", "2", "-i", "0.2", HOST_ONLY).ok()
    t.host("ping", "-n", "-c", "2", "-i", "0.2", t.device_address()).ok()
    check_equal(capture.process.wait(10), 0, "exit status of tcpdump -c")
    log = capture.process.log()
    for kind in ("request", "reply"):
        check_equal(len(re.findall(f"ICMP echo {kind}, id", log)), 2, f"echo {kind}s in:\n{log}")
    check(f"{t.gateway_address()} > {t.device_address()}: ICMP echo request" in log, log)
    check(HOST_ONLY not in log, f"a packet of the host's lo:\n{log}")


def saved(t):
    """Transfers that go round the ring several times, into a file. The filter keeps other packets
    out.

    A packet that comes while the ring is full is dropped, as anywhere, so each transfer fits into
    the ring.
    """
    path = t.scratch / "capture.pcap"
    times, body_bytes, ring_kib = 12, 300_000, 1024
    with HostHttp(t.gateway_address()) as upstream:
        capture = Capture(t, "-i", "eth0", "-B", ring_kib, "-w", path, f"tcp port {upstream.port}")
        for number in range(1, times + 1):
            got = t.offloaded("curl", "-sSf", upstream.url(f"/bytes/{body_bytes}"))
            check_equal((got.status, len(got.out)), (0, body_bytes), got.error_text)
            wait_for("what was carried in the file", lambda: path.stat().st_size > number * body_bytes)
        wait_for("the last packets in the file", lambda: read(t, path).count("Flags [F") >= 2 * times)
        captured = capture.stop()
    listed = read(t, path).splitlines()
    check_equal(len(listed), captured, "packets in the file")
    carried = sum(int(n) for n in re.findall(r"IP \S+\.%d > .* length (\d+)" % upstream.port,
                                             "\n".join(listed)))
    check(carried > times * body_bytes, f"{carried} bytes of {times * body_bytes} in {captured} packets")
    check(all(f".{upstream.port}" in line for line in listed), "packets of another connection")


def read(t, path):
    return t.host("tcpdump", "-n", "-r", path).text if path.exists() else ""


def interfaces(t):
    listed = t.offloaded("tcpdump", "-D").ok()
    check(re.search(r"^\d+\.eth0 \[Up, Running", listed, re.MULTILINE), listed)
    missing = t.offloaded("tcpdump", "-i", "nosuch0")
    check(missing.status == 1 and "nosuch0" in missing.error_text, missing.error_text)


def main(t):
    interfaces(t)
    counted(t)
    saved(t)


if __name__ == "__main__":
    harness.run(main, needs=["curl", "ping", "tcpdump"])
