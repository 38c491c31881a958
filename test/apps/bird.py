#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""BIRD under mino and on the host: OSPF and BGP with MD5 across the uplink, routes into the device's kernel.

Run by ctest as apps.bird; see harness.py for the arguments. The host's BIRD touches no routing
table of the kernel.
"""

import signal

import harness
from harness import check, wait_for
from routing import Bird


def main(t):
    far = Bird(t, "far", t.start_host, t.host, t.gateway_address(), t.device_address(), t.device.interface, 64501, 64500,
               static="198.51.100.0/25", ospf_static="203.0.113.0/26")
    near = Bird(t, "near", t.run_offloaded, t.offloaded, t.device_address(), t.gateway_address(), "eth0", 64500, 64501,
                static="198.51.100.128/25", ospf_static="203.0.113.64/26", kernel=True)
    far.wait_established()
    near.wait_established()
    near.wait_route("198.51.100.0/25", "bgp1")
    far.wait_route("198.51.100.128/25", "bgp1")
    near.wait_route("203.0.113.0/26", "ospf1")
    far.wait_route("203.0.113.64/26", "ospf1")

    def in_kernel():
        routes = t.offloaded("ip", "-4", "route", "show", "proto", "bird").ok()
        return all(route in routes for route in ("198.51.100.0/25", "203.0.113.0/26"))

    wait_for("the host's routes in the device's kernel", in_kernel)
    check("198.51.100" not in t.host("ip", "-4", "route", "show", "table", "all").ok(), "a route in the host's kernel")
    check(near.process.stop(signal.SIGTERM) == 0, "exit status of BIRD on the device")
    far.wait_gone("198.51.100.128/25")
    wait_for("its routes to be gone", lambda: not t.offloaded("ip", "-4", "route", "show", "proto", "bird").ok())


if __name__ == "__main__":
    harness.run(main, needs=["bird", "birdc"])
