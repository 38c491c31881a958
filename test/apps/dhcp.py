#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""dhclient and dhcpcd under mino: leases by IPv4 and IPv6 from dnsmasq on the host, and the other way round.

Run by ctest as apps.dhcp and apps.dhcp.linux; see harness.py for the arguments. Before they have an
address the clients use packet sockets with filters; they read links by netlink, set addresses and
routes by netlink and by ip, and solicit routers with raw ICMPv6 sockets. dhcpcd does so in several
processes, of which most have no privileges and an empty root directory. dnsmasq under mino finds by IP_PKTINFO
where a request came in, and answers clients that have no address yet.
"""

import signal
import time

import harness
from harness import check, check_equal, wait_for

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


class Side:
    """The device, or the host, with its end of the link."""

    def __init__(self, name, start, execute, interface):
        self.name, self.start, self.execute, self.interface = name, start, execute, interface

    def addresses(self, prefix):
        """The addresses of the link that begin with prefix, and can be used."""
        return [one["local"] for link in self.execute("ip", "-j", "addr", "show", "dev", self.interface).json()
                for one in link["addr_info"] if one["local"].startswith(prefix) and not one.get("tentative")]

    def has_route(self):
        return f"via {SERVER}" in self.execute("ip", "route", "show", FAR).ok()


class Dnsmasq:
    """dnsmasq on one side, with no names to serve. Clients get a route, and no router."""

    def __init__(self, t, side):
        self.side, self.own = side, (f"{SERVER}/24", f"{SERVER6}/64")
        for address in self.own:
            side.execute("ip", "addr", "add", address, "dev", side.interface, *["nodad"] * (":" in address)).ok()
        self.leases = t.scratch / f"leases-{side.name}"
        self.process = side.start(
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0", "--user=root", "--log-facility=-",
            "--log-dhcp", "--no-ping", "--pid-file=", f"--dhcp-leasefile={self.leases}", "--bind-interfaces",
            f"--interface={side.interface}", f"--dhcp-range={PREFIX}100,{PREFIX}110,255.255.255.0,2m",
            f"--dhcp-range={PREFIX6}100,{PREFIX6}110,64,2m", "--enable-ra", "--ra-param=*,4",
            "--dhcp-option=option:router", f"--dhcp-option=option:classless-static-route,{FAR},{SERVER}")
        self.process.wait_log("DHCPv6, IP range")

    def count(self, word):
        return self.process.log().count(f"{word}({self.side.interface})")

    def stop(self):
        check_equal(self.process.stop(signal.SIGTERM), 0, f"exit status of dnsmasq on the {self.side.name}")
        for address in self.own:
            self.side.execute("ip", "addr", "del", address, "dev", self.side.interface).ok()


def wait_leased(what, server, client, prefix, word):
    """The one address that the client's side has, and that dnsmasq says it has given away."""
    got = wait_for(f"{what}: an address", lambda: client.addresses(prefix), 30, 0.1)
    check_equal(len(got), 1, f"{what}: addresses {got}")
    check(got[0] in server.leases.read_text(), f"{what}: {got[0]} is no lease of dnsmasq's")
    check(f"{word}({server.side.interface}) {got[0]}" in server.process.log(), f"{what}: dnsmasq did not give {got[0]}")
    check(not server.side.addresses(got[0]), f"{what}: {got[0]} is an address of the server's side")
    client.execute("ping", "-c1", "-w5", "-I", got[0], SERVER6 if ":" in got[0] else SERVER).ok()
    server.side.execute("ping", "-c1", "-w5", got[0]).ok()
    return got[0]


def check_route(what, server, client):
    wait_for(f"{what}: the route", client.has_route)
    check(not server.side.has_route(), f"{what}: the server's side has the route")


def wait_gone(what, server, client, address):
    """The client has given the address back, and its side has it no more."""
    wait_for(f"{what}: dnsmasq to have {address} back", lambda: address not in server.leases.read_text())
    wait_for(f"{what}: {address} to be gone", lambda: not client.addresses(address))


def dhclient(t, server, client):
    (t.scratch / "dhclient.conf").write_text(DHCLIENT)
    for option, prefix, given in (("-4", PREFIX, "DHCPACK"), ("-6", PREFIX6, "DHCPREPLY")):
        what = f"dhclient {option} on the {client.name}"
        argv = ["dhclient", option, "-v", "-cf", t.scratch / "dhclient.conf",
                "-lf", t.scratch / f"lease{option}-{client.name}", "-pf", t.scratch / f"pid{option}-{client.name}"]
        process = client.start(*argv, "-d", "-1", client.interface)
        address = wait_leased(what, server, client, prefix, given)
        if option == "-4":
            check_route(what, server, client)
        client.execute(*argv, "-r", client.interface).ok()  # it ends the first one
        process.wait(10)
        wait_gone(what, server, client, address)


def dhcpcd(t, server, client):
    t.host("mount", "-t", "tmpfs", "none", "/var/lib/dhcpcd").ok()  # the driver's alone
    (t.scratch / "dhcpcd.conf").write_text(DHCPCD)
    argv = ["dhcpcd", "-f", t.scratch / "dhcpcd.conf"]
    process = client.start(*argv, "-B", "-d", client.interface)
    address = wait_leased("dhcpcd", server, client, PREFIX, "DHCPACK")
    address6 = wait_leased("dhcpcd", server, client, PREFIX6, "DHCPREPLY")
    check_route("dhcpcd", server, client)
    before = server.count("DHCPACK")
    client.execute(*argv, "-N", client.interface).ok()
    wait_for("dhcpcd to renew its lease", lambda: server.count("DHCPACK") > before)
    check_equal(client.addresses(PREFIX), [address], "the address after a renewal")
    process.wait_log("RENEW6")

    def ended():  # it loses a signal that comes while one of its hooks runs: see findings/
        process.send_signal(signal.SIGTERM)
        time.sleep(1)
        return not process.alive()

    wait_for("dhcpcd to end", ended)
    check_equal(process.wait(), 0, "exit status of dhcpcd")
    wait_gone("dhcpcd", server, client, address)
    wait_gone("dhcpcd", server, client, address6)


def main(t):
    device = Side("device", t.run_offloaded, t.offloaded, "eth0")
    host = Side("host", t.start_host, t.host, t.device.interface)
    for side in (device, host):  # dhclient -6 ends if it cannot bind to it yet
        wait_for(f"a link-local address of the {side.name}", lambda: side.addresses("fe80:"))
    server = Dnsmasq(t, host)
    dhclient(t, server, device)
    dhcpcd(t, server, device)
    server.stop()
    server = Dnsmasq(t, device)
    dhclient(t, server, host)
    server.stop()


if __name__ == "__main__":
    harness.run(main, needs=["dhclient", "dhcpcd", "dnsmasq", "ping"], own_host=True)
