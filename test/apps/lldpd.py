#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""lldpd under mino and on the host: two neighbours that see each other, and what each says of itself.

Run by ctest as apps.lldpd and apps.lldpd.linux; see harness.py for the arguments. It learns of
links by netlink, ethtool's ioctls and /sys/class/net, and sends and receives frames by a packet
socket with a filter, bound to the link and joined to the multicast address of LLDP. A monitor of
root's opens the sockets and passes them to the daemon proper, which has no privileges.
"""

import signal

import harness
from harness import check, check_equal, wait_for

ADDED = "198.51.100.77"
ENDS = (0, 1)  # 1 now and then on a busy machine, without mino too


class Lldpd:
    def __init__(self, t, name, start, execute, interface):
        self.name, self.execute, self.interface = name, execute, interface
        self.control = t.scratch / f"{name}.socket"
        self.process = start("lldpd", "-d", "-u", self.control, "-I", interface, "-S", f"the {name} one")
        self.process.wait_log("should resume operations")  # its own lldpcli has been there
        for words in (f"system hostname {name}", "system ip management pattern *", "lldp tx-interval 1",
                      "lldp tx-hold 3", "lldp portidsubtype macaddress"):
            self.ask("configure", *words.split()).ok()

    def ask(self, *words):
        return self.execute("lldpcli", "-u", self.control, *words)

    def neighbours(self):
        """{name: what it says of itself}, as seen on the one interface."""
        shown = self.ask("-f", "json0", "show", "neighbors", "details").json()["lldp"][0].get("interface", [])
        return {one["chassis"][0]["name"][0]["value"]: one for one in shown if one["name"] == self.interface}

    def mac(self):
        return self.execute("ip", "-j", "link", "show", "dev", self.interface).json()[0]["address"]


def addresses(chassis):
    return [one["value"] for one in chassis["mgmt-ip"]]


def check_seen(by, whom, address):
    wait_for(f"{by.name} to see {whom.name}", lambda: whom.name in by.neighbours())
    seen = by.neighbours()[whom.name]
    chassis, port = seen["chassis"][0], seen["port"][0]
    check_equal(chassis["descr"][0]["value"], f"the {whom.name} one", f"{whom.name}'s description")
    check_equal((port["id"][0]["type"], port["id"][0]["value"]), ("mac", whom.mac()), f"{whom.name}'s port")
    check(address in addresses(chassis), f"{whom.name}'s addresses: {addresses(chassis)}")


def main(t):
    near = Lldpd(t, "near", t.run_offloaded, t.offloaded, "eth0")
    far = Lldpd(t, "far", t.start_host, t.host, t.device.interface)
    check_seen(far, near, t.device_address())
    check_seen(near, far, t.gateway_address())
    near.ask("configure", "system", "description", "changed").ok()
    wait_for("the new description", lambda: far.neighbours()["near"]["chassis"][0]["descr"][0]["value"] == "changed")
    t.offloaded("ip", "addr", "add", f"{ADDED}/32", "dev", "eth0").ok()
    wait_for("the new address", lambda: ADDED in addresses(far.neighbours()["near"]["chassis"][0]))
    check(near.process.stop(signal.SIGTERM) in ENDS, "exit status of lldpd on the device")
    wait_for("the host to see no neighbour", lambda: not far.neighbours())
    check(far.process.stop(signal.SIGTERM) in ENDS, "exit status of lldpd on the host")


if __name__ == "__main__":
    harness.run(main, needs=["lldpd", "lldpcli"], own_host=True)
