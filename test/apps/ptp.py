#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""linuxptp's ptp4l -S under mino, as master and as slave of one on the host: software timestamps.

Run by ctest as apps.ptp and apps.ptp.linux; see harness.py for the arguments. A master needs the
time at which it has sent each message: from the socket's error queue (SO_TIMESTAMPING,
TX_SOFTWARE), without which it is FAULTY. Both run on the same clock, which they leave alone, so the
offset that the slave finds says whether the device's timestamps are of that clock.
"""

import re

import harness
from harness import check, wait_for

CONFIG = """[global]
free_running 1
summary_interval -3
logAnnounceInterval -2
logSyncInterval -3
logMinDelayReqInterval -3
uds_address {folder}/{name}.socket
"""
OFFSET = re.compile(r"master offset\s+(-?\d+) s\d freq\s+\S+ path delay\s+(-?\d+)")
MOST_NS = 500_000_000  # a busy machine is late by far less; a clock that is not followed is not


def ptp4l(t, start, name, interface, *options):
    path = t.scratch / f"{name}.conf"
    path.write_text(CONFIG.format(folder=t.scratch, name=name))
    return start("ptp4l", "-S", "-m", "-q", "-f", path, "-i", interface, *options)


def synchronise(t, what, master, slave):
    offset, delay = map(int, wait_for(f"{what}: an offset", lambda: OFFSET.search(slave.log()), 30).groups())
    check(abs(offset) < MOST_NS and abs(delay) < MOST_NS, f"{what}: offset {offset} ns, path delay {delay} ns")
    for process in (master, slave):
        check("FAULT" not in process.log(), f"{what}: {process.log()}")
        process.stop()


def main(t):
    names = t.offloaded("ethtool", "-T", "eth0").ok()
    for name in ("software-transmit", "software-receive", "software-system-clock"):
        check(name in names, f"ethtool -T eth0: {names}")
    outside = t.device.interface
    for transport in ("-4", "-2"):
        synchronise(t, f"master under mino, {transport}",
                    ptp4l(t, t.run_offloaded, f"inner{transport}", "eth0", transport),
                    ptp4l(t, t.start_host, f"outer{transport}", outside, transport, "-s"))
    synchronise(t, "slave under mino",
                ptp4l(t, t.start_host, "master", outside, "-4"),
                ptp4l(t, t.run_offloaded, "slave", "eth0", "-4", "-s"))


if __name__ == "__main__":
    harness.run(main, needs=["ptp4l", "ethtool"], limit_s=100)
