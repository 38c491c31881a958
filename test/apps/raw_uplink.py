#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An interface of the host as the uplink: `mino up --interface`, two kernels on it, offloads on.

Run by ctest as apps.raw_uplink.linux; see harness.py for the arguments. The interface is one end of
a veth pair. The other end is in a network namespace, which is the network that the device reaches.
"""

import contextlib
import os
import re
import socket
import struct
import time

import harness
from harness import check, check_equal, content, sha256, wait_for

NAMESPACE, OURS, THEIRS = f"mraw{os.getpid()}", f"mr{os.getpid()}", "far0"
NET = f"10.223.{os.getpid() & 255}."
FAR, HOST, FIRST, SECOND = NET + "1", NET + "9", NET + "10", NET + "11"
SIZE = 32 << 20
ON = ("tx-checksumming", "rx-checksumming", "tcp-segmentation-offload", "generic-receive-offload",
      "tx-tcp-segmentation", "tx-tcp6-segmentation", "tx-tcp-ecn-segmentation", "tx-udp-segmentation")
FAR6 = "fd00:223::1"
SEGMENT, SEGMENTS = 1000, 60  # of UDP


# Router advertisements (role "advertise"), for autoconfiguration ---------------------------------

def advertise(interface):
    out = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    out.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    prefix = struct.pack("!BBBBIII16s", 3, 4, 64, 0xc0, 3600, 3600, 0,
                         socket.inet_pton(socket.AF_INET6, "fd00:223::"))
    while True:
        with contextlib.suppress(OSError):  # there is no address to send from yet
            out.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + prefix,
                       ("ff02::1", 0, 0, socket.if_nametoindex(interface)))
        time.sleep(0.3)


# Many datagrams by one call (UDP_SEGMENT), which stay together as far as the offloads go ----------

def datagram(i):
    return bytes([i]) * SEGMENT


def receive_datagrams(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.bind((address, int(port)))
        s.settimeout(20)
        print("bound")
        got = {s.recv(70000) for _ in range(SEGMENTS)}
    print("whole" if got == {datagram(i) for i in range(SEGMENTS)} else f"{[(len(d), d[:1]) for d in got]}")


def send_datagrams(address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.IPPROTO_UDP, 103, SEGMENT)  # UDP_SEGMENT
        s.sendto(b"".join(map(datagram, range(SEGMENTS))), (address, int(port)))


# The network -------------------------------------------------------------------------------------

def far(t, *argv, **options):
    return t.host("ip", "netns", "exec", NAMESPACE, *argv, **options)


def make_network(t):
    for argv in (["link", "add", OURS, "type", "veth", "peer", "name", THEIRS, "netns", NAMESPACE],
                 ["addr", "add", f"{HOST}/24", "dev", OURS],
                 ["-n", NAMESPACE, "addr", "add", f"{FAR}/24", "dev", THEIRS],
                 ["netns", "exec", NAMESPACE, "sysctl", "-qw", f"net.ipv6.conf.{THEIRS}.accept_ra=0"],
                 ["-n", NAMESPACE, "addr", "add", f"{FAR6}/64", "dev", THEIRS, "nodad"],
                 ["-n", NAMESPACE, "link", "set", "lo", "up"],
                 ["-n", NAMESPACE, "link", "set", THEIRS, "up"]):
        t.host("ip", *argv).ok()
    # The test's router is for the device, not for the host.
    t.host("sysctl", "-qw", f"net.ipv6.conf.{OURS}.accept_ra=0").ok()


def remove_network(t):
    t.host("ip", "netns", "del", NAMESPACE)
    t.host("ip", "link", "del", OURS)


def state(t, *argv):
    return t.host("ip", "-d", "-s", "-j", *argv).json()[0]


def check_untouched(t, when):
    link = state(t, "link", "show", OURS)
    check_equal((link["promiscuity"], link.get("allmulti", 0)), (0, 0), f"promiscuity, allmulti {when}")


def counters(t):
    statistics = state(t, "-n", NAMESPACE, "link", "show", THEIRS)["stats64"]
    return {way: (statistics[way]["bytes"], statistics[way]["packets"]) for way in ("rx", "tx")}


def packet_sizes(t, action):
    """Bytes per packet that the namespace received and sent during action()."""
    before = counters(t)
    action()
    after = counters(t)
    return {way: (after[way][0] - before[way][0]) / (after[way][1] - before[way][1]) for way in after}


# Programs ----------------------------------------------------------------------------------------

def on(t, instance, *argv, **options):
    return t.host(*t.device.run_argv(argv, "--instance", instance), **options)


def features(t, instance=0):
    return dict(re.findall(r"^\s*(\S+): (on|off)", on(t, instance, "ethtool", "-k", "eth0").ok(), re.M))


def without(*names):
    return {name: "off" if name in names else "on" for name in ON}


def serve(t, argv, folder, address):
    """Starts a web server with the file; returns its URL."""
    port = t.port()
    t.start([*argv, harness.PYTHON, "-m", "http.server", str(port), "--bind", address, "--directory", folder])
    return f"http://{f'[{address}]' if ':' in address else address}:{port}/file"


def wait_served(what, fetch, url):
    wait_for(what, lambda: fetch("curl", "-sfI", url).status == 0, 20)


def check_fetched(fetch, url, want, what):
    result = fetch("curl", "-sf", "--max-time", "50", url, timeout_s=60)
    check_equal(result.status, 0, f"{what}: curl's exit status")
    check_equal(sha256(result.out), want, what)


def refused(t, status, words, *options):
    result = t.mino("up", *options)
    check_equal(result.status, status, f"exit status of up {' '.join(map(str, options))} ({result.error_text})")
    check(words in result.error_text, f"{words!r} is not in: {result.error_text}")


# The test ----------------------------------------------------------------------------------------

def mistakes(t):
    linux, address = ["--engine", "linux"], ["--address", f"{FIRST}/24"]
    refused(t, 1, f"interface {OURS} is down; bring it up", *linux, "--interface", OURS, *address)
    t.host("ip", "link", "set", OURS, "up").ok()
    refused(t, 1, "no interface nosuch0; there are: ", *linux, "--interface", "nosuch0", *address)
    refused(t, 1, "interface lo cannot be the uplink: it is not Ethernet", *linux, "--interface", "lo", *address)
    refused(t, 1, f"{HOST} is one of this host's own", *linux, "--interface", OURS, "--address", f"{HOST}/24")
    refused(t, 1, "has no room for 2 instances", *linux, "--interface", OURS, "--address", f"{NET}254/24",
            "--instances", "2")
    refused(t, 2, "add --address", *linux, "--interface", OURS)
    refused(t, 2, "use --engine linux", "--engine", "native", "--interface", OURS, *address)
    refused(t, 2, "not an IPv4 address", *linux, "--interface", OURS, "--address", "fd00::2/64")
    refused(t, 2, f"not an address of {NET}0/24", *linux, "--interface", OURS, *address, "--gateway", "10.9.9.9")
    refused(t, 2, "set --address as well", *linux, "--gateway", FAR)
    config = t.scratch / "mtu.toml"
    config.write_text(f"engine = 'linux'\n[uplink]\ninterface = '{OURS}'\naddress = '{FIRST}/24'\nmtu = 9000\n")
    refused(t, 1, f"interface {OURS} has 1500", "--config", config)
    check_untouched(t, "after what was refused")


def address6(t, instance):
    """Waits for an address that may be used: from a tentative one, Linux connects as ::1."""
    def found():
        return re.search(r"inet6 (fd\S+)/64 scope global(?! tentative)",
                         on(t, instance, "ip", "-6", "addr", "show", "eth0").ok())

    return wait_for(f"an IPv6 address of instance {instance}", found, 20).group(1)


def large_packets(t, folder, want, addresses):
    """Both ways, with segments too large for any wire. Returns who fetches what."""
    away = serve(t, ["ip", "netns", "exec", NAMESPACE], folder, addresses[0])
    here = serve(t, t.device.run_argv([], "--instance", "1"), folder, addresses[1])

    def fetch_here(*argv, **options):
        return on(t, 0, *argv, **options)

    def fetch_away(*argv, **options):
        return far(t, *argv, **options)

    wait_served("the server in the namespace", fetch_here, away)
    wait_served("the server under mino", fetch_away, here)
    sizes = packet_sizes(t, lambda: check_fetched(fetch_here, away, want, f"received under mino from {away}"))
    check(sizes["tx"] > 5000, f"GSO: bytes per packet to the device from {away}: {sizes['tx']:.0f}")
    sizes = packet_sizes(t, lambda: check_fetched(fetch_away, here, want, f"sent under mino from {here}"))
    check(sizes["rx"] > 5000, f"TSO: bytes per packet from the device at {here}: {sizes['rx']:.0f}")
    check_fetched(fetch_here, here, want, "from one instance to the other")
    return (fetch_here, away), (fetch_away, here)


def datagrams_stay_whole(t, receiver, sender, address, what):
    port = t.port()
    receiving = t.start([*receiver, *t.role("receive_datagrams", address, port)])
    receiving.wait_log("bound")
    t.host(*sender, *t.role("send_datagrams", address, port)).ok()
    receiving.wait_log("whole")
    check_equal(receiving.wait(), 0, what)


def large_transfers(t, folder, want):
    """With segments too large for any wire, then with every checksum checked."""
    first6, second6 = address6(t, 0), address6(t, 1)
    pairs = [*large_packets(t, folder, want, (FAR, SECOND)), *large_packets(t, folder, want, (FAR6, second6))]
    (fetch_here, away), (fetch_away, here) = pairs[:2]
    there, here_argv = ["ip", "netns", "exec", NAMESPACE], t.device.run_argv([], "--instance", "0")
    for ours, theirs in ((FIRST, FAR), (first6, FAR6)):
        datagrams_stay_whole(t, there, here_argv, theirs, f"UDP segments to {theirs}")
        datagrams_stay_whole(t, here_argv, there, ours, f"UDP segments to {ours}")

    on(t, 0, "ethtool", "-K", "eth0", "gro", "off").ok()
    check_equal({name: features(t)[name] for name in ON}, without(ON[3]), "GRO off alone")
    check_fetched(fetch_here, away, want, "received without GRO")
    on(t, 0, "ethtool", "-K", "eth0", "gro", "on").ok()
    on(t, 0, "ethtool", "-K", "eth0", "tso", "off").ok()
    check_equal(features(t)["tcp-segmentation-offload"], "off", "TSO off")
    on(t, 0, "sh", "-c", "ip link set eth0 down; ip link set eth0 up").ok()
    check_equal(features(t)["tcp-segmentation-offload"], "off", "TSO off after down and up")
    on(t, 0, "ethtool", "-K", "eth0", "tso", "on").ok()

    for argv in (["ethtool", "-K", OURS, "tx", "off"],
                 ["ip", "netns", "exec", NAMESPACE, "ethtool", "-K", THEIRS, "tx", "off"]):
        t.host(*argv).ok()
    address6(t, 0)  # new since it was up again
    for fetch, url in pairs:
        way = "tx" if fetch is pairs[0][0] or fetch is pairs[2][0] else "rx"
        sizes = packet_sizes(t, lambda: check_fetched(fetch, url, want, f"{url} with checksums"))
        check(sizes[way] < 1600, f"bytes per packet of {url}: {sizes[way]:.0f}")
    for who in (far, lambda t, *argv: on(t, 0, *argv), lambda t, *argv: on(t, 1, *argv)):
        check("TcpInCsumErrors" in who(t, "nstat", "-az", "TcpInCsumErrors").ok(), "nstat")
        check_equal(re.findall(r"TcpInCsumErrors\s+(\d+)", who(t, "nstat", "-azs", "TcpInCsumErrors").ok()), ["0"],
                    "wrong checksums")


def pings(t, who, address):
    # The first one may be lost while Ethernet addresses are being resolved.
    wait_for(f"an answer from {address}", lambda: who("ping", "-c", "1", "-W", "2", address).status == 0, 15)


def interface_goes(t):
    """Down and up again, gone and back: nothing is lost for good."""
    log = t.scratch / "run" / "minod.log"
    t.host("ip", "link", "set", OURS, "down").ok()
    check(on(t, 0, "ping", "-c", "1", "-W", "1", FAR).status != 0, "an answer over an interface that is down")
    t.host("ip", "link", "set", OURS, "up").ok()
    pings(t, lambda *argv: on(t, 0, *argv), FAR)
    victim = t.device.status()["instances"][1]
    os.kill(victim["pid"], 9)
    wait_for("another kernel", lambda: t.device.status()["instances"][1]["pid"] not in (0, victim["pid"]), 20)
    pings(t, lambda *argv: far(t, *argv), SECOND)
    check_equal(t.device.status()["instances"][1]["mac"], victim["mac"], "its Ethernet address")
    pid = t.device.status()["pid"]
    t.host("ip", "link", "del", OURS).ok()
    check(on(t, 0, "ping", "-c", "1", "-W", "1", FAR).status != 0, "an answer over an interface that is gone")
    check_equal(on(t, 0, "ping", "-c", "1", "-W", "2", "127.0.0.1").status, 0, "127.0.0.1 without an uplink")
    check("until then the device has no uplink" in log.read_text(), log.read_text())
    make_network(t)
    t.host("ip", "link", "set", OURS, "up").ok()
    for address in (FIRST, SECOND):  # from that side: the device still knows an Ethernet address
        pings(t, lambda *argv: far(t, *argv), address)
    check(f"interface {OURS} is up again" in log.read_text(), log.read_text())
    check_equal(t.device.status()["pid"], pid, "minod")
    t.host("ip", "link", "del", OURS).ok()


def tap_keeps_offloads(t, folder, want):
    """The uplink that mino makes uses the same driver."""
    config = t.scratch / "tap.toml"
    config.write_text("[uplink]\nmtu = 9000\n")
    t.device.up("--config", config)
    check_equal(t.device.status()["uplink"]["transport"], "tap", "transport")
    check(t.device.interface in [link["ifname"] for link in t.host("ip", "-j", "link").json()
                                 if link.get("ifalias", "").endswith(str(t.device.run_dir))], "the tap's alias")
    check("mtu 9000" in on(t, 0, "ip", "link", "show", "eth0").ok(), "large frames")
    url = serve(t, [], folder, t.device.gateway)
    wait_served("the server on the host", lambda *argv: on(t, 0, *argv), url)
    on(t, 0, "ethtool", "-K", "eth0", "gro", "off").ok()
    check_equal({name: features(t)[name] for name in ON}, without(ON[3]),
                "a tap, GRO off alone")
    check_fetched(lambda *argv, **options: on(t, 0, *argv, **options), url, want, "a tap, received without GRO")
    t.processes[-1].kill()
    on(t, 0, "ethtool", "-K", "eth0", "gro", "on").ok()
    tap_six(t, folder, want)
    t.device.down()
    check(not t.device.leftovers(t), f"`mino down` left behind: {t.device.leftovers(t)}")


def tap_six(t, folder, want):
    """IPv6 over a tap: as large packets as IPv4's."""
    ours = t.device.status()["uplink"]["address6"].split("/")[0]
    theirs = re.search(r"inet6 (fd\S+)/64", t.host("ip", "-6", "addr", "show", t.device.interface).ok()).group(1)

    def packets(action):
        def counted():
            link = t.host("ip", "-s", "-j", "link", "show", t.device.interface).json()[0]["stats64"]
            return [(link[way]["bytes"], link[way]["packets"]) for way in ("rx", "tx")]

        before = counted()
        action()
        return [(b[0] - a[0]) / (b[1] - a[1]) for a, b in zip(before, counted())]

    def fetch_here(*argv, **options):
        return on(t, 0, *argv, **options)

    away = serve(t, [], folder, theirs)
    here = serve(t, t.device.run_argv([]), folder, ours)
    wait_served("the server on the host", fetch_here, away)
    wait_served("the server on the device", t.host, here)
    sizes = packets(lambda: check_fetched(fetch_here, away, want, "a tap, received by IPv6"))
    check(sizes[1] > 5000, f"a tap: bytes per packet of IPv6 to the device: {sizes[1]:.0f}")
    sizes = packets(lambda: check_fetched(t.host, here, want, "a tap, sent by IPv6"))
    check(sizes[0] > 5000, f"a tap: bytes per packet of IPv6 from the device: {sizes[0]:.0f}")
    for address in (theirs, t.device.gateway):
        datagrams_stay_whole(t, [], t.device.run_argv([]), address, "a tap, UDP segments sent")
    for address in (ours, t.device.address):
        datagrams_stay_whole(t, t.device.run_argv([]), [], address, "a tap, UDP segments received")
    for process in t.processes[-6:]:
        process.kill()


def drive(t):
    folder = t.scratch / "served"
    folder.mkdir()
    data = content(SIZE)
    (folder / "file").write_bytes(data)
    mistakes(t)
    t.device.up("--interface", OURS, "--address", f"{FIRST}/24", "--gateway", FAR, "--instances", "2")
    t.device.interface = None  # it does not belong to the device
    status = t.device.status()
    check_equal({key: status["uplink"][key] for key in ("address", "gateway", "interface", "nat", "transport")},
                {"address": f"{FIRST}/24", "gateway": FAR, "interface": OURS, "nat": False, "transport": "raw"},
                "the uplink in the status")
    check_equal([one["address"] for one in status["instances"]], [FIRST, SECOND], "addresses")
    check_equal(len({one["mac"] for one in status["instances"]}), 2, "Ethernet addresses")
    check(f"{FIRST}/24 on {OURS}, gateway {FAR}" in t.mino("status").ok(), "mino status")
    check_equal([link["ifname"] for link in t.host("ip", "-j", "link").json()
                 if link.get("ifalias", "").endswith(str(t.device.run_dir))], [], "interfaces that mino made")
    for one in status["instances"]:
        text = t.host("cat", f"/proc/{one['pid']}/status").ok()
        capabilities = int(re.search(r"CapPrm:\s*(\w+)", text).group(1), 16)
        check_equal(capabilities & (1 << 12 | 1 << 13), 0, "CAP_NET_ADMIN and CAP_NET_RAW of an instance")
    for i in range(2):
        got = features(t, i)
        check_equal({name: got[name] for name in ON}, dict.fromkeys(ON, "on"), f"features of instance {i}")
        check("MULTICAST" in on(t, i, "ip", "link", "show", "eth0").ok(), f"multicast on instance {i}")
    check(f"default via {FAR}" in on(t, 0, "ip", "route").ok(), "the default route")

    pings(t, lambda *argv: on(t, 0, *argv), FAR)
    pings(t, lambda *argv: far(t, *argv), FIRST)
    pings(t, lambda *argv: far(t, *argv), SECOND)
    pings(t, lambda *argv: on(t, 1, *argv), FIRST)
    pings(t, t.host, FAR)  # the host itself uses the interface
    t.start(["ip", "netns", "exec", NAMESPACE, *t.role("advertise", THEIRS)])
    for i in range(2):
        wait_for("an address from a router advertisement",
                 lambda: "fd00:223:" in on(t, i, "ip", "-6", "addr", "show", "eth0").ok(), 20)
    large_transfers(t, folder, sha256(data))
    pings(t, lambda *argv: on(t, 0, *argv), next(
        one["local"] for one in state(t, "-n", NAMESPACE, "-6", "addr", "show", THEIRS)["addr_info"]
        if one["scope"] == "link") + "%eth0")
    t.stop_all()
    t.device.down()
    check(not t.device.leftovers(t), f"`mino down` left behind: {t.device.leftovers(t)}")
    check_untouched(t, "after `mino down`")
    pings(t, t.host, FAR)

    # Without --gateway there is none, unless the host has one there.
    t.device.up("--interface", OURS, "--address", f"{FIRST}/24", "--instances", "2")
    t.device.interface = None
    check_equal(t.device.status()["uplink"]["gateway"], "", "no gateway")
    check("default" not in on(t, 0, "ip", "route").ok(), "no default route")
    interface_goes(t)
    t.device.gateway = None
    t.device.down()
    check(not t.device.leftovers(t), f"`mino down` left behind: {t.device.leftovers(t)}")
    tap_keeps_offloads(t, folder, sha256(data))


def main(t):
    try:
        t.host("ip", "netns", "add", NAMESPACE).ok()
        make_network(t)
        drive(t)
    finally:
        remove_network(t)


if __name__ == "__main__":
    harness.run(main, needs=["curl", "ethtool", "ip", "nstat", "ping", "sysctl"], limit_s=280, own_device=True,
                roles={"advertise": advertise, "receive_datagrams": receive_datagrams,
                       "send_datagrams": send_datagrams})
