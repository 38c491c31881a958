#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""dhclient and dhcpcd under mino: leases by IPv4 and IPv6 from dnsmasq on the host, for the device's interface.

Run by ctest as apps.dhcp and apps.dhcp.linux; see harness.py for the arguments. Before they have an
address the clients use packet sockets with filters; they read links by netlink, set addresses and
routes by netlink and by ip, and solicit routers with raw ICMPv6 sockets. dhcpcd does so in several
processes, of which most have no privileges and an empty root directory.
"""

import signal
import time

import harness
from harness import check, check_equal, wait_for
from routing import own_interface

SERVER, PREFIX, FAR = "198.51.100.1", "198.51.100.", "203.0.113.0/25"
SERVER6, PREFIX6 = "2001:db8:1::1", "2001:db8:1::"

DHCLIENT = """
option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
request subnet-mask, broadcast-address, rfc3442-classless-static-routes;
timeout 20;
"""

DHCPCD = """
release
noarp
nodev
nohook resolv.conf
option classless_static_routes
ia_na
"""


def serve(t, interface):
    """dnsmasq, with no names to serve. The clients get a route, and no router."""
    t.host("ip", "addr", "add", f"{SERVER}/24", "dev", interface).ok()
    t.host("ip", "addr", "add", f"{SERVER6}/64", "dev", interface, "nodad").ok()
    server = t.start_host(
        "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--log-facility=-",
        "--log-dhcp", "--pid-file=", f"--dhcp-leasefile={t.scratch}/leases", f"--interface={interface}",
        "--bind-interfaces", f"--dhcp-range={PREFIX}100,{PREFIX}110,255.255.255.0,2m",
        f"--dhcp-range={PREFIX6}100,{PREFIX6}110,64,2m", "--enable-ra", "--ra-param=*,4",
        "--dhcp-option=option:router", f"--dhcp-option=option:classless-static-route,{FAR},{SERVER}")
    server.wait_log("DHCPv6, IP range")
    return server


def addresses(t, prefix):
    """The addresses in the device's network that begin with prefix, and can be used."""
    return [one["local"] for link in t.offloaded("ip", "-j", "addr", "show", "dev", "eth0").json()
            for one in link["addr_info"] if one["local"].startswith(prefix) and not one.get("tentative")]


def wait_leased(t, what, server, prefix, word):
    """The one address that the device has, and that dnsmasq says it has given away."""
    got = wait_for(f"{what}: an address", lambda: addresses(t, prefix), 30, 0.1)
    check_equal(len(got), 1, f"{what}: addresses {got}")
    check(got[0] in (t.scratch / "leases").read_text(), f"{what}: {got[0]} is no lease of dnsmasq's")
    check(f"{word}({server.interface}) {got[0]}" in server.log(), f"{what}: dnsmasq did not give {got[0]}")
    check(not t.host("ip", "-j", "addr", "show", "to", got[0]).json(), f"{what}: {got[0]} is an address of the host's")
    t.offloaded("ping", "-c1", "-w5", "-I", got[0], SERVER6 if ":" in got[0] else SERVER).ok()
    t.host("ping", "-c1", "-w5", got[0]).ok()
    return got[0]


def check_route(t, what):
    wait_for(f"{what}: the route", lambda: f"via {SERVER}" in t.offloaded("ip", "route", "show", FAR).ok())
    check_equal(t.host("ip", "route", "show", FAR).text, "", f"{what}: the host's route")


def wait_gone(t, what, address):
    """The client has given the address back, and the device has it no more."""
    wait_for(f"{what}: dnsmasq to have {address} back", lambda: address not in (t.scratch / "leases").read_text())
    wait_for(f"{what}: {address} to be gone", lambda: not addresses(t, address))


def dhclient(t, server):
    (t.scratch / "dhclient.conf").write_text(DHCLIENT)
    for option, prefix, given in (("-4", PREFIX, "DHCPACK"), ("-6", PREFIX6, "DHCPREPLY")):
        argv = ["dhclient", option, "-v", "-cf", t.scratch / "dhclient.conf", "-lf", t.scratch / f"lease{option}",
                "-pf", t.scratch / f"pid{option}"]
        client = t.run_offloaded(*argv, "-d", "-1", "eth0")
        address = wait_leased(t, f"dhclient {option}", server, prefix, given)
        if option == "-4":
            check_route(t, "dhclient")
        t.offloaded(*argv, "-r", "eth0").ok()  # it ends the first one
        client.wait(10)
        wait_gone(t, f"dhclient {option}", address)


def dhcpcd(t, server):
    t.host("mount", "-t", "tmpfs", "none", "/var/lib/dhcpcd").ok()  # the driver's alone
    (t.scratch / "dhcpcd.conf").write_text(DHCPCD)
    argv = ["dhcpcd", "-f", t.scratch / "dhcpcd.conf"]
    client = t.run_offloaded(*argv, "-B", "-d", "eth0")
    address = wait_leased(t, "dhcpcd", server, PREFIX, "DHCPACK")
    address6 = wait_leased(t, "dhcpcd", server, PREFIX6, "DHCPREPLY")
    check_route(t, "dhcpcd")
    before = server.log().count("DHCPACK")
    t.offloaded(*argv, "-N", "eth0").ok()
    wait_for("dhcpcd to renew its lease", lambda: server.log().count("DHCPACK") > before)
    check_equal(addresses(t, PREFIX), [address], "the address after a renewal")
    client.wait_log("RENEW6")

    def ended():  # dhcpcd loses a signal that comes while one of its hooks runs, natively too
        client.send_signal(signal.SIGTERM)
        time.sleep(1)
        return not client.alive()

    wait_for("dhcpcd to end", ended)
    check_equal(client.wait(), 0, "exit status of dhcpcd")
    wait_gone(t, "dhcpcd", address)
    wait_gone(t, "dhcpcd", address6)


def main(t):
    interface = own_interface(t)
    server = serve(t, interface)
    server.interface = interface
    dhclient(t, server)
    dhcpcd(t, server)
    check_equal(server.stop(signal.SIGTERM), 0, "exit status of dnsmasq")


if __name__ == "__main__":
    harness.run(main, needs=["dhclient", "dhcpcd", "dnsmasq", "ping"], own_host=True)
