#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ping under mino: the gateway, the device's loopback, an address where nobody is.

Run by ctest as apps.ping; see harness.py for the arguments. Echo requests are counted in the
device's /proc/net/snmp, which is also read under mino.
"""

import re
import signal

import harness
from harness import check, check_equal, wait_for


def icmp(text, field):
    """Returns a counter from the Icmp: lines of /proc/net/snmp."""
    names, values = [line.split() for line in text.splitlines() if line.startswith("Icmp:")][:2]
    return int(values[names.index(field)])


def echoes_sent_by_device(t):
    return icmp(t.offloaded("cat", "/proc/net/snmp").ok(), "OutEchos")


def not_from_the_host(t):
    """The host must send no echo request. Other programs may send some, so there are three tries.
    """
    for _ in range(3):
        before = icmp(t.host("cat", "/proc/net/snmp").ok(), "OutEchos")
        ping(t, t.gateway_address())
        if icmp(t.host("cat", "/proc/net/snmp").ok(), "OutEchos") == before:
            return
    harness.fail("the host itself sends echo requests whenever ping runs under mino")


def ping(t, address, *options):
    before = echoes_sent_by_device(t)
    out = t.offloaded("ping", "-n", "-c", "3", "-i", "0.2", *options, address).ok()
    check("3 packets transmitted, 3 received, 0% packet loss" in out, f"ping {address}:\n{out}")
    sequence = re.findall(r"icmp_seq=(\d+) ttl=\d+ time=[\d.]+ ms", out)
    check_equal(sequence, ["1", "2", "3"], f"replies of ping {address}:\n{out}")
    return echoes_sent_by_device(t) - before


def nobody_there(t):
    """An address of the test networks (RFC 5737): no answer, and status 1."""
    got = t.offloaded("ping", "-n", "-c", "1", "-W", "1", "-I", "lo", "198.51.100.77")
    check_equal(got.status, 1, f"exit status without a reply: {got.text}{got.error_text}")
    check("1 packets transmitted, 0 received" in got.text, f"summary without a reply: {got.text}")


def interrupted(t):
    """SIGINT ends an endless ping in the middle of recvmsg(), with its summary."""
    endless = t.run_offloaded("ping", "-n", "-i", "0.2", t.gateway_address())
    wait_for("two replies", lambda: endless.log().count("time=") >= 2)
    sockets = t.device.ss(t, "-H", "-a", "-n", "-w") + t.device.ss(t, "-H", "-a", "-n", "-0")
    proc = t.offloaded("cat", "/proc/net/icmp", "/proc/net/raw").ok()
    sockets_there = len(proc.splitlines()) > 2 or sockets.strip()
    check(sockets_there, f"no ICMP or raw socket on the device while ping runs:\n{proc}{sockets}")
    check_equal(endless.stop(signal.SIGINT), 0, "exit status after SIGINT")
    check(" 0% packet loss" in endless.log(), f"summary after SIGINT:\n{endless.log()}")


def main(t):
    host_before = icmp(t.host("cat", "/proc/net/snmp").ok(), "InEchos")
    sent = ping(t, t.gateway_address())
    check(sent >= 3, f"the device sent {sent} echo requests, 3 expected")
    host_sent = icmp(t.host("cat", "/proc/net/snmp").ok(), "InEchos") - host_before
    check(host_sent >= 3, f"{host_sent} echo requests reached the host, 3 expected")
    not_from_the_host(t)
    check(ping(t, t.gateway_address(), "-s", "1400") >= 3, "large requests are not on the device")
    check(ping(t, "127.0.0.1") >= 3, "ping 127.0.0.1 did not use the device's loopback")
    check(ping(t, t.device_address()) >= 3, "ping of its own address did not use the device")
    nobody_there(t)
    interrupted(t)


if __name__ == "__main__":
    harness.run(main, needs=["ping"])
