#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A TCP connection that is begun while the only IPv6 addresses are tentative goes out as ::1.
#
# For a second or two after a link has come up, its addresses are being checked for duplicates and
# may not be used. One expects connect to fail, or to wait. Linux chooses among all addresses that
# may be used, and the loopback's may: the SYN leaves by the Ethernet interface with ::1 as its
# source. Nobody can answer that, and the socket keeps the source, so the connection still hangs
# when the addresses have become usable. A second connection, made then, works.
#
# Seen with Linux 6.18 (the running kernel is used) and 6.12. Needs root, iproute2, python3. All
# packets stay in network namespaces of the script's own. Exit status 0 if all is as said.
set -euo pipefail

exec unshare --net --fork python3 - <<'P'
import os
import socket
import subprocess
import sys
import time

failed = False


def expect(what, got, wanted):
    global failed
    print(f"{what}: {got}")
    if got != wanted:
        print(f"   … and not {wanted}, as it was", file=sys.stderr)
        failed = True


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


print("kernel", os.uname().release)
far = subprocess.Popen(["unshare", "--net", "sleep", "60"])
try:
    while os.readlink(f"/proc/{far.pid}/ns/net") == os.readlink("/proc/self/ns/net"):
        time.sleep(0.01)
    ip("link", "set", "lo", "up")
    ip("link", "add", "near0", "type", "veth", "peer", "name", "far0", "netns", str(far.pid))
    there = ["nsenter", "-t", str(far.pid), "-n"]
    for words in (["addr", "add", "fd00::1/64", "dev", "far0", "nodad"], ["link", "set", "far0", "up"]):
        subprocess.run([*there, "ip", *words], check=True)
    server = subprocess.Popen([*there, "python3", "-c", """
import socket
s = socket.create_server(("fd00::1", 7000), family=socket.AF_INET6)
while True: s.accept()
"""])
    time.sleep(1)
    ip("addr", "add", "fd00::2/64", "dev", "near0")
    ip("link", "set", "near0", "up")
    early = socket.socket(socket.AF_INET6)
    early.setblocking(False)
    early.connect_ex(("fd00::1", 7000))
    expect("the source of the first connection", early.getsockname()[0], "::1")
    while "tentative" in ip("-6", "addr", "show", "dev", "near0"):
        time.sleep(0.05)
    late = socket.create_connection(("fd00::1", 7000), 5)
    expect("a second one, later, is connected from", late.getsockname()[0], "fd00::2")
    time.sleep(4)
    try:
        early.getpeername()
        state = "connected"
    except OSError:
        state = "not connected"
    expect("the first one, four seconds after that, is", state, "not connected")
    server.kill()
finally:
    far.kill()
sys.exit(failed)
P
