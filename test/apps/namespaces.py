#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Network namespaces by ip netns, nsenter, lsns and bpftool; with the native engine, those of the
host inside netlink messages.

Run by ctest as apps.namespaces; see harness.py for the arguments. With the linux engine everything
happens inside the instance. With the native engine, network namespaces are the host's: a named one
is made there, and programs under mino name it in what they ask.
"""

import os

import harness
from harness import check, check_equal

NAME = f"mino{os.getpid()}"
LINK = f"mn{os.getpid() % 100000}"


def clean(result):
    check_equal(result.error_text, "", "complaints")
    return result.ok()


def has(links, name):
    return f" {name}:" in links or f" {name}@" in links


def veth(t, name):
    clean(t.offloaded("ip", "link", "add", name, "type", "veth", "peer", "name", "p" + name))


def on_the_device(t):
    ip = lambda *arguments: clean(t.offloaded("ip", *arguments))
    ip("netns", "add", NAME)
    try:
        check(NAME in t.offloaded("ip", "netns", "list").ok().split(), "ip netns list")
        veth(t, LINK)
        ip("link", "set", LINK, "netns", NAME)
        check(not has(ip("-o", "link"), LINK), f"{LINK} is still here")
        check(has(ip("-n", NAME, "-o", "link"), LINK), f"{LINK} is not there")
        inside = t.run_offloaded("ip", "netns", "exec", NAME, "sh", "-c",
                                 "ip link show lo; echo ready; exec sleep 60")
        inside.wait_log("ready")
        pid = str(inside.pid)
        check_equal(ip("netns", "identify", pid).split(), [NAME], "ip netns identify")
        check_equal(ip("netns", "pids", NAME).split(), [pid], "ip netns pids")
        check_equal(ip("netns", "identify", str(os.getpid())).split(), [], "ip netns identify")
        by_pid = t.offloaded("nsenter", "-t", pid, "-n", "ip", "-o", "link")
        check(has(clean(by_pid), LINK), f"nsenter -t PID: {by_pid.text}")
        by_name = t.offloaded("nsenter", f"--net=/run/netns/{NAME}", "ip", "-o", "link")
        check(has(clean(by_name), LINK), f"nsenter --net: {by_name.text}")
        # By the process's number, into it and back.
        ip("link", "add", LINK + "v", "type", "veth", "peer", "name", LINK + "w",
           "netns", pid)
        check(has(ip("-n", NAME, "-o", "link"), LINK + "w"), "the peer of a veth pair")
        ip("-n", NAME, "link", "set", LINK, "netns", "1")
        check(LINK in ip("-o", "link"), f"{LINK} has not come back")
        listed = clean(t.offloaded("lsns", "-n", "-t", "net", "-o", "NS,PID"))
        want = t.offloaded("readlink", f"/proc/{pid}/ns/net").ok().strip()
        check(any(line.split()[0] in want for line in listed.splitlines()),
              f"{want} is not among those of lsns:\n{listed}")
        ip("netns", "attach", NAME + "b", pid)
        check(has(ip("-n", NAME + "b", "-o", "link"), LINK + "w"), "ip netns attach")
        ip("netns", "del", NAME + "b")
        ip("link", "del", LINK)
        inside.kill()
    finally:
        t.offloaded("ip", "netns", "del", NAME)
    check(NAME not in t.host("ip", "netns", "list").text, "the host has the device's namespace")
    check("flow_dissector" in t.offloaded("bpftool", "net").ok(), "bpftool net")


def on_the_host(t):
    """A named namespace of the host is no stranger to the device: both have one kernel."""
    t.host("ip", "netns", "add", NAME).ok()
    try:
        for arguments in (["addr"], ["-o", "link", "show", "eth0"], ["netns", "list-id"]):
            clean(t.offloaded("ip", *arguments))
        veth(t, LINK)
        clean(t.offloaded("ip", "link", "set", LINK, "netns", NAME))
        check(has(t.host("ip", "-n", NAME, "-o", "link").ok(), LINK), f"{LINK} is not in {NAME}")
        check(not has(clean(t.offloaded("ip", "-o", "link")), LINK), f"{LINK} is still here")
        # What the program takes for its own namespace is the device's, not that of the host.
        veth(t, LINK + "o")
        clean(t.offloaded("ip", "link", "set", LINK + "o", "netns", str(os.getpid())))
        check(has(clean(t.offloaded("ip", "-o", "link")), LINK + "o"), "it has left the device")
        check(not has(t.host("ip", "-o", "link").ok(), LINK + "o"), "it has come to the host")
        clean(t.offloaded("ip", "link", "del", LINK + "o"))
    finally:
        t.host("ip", "netns", "del", NAME)
    check("flow_dissector" in t.offloaded("bpftool", "net").ok(), "bpftool net")


def main(t):
    if t.native:
        harness.skip("natively, programs run by `ip netns exec`, which hides new named namespaces")
    if os.environ.get("MINO_ENGINE") == "linux":
        on_the_device(t)
    else:
        on_the_host(t)


if __name__ == "__main__":
    harness.run(main, needs=["ip", "nsenter", "lsns", "bpftool"])
