#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ip, ss, sysctl, /proc/net and /sys/class/net under mino show the device, not the host.

Run by ctest as apps.iproute; see harness.py for the arguments. Everything is changed under mino and
checked from both sides. The host must never show a trace of it.
"""

import socket

import harness
from harness import check, check_equal

TTL = "net.ipv4.ip_default_ttl"
TTL_FILE = "/proc/sys/net/ipv4/ip_default_ttl"
INTERFACE = "minotest0"
ADDRESS = "198.51.100.7"


def addresses(result):
    return {address["local"] for interface in result.json() if interface
            for address in interface.get("addr_info", []) if "local" in address}


def names(result):
    return {interface["ifname"] for interface in result.json() if interface}


def addresses_and_routes(t):
    on_device = addresses(t.offloaded("ip", "-j", "addr"))
    on_host = addresses(t.host("ip", "-j", "addr"))
    check(t.device_address() in on_device, f"`ip addr` under mino lacks the device's address: {on_device}")
    check(t.device_address() not in on_host, "the device's address is one of the host's")
    check(not (on_device & on_host) - {"127.0.0.1", "::1"},
          f"host and device share addresses: {on_device & on_host}")
    plain = t.offloaded("ip", "addr").ok()
    check(f"inet {t.device_address()}/" in plain, f"`ip addr` under mino:\n{plain}")
    routes = t.offloaded("ip", "-j", "route").json()
    check(any(route["dst"] == "default" and route.get("gateway") == t.gateway_address()
              for route in routes), f"no default route via the gateway under mino: {routes}")
    got = t.offloaded("ip", "-j", "route", "get", t.gateway_address()).json()[0]
    check_equal(got.get("prefsrc"), t.device_address(), "source address of `ip route get GATEWAY`")
    got = t.offloaded("ip", "-s", "-s", "link").ok()
    check("RX:" in got and "lo:" in got, f"`ip -s link` under mino:\n{got}")
    t.offloaded("ip", "neigh").ok()
    t.offloaded("ip", "rule").ok()


def add_interface(t):
    for arguments in (["type", "dummy"], ["type", "bridge"],
                      ["type", "veth", "peer", "name", INTERFACE + "p"]):
        got = t.offloaded("ip", "link", "add", INTERFACE, *arguments)
        if got.status == 0:
            return
        print(f"iproute: ip link add {arguments[:2]}: {got.error_text.strip()}")
    harness.fail("no kind of interface could be added under mino")


def sysfs(t):
    """The links of /sys/class/net lead to the device's interfaces, by any name."""
    for name in INTERFACE, "eth0":
        there = t.offloaded("readlink", "-f", f"/sys/class/net/{name}").ok().strip()
        check(there.startswith("/sys/devices/") and there.endswith(f"/net/{name}"),
              f"/sys/class/net/{name} leads to {there}")
        index = t.offloaded("cat", f"/sys/class/net/{name}/ifindex").ok()
        check_equal(t.offloaded("cat", f"{there}/ifindex").ok(), index, f"{there}/ifindex")
        check_equal(t.offloaded("sh", "-c", f"cd {there} && cat ifindex && cat ../{name}/ifindex").ok(),
                    2 * index, f"ifindex from the working directory {there}")
    listed = t.offloaded("ls", "/sys/devices/virtual/net").ok().split()
    check(INTERFACE in listed, f"{INTERFACE} is not in /sys/devices/virtual/net: {listed}")
    on_host = set(t.host("ls", "/sys/devices/virtual/net").ok().split()) - {"lo"}
    check(not on_host & set(listed), f"interfaces of the host in /sys/devices/virtual/net: {listed}")


def interfaces(t):
    add_interface(t)
    t.offloaded("ip", "addr", "add", f"{ADDRESS}/24", "dev", INTERFACE).ok()
    t.offloaded("ip", "link", "set", INTERFACE, "up").ok()
    for _ in range(2):  # a second time: the answer must not depend on what an earlier program left
        check(ADDRESS in addresses(t.offloaded("ip", "-j", "addr", "show", INTERFACE)),
              "the address added under mino is not on the device")
    check(INTERFACE not in names(t.host("ip", "-j", "link")), f"{INTERFACE} appeared on the host")
    check(ADDRESS not in addresses(t.host("ip", "-j", "addr")), f"{ADDRESS} appeared on the host")
    check(INTERFACE in t.offloaded("ls", "/sys/class/net").ok().split(),
          f"{INTERFACE} is not in the device's /sys/class/net")
    check(INTERFACE not in t.host("ls", "/sys/class/net").ok().split(),
          f"{INTERFACE} is in the host's /sys/class/net")
    check(f"{INTERFACE}:" in t.offloaded("cat", "/proc/net/dev").ok(),
          f"{INTERFACE} is not in the device's /proc/net/dev")
    sysfs(t)
    t.offloaded("ip", "route", "add", "203.0.113.0/24", "dev", INTERFACE).ok()
    check("203.0.113.0/24" in t.offloaded("ip", "route").ok(), "the route added under mino")
    check("203.0.113.0/24" not in t.host("ip", "route").ok(), "a route appeared on the host")
    t.offloaded("ip", "link", "del", INTERFACE).ok()
    check(INTERFACE not in names(t.offloaded("ip", "-j", "link")), f"{INTERFACE} was not deleted")
    native = t.host("ip", "link", "show", INTERFACE)
    got = t.offloaded("ip", "link", "show", INTERFACE)
    check_equal((got.status, got.error_text), (native.status, native.error_text),
                "`ip link show` of an interface that is not there")


def sockets(t):
    native_port = t.port()
    with socket.create_server(("0.0.0.0", native_port)):
        port, server = t.offloaded_http(t.scratch)
        shown = t.offloaded("ss", "-tln").ok()
        check(f":{port} " in shown, f"`ss -tln` under mino lacks port {port}:\n{shown}")
        check(f":{native_port} " not in shown, f"`ss` under mino shows the host's {native_port}")
        check(f":{native_port} " in t.host("ss", "-tln").ok(), "the host's ss lacks its own socket")
        tcp = t.offloaded("cat", "/proc/net/tcp").ok()
        check(f":{port:04X} " in tcp and f":{native_port:04X} " not in tcp,
              f"/proc/net/tcp under mino:\n{tcp}")
        summary = t.offloaded("ss", "-s").ok()
        check("TCP:" in summary, f"`ss -s` under mino:\n{summary}")
        server.kill()


def sysctls(t):
    host_before = t.host("sysctl", "-n", TTL).ok()
    try:
        change_sysctls(t, host_before)
    finally:  # where the test fails because the change met the host
        if t.host("sysctl", "-n", TTL).ok() != host_before:
            t.host("sysctl", "-w", f"{TTL}={host_before.strip()}").ok()


def change_sysctls(t, host_before):
    device_before = t.offloaded("sysctl", "-n", TTL).ok()
    want = "77" if device_before.strip() != "77" else "78"
    check_equal(t.offloaded("sysctl", "-w", f"{TTL}={want}").ok(), f"{TTL} = {want}\n", "sysctl -w")
    check_equal(t.offloaded("sysctl", "-n", TTL).ok(), want + "\n", "sysctl of the device")
    check_equal(t.offloaded("cat", TTL_FILE).ok(), want + "\n", f"{TTL_FILE} under mino")
    check_equal(t.host("sysctl", "-n", TTL).ok(), host_before, "sysctl of the host")
    # The device's packets show it. A shell redirection restores it by open, dup2 and write.
    out = t.offloaded("ping", "-n", "-c", "1", "127.0.0.1").text if t.has_ping else f"ttl={want} "
    check(f"ttl={want} " in out, f"the device's echo reply has another TTL:\n{out}")
    t.offloaded("sh", "-c", f"echo {device_before.strip()} > {TTL_FILE}").ok()
    check_equal(t.offloaded("sysctl", "-n", TTL).ok(), device_before, "sysctl after restoring it")
    native = t.host("sysctl", "-w", f"{TTL}=none")
    got = t.offloaded("sysctl", "-w", f"{TTL}=none")
    check_equal((got.status, got.error_text), (native.status, native.error_text), "a wrong value")
    check_equal(t.host("sysctl", "-n", TTL).ok(), host_before, "sysctl of the host at the end")
    everything = t.offloaded("sysctl", "-a", "--pattern", "^net.ipv4.conf.lo")
    check("net.ipv4.conf.lo.forwarding" in everything.ok(), "sysctl -a under mino")


def files(t):
    def counters(text):
        return {line.split(":")[0].strip() for line in text.splitlines() if ":" in line}

    on_device = counters(t.offloaded("cat", "/proc/net/dev").ok())
    on_host = counters(t.host("cat", "/proc/net/dev").ok())
    check("lo" in on_device, f"/proc/net/dev under mino: {on_device}")
    check(on_device != on_host, f"/proc/net/dev under mino is that of the host: {on_host}")
    link_names = names(t.offloaded("ip", "-j", "link"))
    check_equal(on_device, link_names, "interfaces of /proc/net/dev and of `ip link` under mino")
    check_equal(set(t.offloaded("ls", "/sys/class/net").ok().split()) - {"bonding_masters"},
                link_names, "interfaces of /sys/class/net and of `ip link` under mino")
    check_equal(counters(t.offloaded("cat", "/proc/self/net/dev").ok()), on_device,
                "/proc/self/net/dev under mino")
    for name in link_names:
        want = t.offloaded("ip", "-j", "link", "show", name).json()[0]["mtu"]
        got = t.offloaded("cat", f"/sys/class/net/{name}/mtu").ok()
        check_equal(got, f"{want}\n", f"/sys/class/net/{name}/mtu under mino")
    check_equal(t.offloaded("cat", "/etc/hostname").out, t.host("cat", "/etc/hostname").out,
                "a file that is not offloaded")


def interface_numbers(t):
    """glibc's if_nametoindex asks an AF_UNIX socket, but the answer is for the device."""
    program = "import socket; print(socket.if_nametoindex('eth0'), *[n for n, _ in socket.if_nameindex()])"
    number, *numbers = t.offloaded(harness.PYTHON, "-c", program).ok().split()
    shown = t.offloaded("ip", "-o", "link", "show", "dev", "eth0").ok().split(":")[0]
    check_equal(number, shown, "if_nametoindex and ip link")
    check(number in numbers, f"{number} is not among {numbers}")


def main(t):
    t.has_ping = t.host("sh", "-c", "command -v ping").status == 0
    addresses_and_routes(t)
    interfaces(t)
    interface_numbers(t)
    sockets(t)
    sysctls(t)
    files(t)


if __name__ == "__main__":
    harness.run(main, needs=["ip", "ss", "sysctl"])
