#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""keepalived under mino and on the host: VRRP by IPv4 and IPv6, addresses that move when the master ends.

Run by ctest as apps.keepalived and apps.keepalived.linux; see harness.py for the arguments. Its
adverts are raw packets of protocol 112 to a multicast group, its gratuitous ARP is of a packet
socket; it reads and sets addresses by netlink, and reads settings in /proc/sys/net.
"""

import signal

import harness
from harness import check, check_equal, wait_for

ADDRESS, ADDRESS6 = "198.51.100.50", "2001:db8:1::50"

CONFIG = """
global_defs {{
  router_id {name}
  vrrp_garp_master_delay 1
}}
vrrp_instance four {{
  interface {interface}
  state BACKUP
  version 3
  virtual_router_id 51
  priority {priority}
  advert_int 0.2
  virtual_ipaddress {{ {address}/24 dev {interface} }}
}}
vrrp_instance six {{
  interface {interface}
  state BACKUP
  version 3
  virtual_router_id 52
  priority {priority}
  advert_int 0.2
  virtual_ipaddress {{
    fe80::5151
    {address6}/64
  }}
}}
"""


class Keepalived:
    def __init__(self, t, name, start, execute, interface, priority):
        self.t, self.name, self.execute, self.interface = t, name, execute, interface
        self.config, self.start, self.folder = t.scratch / f"{name}.conf", start, t.scratch
        self.config.write_text(CONFIG.format(name=name, interface=interface, priority=priority,
                                             address=ADDRESS, address6=ADDRESS6))
        self.up()

    def up(self):
        self.process = self.start("keepalived", "--dont-fork", "--log-console", "--log-detail", "--vrrp",
                                  "-f", self.config, "-p", self.folder / f"{self.name}.pid",
                                  "-r", self.folder / f"{self.name}.vrrp.pid")

    def down(self):
        check_equal(self.process.stop(signal.SIGTERM), 0, f"exit status of keepalived {self.name}")

    def addresses(self):
        shown = self.execute("ip", "-j", "addr", "show", "dev", self.interface).json()
        return {one["local"] for link in shown for one in link["addr_info"]} & {ADDRESS, ADDRESS6}

    def neighbour(self, address):
        """The Ethernet address behind address, as this side's kernel has learnt it."""
        return next((one.get("lladdr") for one in self.execute("ip", "-j", "neigh", "show", address).json()), None)

    def mac(self):
        return self.execute("ip", "-j", "link", "show", "dev", self.interface).json()[0]["address"]


def wait_master(master, backup, what):
    wait_for(f"the addresses to be those of {master.name} {what}",
             lambda: master.addresses() == {ADDRESS, ADDRESS6} and not backup.addresses())


def main(t):
    t.host("ip", "addr", "add", "198.51.100.1/24", "dev", t.device.interface).ok()
    t.offloaded("ip", "addr", "add", "198.51.100.2/24", "dev", "eth0").ok()
    far = Keepalived(t, "far", t.start_host, t.host, t.device.interface, 100)
    wait_for("the host's to be master alone", lambda: far.addresses() == {ADDRESS, ADDRESS6})
    t.offloaded("ping", "-c1", "-w5", ADDRESS).ok()
    near = Keepalived(t, "near", t.run_offloaded, t.offloaded, "eth0", 150)
    wait_master(near, far, "with the higher priority")
    t.host("ping", "-c1", "-w5", ADDRESS).ok()
    check_equal(far.neighbour(ADDRESS), near.mac(), "whom the host takes for the master")

    near.down()
    wait_master(far, near, "when the other has ended")
    t.offloaded("ping", "-c1", "-w5", ADDRESS).ok()
    near.up()
    wait_master(near, far, "when the other has come back")
    near.process.kill()  # now nobody says farewell, or takes the address away
    wait_for("the host to be master after silence", lambda: far.addresses() == {ADDRESS, ADDRESS6})
    far.down()
    check(not far.addresses(), "addresses of the host's after its end")


if __name__ == "__main__":
    harness.run(main, needs=["keepalived", "ping"], own_host=True)
