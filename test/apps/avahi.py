#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""avahi-daemon under mino and on the host: services and names found by multicast DNS, either way.

Run by ctest as apps.avahi and apps.avahi.linux; see harness.py for the arguments. Each daemon joins
the groups on its interface, by IPv4 and IPv6, and learns by IP_PKTINFO where a query came from. It
leaves root behind, and its clients talk to it over a D-Bus of its own.
"""

import signal

import harness
from harness import check, check_equal, wait_for

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
  "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/>
  </policy>
</busconfig>
"""

AVAHI = """
[server]
host-name={name}
allow-interfaces={interface}
use-ipv4=yes
use-ipv6=yes
[publish]
publish-workstation=no
"""


class Avahi:
    """A daemon with its bus, on one side."""

    def __init__(self, t, name, start, execute, interface):
        self.name, self.start, self.execute, self.interface = name, start, execute, interface
        socket, bus, config = (t.scratch / f"{name}.{kind}" for kind in ("socket", "bus", "conf"))
        self.env = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={socket}"}
        bus.write_text(BUS.format(socket=socket))
        config.write_text(AVAHI.format(name=name, interface=interface))
        start("dbus-daemon", "--nofork", f"--config-file={bus}")
        wait_for(f"the bus of {name}", socket.exists)
        # It keeps its pid and its socket in /run.
        self.daemon = start("unshare", "--mount", "sh", "-c", "mount -t tmpfs none /run && exec avahi-daemon -f \"$0\"",
                            config, env=self.env)
        self.daemon.wait_log("Server startup complete", 20)

    def ask(self, *argv):
        return self.execute(*argv, env=self.env).text

    def publish(self, service, port):
        process = self.start("avahi-publish", "-s", service, "_mino._tcp", port, f"from={self.name}", env=self.env)
        process.wait_log("Established under name")
        return process

    def found(self, service):
        """{family: (host, address, port, text)} of a service on the network that is not its own."""
        rows = [line.split(";") for line in self.ask("avahi-browse", "-rptf", "_mino._tcp").splitlines()]
        return {row[2]: tuple(row[6:]) for row in rows if row[0] == "=" and row[3] == service}

    def addresses(self):
        return {one["local"] for link in self.execute("ip", "-j", "addr", "show", "dev", self.interface).json()
                for one in link["addr_info"]}


def check_found(by, whom, service, port):
    def both():
        got = by.found(service)
        return len(got) == 2 and got

    for family, (host, address, *more) in wait_for(f"{by.name} to find {service}", both, 20).items():
        what = f"{service} by {family}, as {by.name} sees it"
        check_equal((host, *more), (f"{whom.name}.local", str(port), f'"from={whom.name}"'), what)
        check(address in whom.addresses(), f"{what}: {address} is none of {whom.addresses()}")


def check_names(by, whom, address):
    check_equal(by.ask("avahi-resolve", "-4n", f"{whom.name}.local"), f"{whom.name}.local\t{address}\n", "its address")
    check_equal(by.ask("avahi-resolve", "-a", address), f"{address}\t{whom.name}.local\n", "its name")
    check(by.ask("avahi-resolve", "-6n", f"{whom.name}.local").split()[-1] in whom.addresses(), "its IPv6 address")


def main(t):
    near = Avahi(t, "near", t.run_offloaded, t.offloaded, "eth0")
    far = Avahi(t, "far", t.start_host, t.host, t.device.interface)
    printer = near.publish("printer", 1234)
    scanner = far.publish("scanner", 4321)
    check_found(far, near, "printer", 1234)
    check_found(near, far, "scanner", 4321)
    check_names(far, near, t.device_address())
    check_names(near, far, t.gateway_address())
    for process, by in ((printer, far), (scanner, near)):
        process.stop(signal.SIGINT)
        service = process.argv[process.argv.index("-s") + 1]
        wait_for(f"{by.name} to see no {service}", lambda: not by.found(service))
    check_equal(near.daemon.stop(signal.SIGTERM), 0, "exit status of avahi-daemon on the device")
    check_equal(far.daemon.stop(signal.SIGTERM), 0, "exit status of avahi-daemon on the host")


if __name__ == "__main__":
    harness.run(main, needs=["avahi-daemon", "avahi-browse", "dbus-daemon"], own_host=True)
