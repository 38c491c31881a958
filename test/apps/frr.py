#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""FRR's zebra, staticd, ospfd and bgpd under mino, with BIRD on the host: OSPF, BGP with MD5, routes both ways.

Run by ctest as apps.frr; see harness.py for the arguments. zebra reads interfaces, addresses and
routes by netlink and writes routes; the daemons meet over AF_UNIX sockets of the host.
"""

import shutil
import signal

import harness
from harness import check, check_equal, wait_for
from routing import Bird

ZEBRA = "log stdout\n"

STATICD = """
log stdout
ip route 198.51.100.128/25 Null0
ip route 203.0.113.64/26 Null0 250
"""

OSPFD = """
log stdout
interface eth0
 ip ospf network point-to-point
 ip ospf hello-interval 1
 ip ospf dead-interval 4
 ip ospf area 0
router ospf
 ospf router-id {own}
 redistribute static route-map ours
ip prefix-list ours permit 203.0.113.64/26
route-map ours permit 10
 match ip address prefix-list ours
"""

BGPD = """
log stdout
router bgp 64500
 bgp router-id {own}
 no bgp ebgp-requires-policy
 neighbor {peer} remote-as 64501
 neighbor {peer} password another-secret
 neighbor {peer} timers 3 9
 neighbor {peer} timers connect 1
 address-family ipv4 unicast
  network 198.51.100.128/25
"""


class Daemons:
    """FRR's daemons on the device. What each keeps for the case that it crashes goes at the end."""

    def __init__(self, t):
        self.t, self.folder, self.running = t, t.scratch / "frr", {}
        self.folder.mkdir()
        t.host("chown", "frr:frr", self.folder).ok()

    def start(self, name, config):
        (self.folder / f"{name}.conf").write_text(config)
        self.running[name] = self.t.run_offloaded(
            f"/usr/lib/frr/{name}", "-f", self.folder / f"{name}.conf", "-i", self.folder / f"{name}.pid",
            "-z", self.folder / "zserv.api", "--vty_socket", self.folder, "-P", "0")
        wait_for(f"{name}'s socket", (self.folder / f"{name}.vty").exists)

    def ask(self, command):
        return self.t.offloaded("vtysh", "--vty_socket", self.folder, "-c", command).ok()

    def stop(self):
        for name, process in reversed(self.running.items()):
            check_equal(process.stop(signal.SIGTERM), 0, f"exit status of {name}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name, process in self.running.items():
            shutil.rmtree(f"/var/tmp/frr/{name}.{process.pid}", ignore_errors=True)


def main(t):
    with Daemons(t) as frr:
        words = {"own": t.device_address(), "peer": t.gateway_address()}
        for name, config in (("zebra", ZEBRA), ("staticd", STATICD), ("ospfd", OSPFD), ("bgpd", BGPD)):
            frr.start(name, config.format(**words))
        far = Bird(t, "far", t.start_host, t.host, t.gateway_address(), t.device_address(), t.device.interface,
                   64501, 64500, static="198.51.100.0/25", ospf_static="203.0.113.0/26", ospf_password=False)
        far.wait_established()
        far.wait_route("198.51.100.128/25", "bgp1")
        far.wait_route("203.0.113.64/26", "ospf1")

        def in_kernel():
            routes = t.offloaded("ip", "-4", "route", "show").ok()
            return all(any(line.startswith(route) and f"proto {protocol}" in line for line in routes.splitlines())
                       for route, protocol in (("198.51.100.0/25", "bgp"), ("203.0.113.0/26", "ospf")))

        wait_for("the host's routes in the device's kernel", in_kernel, 20)
        check("Full" in frr.ask("show ip ospf neighbor"), "ospfd shows no neighbour")
        check("Interface eth0 is up" in frr.ask("show interface eth0"), "zebra does not show eth0 as up")
        check("198.51.100" not in t.host("ip", "-4", "route", "show", "table", "all").ok(), "a route of the host's")
        frr.stop()


if __name__ == "__main__":
    harness.run(main, needs=["bird", "vtysh"])
