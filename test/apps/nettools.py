#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""nft, tc, ip, sysctl, ss, ethtool, conntrack and nstat under mino rule the device's kernel alone.

Run by ctest as apps.nettools.linux; see harness.py for the arguments. Each tool changes something.
Packets show that the change is in force, and the host's own tool or traffic shows that nothing has
changed on the host. Delays are checked against a lower bound only.
"""

import json
import os
import re
import signal
import socket

import harness
from harness import check, check_equal, content, sha256, wait_for
from peers import HostHttp

TABLE = "minotest"
INTERFACE = "minotest0"
CONGESTION = "net.ipv4.tcp_congestion_control"
AVAILABLE = "net.ipv4.tcp_available_congestion_control"

INPUT_RULES = """
table inet {table} {{
  set ports {{ type inet_service; elements = {{ {port} }} }}
  chain input {{
    type filter hook input priority 0; policy accept;
    tcp dport @ports counter {verdict}
  }}
}}
"""
OUTPUT_RULES = """
table inet {table} {{
  chain output {{
    type filter hook output priority 0; policy accept;
    tcp dport {port} counter drop
  }}
}}
"""
TRACKING_RULES = """
table inet {table} {{
  chain input {{
    type filter hook input priority 0; policy accept;
    ct state established counter accept
  }}
}}
"""


class Server:
    """python3's web server on the device, with one file."""

    def __init__(self, t):
        self.t, self.body = t, content(65536)
        (t.scratch / "www").mkdir(exist_ok=True)
        (t.scratch / "www" / "file").write_bytes(self.body)
        self.port, self.process = t.offloaded_http(t.scratch / "www")
        self.url = f"http://{t.device_address()}:{self.port}/file"

    def check_reached(self, what):
        got = self.t.host("curl", "-sSf", "--max-time", "10", self.url)
        check_equal((got.status, sha256(got.out)), (0, sha256(self.body)),
                    f"{what}: {got.error_text}")


def curl_status(runner, url):
    """curl's exit status: 0, 7 for a connection refused, 28 for no answer within two seconds."""
    return runner("curl", "-sf", "-o", "/dev/null", "--max-time", "2", url).status


class Ruleset:
    """A table of the device's nftables, loaded by nft under mino from its standard input."""

    def __init__(self, t, rules, **values):
        self.t, self.rules = t, rules.format(table=TABLE, **values)

    def __enter__(self):
        self.t.offloaded("nft", "-f", "-", stdin=self.rules.encode()).ok()
        check(TABLE in self.t.offloaded("nft", "list", "tables").ok(), "no table on the device")
        check(TABLE not in self.t.host("nft", "list", "ruleset").ok(), "a table on the host")
        return self

    def packets(self):
        items = self.t.offloaded("nft", "-j", "list", "table", "inet", TABLE).json()["nftables"]
        return sum(expression["counter"]["packets"] for item in items if "rule" in item
                   for expression in item["rule"]["expr"] if "counter" in expression)

    def __exit__(self, *_):
        self.t.offloaded("nft", "delete", "table", "inet", TABLE).ok()
        check(TABLE not in self.t.offloaded("nft", "list", "ruleset").ok(), "a table left over")


def firewall(t, server):
    server.check_reached("before any rule")
    with Ruleset(t, INPUT_RULES, port=server.port, verdict="drop") as rules:
        check_equal(curl_status(t.host, server.url), 28, "curl against a drop rule")
        check(rules.packets() >= 1, "the drop rule counted no packet")
        t.offloaded("nft", "delete", "element", "inet", TABLE, "ports", f"{{ {server.port} }}").ok()
        server.check_reached("the port taken out of the rule's set")
    with Ruleset(t, INPUT_RULES, port=server.port, verdict="reject with tcp reset"):
        check_equal(curl_status(t.host, server.url), 7, "curl against a reject rule")
    server.check_reached("the rules deleted")
    with HostHttp(t.gateway_address()) as upstream:
        url = upstream.url("/bytes/100")
        check_equal(curl_status(t.offloaded, url), 0, "an offloaded curl before any rule")
        with Ruleset(t, OUTPUT_RULES, port=upstream.port) as rules:
            check_equal(curl_status(t.offloaded, url), 28, "an offloaded curl against a drop rule")
            check(rules.packets() >= 1, "the drop rule counted no packet")
            check_equal(curl_status(t.host, url), 0, "the host's curl, which the rule is not for")
        check_equal(curl_status(t.offloaded, url), 0, "an offloaded curl, the rule deleted")
    wrong = b"add rule inet nosuch nosuch accept\n"
    native, got = (runner("nft", "-f", "-", stdin=wrong) for runner in (t.host, t.offloaded))
    check_equal((got.status, got.error_text), (native.status, native.error_text), "a wrong rule")


def tracking(t, server):
    """A connection is in the device's connection tracking while a rule asks for it."""
    with Ruleset(t, TRACKING_RULES) as rules, \
            socket.create_connection((t.device_address(), server.port), timeout=10) as connection:
        connection.sendall(b"GET /file HTTP/1.0\r\n")  # unfinished: the server waits
        wait_for("packets of an established connection", rules.packets)
        local = connection.getsockname()[1]
        want = re.compile(rf"tcp +6 \d+ ESTABLISHED src={re.escape(t.gateway_address())} "
                          rf"dst={re.escape(t.device_address())} sport={local} dport={server.port}")
        listed = t.offloaded("conntrack", "-L", "-p", "tcp", "--dport", server.port)
        check(want.search(listed.ok()), f"conntrack -L:\n{listed.text}{listed.error_text}")
        check(int(t.offloaded("conntrack", "-C").ok()) >= 1, "conntrack -C")
        check(str(local) in t.offloaded("cat", "/proc/net/nf_conntrack").ok(), "nf_conntrack")
        gone = t.offloaded("conntrack", "-D", "-p", "tcp", "--dport", server.port)
        check("1 flow entries have been deleted" in gone.error_text, f"conntrack -D: {gone.text}"
              f"{gone.error_text}")
        gone.ok()


def pings(t, count=3):
    """The exit status when the host pings the device, and the shortest round trip in ms."""
    got = t.host("ping", "-n", "-c", count, "-i", "0.2", "-W", "2", t.device_address())
    times = re.search(r"rtt min/avg/max/mdev = ([\d.]+)/", got.text)
    return got.status, float(times.group(1)) if times else None


def qdiscs(result):
    return {qdisc["kind"] for qdisc in result.json() if qdisc}


def traffic_control(t):
    def tc(*arguments):
        return t.offloaded("tc", *arguments).ok()

    check_equal(pings(t)[0], 0, "exit status of ping before anything")
    tc("qdisc", "add", "dev", "eth0", "root", "netem", "delay", "100ms")
    status, shortest = pings(t)
    check(status == 0 and shortest >= 100, f"netem delay 100ms: {status}, {shortest} ms at least")
    print(f"nettools: round trip with netem delay 100ms: at least {shortest} ms")
    shown = t.offloaded("tc", "-s", "-j", "qdisc", "show", "dev", "eth0").json()
    check(shown[0]["kind"] == "netem" and shown[0]["packets"] >= 3, f"tc -s qdisc: {shown}")
    check("netem" not in qdiscs(t.host("tc", "-j", "qdisc", "show")), "netem on the host")
    tc("qdisc", "replace", "dev", "eth0", "root", "netem", "loss", "100%")
    check_equal(pings(t), (1, None), "ping with netem loss 100%")
    tc("qdisc", "del", "dev", "eth0", "root")
    check_equal(pings(t)[0], 0, "exit status of ping, netem deleted")
    tc("qdisc", "add", "dev", "eth0", "clsact")
    tc("filter", "add", "dev", "eth0", "ingress", "protocol", "ip", "flower", "ip_proto", "icmp",
       "action", "drop")
    check_equal(pings(t), (1, None), "ping against a flower filter that drops")
    shown = tc("-s", "filter", "show", "dev", "eth0", "ingress")
    check(re.search(r"\(dropped [1-9]", shown), f"no drop counted:\n{shown}")
    tc("qdisc", "del", "dev", "eth0", "clsact")
    tc("qdisc", "add", "dev", "eth0", "root", "handle", "1:", "htb", "default", "10")
    tc("class", "add", "dev", "eth0", "parent", "1:", "classid", "1:10", "htb", "rate", "1gbit")
    check_equal(pings(t)[0], 0, "exit status of ping through htb")
    shown = tc("-s", "class", "show", "dev", "eth0")
    check(re.search(r"class htb 1:10 root.* rate 1Gbit", shown) and
          re.search(r"Sent [1-9]", shown), f"tc -s class show:\n{shown}")
    tc("qdisc", "del", "dev", "eth0", "root")
    native, got = (runner("tc", "qdisc", "del", "dev", "lo", "root")
                   for runner in (t.host, t.offloaded))
    check_equal((got.status, got.error_text), (native.status, native.error_text), "nothing to del")


def congestion_control(t):
    before = t.host("sysctl", "-n", CONGESTION).ok()
    check("bbr" in t.offloaded("sysctl", "-n", AVAILABLE).ok().split(), "the device has no bbr")
    default = t.offloaded("sysctl", "-n", CONGESTION).ok().strip()
    t.offloaded("sysctl", "-w", f"{CONGESTION}=bbr").ok()
    try:
        check_equal(t.host("sysctl", "-n", CONGESTION).ok(), before, "the host's default")
        with HostHttp(t.gateway_address()) as upstream:
            client = t.run_offloaded("curl", "-sSf", upstream.url("/hold"))
            check(upstream.held.wait(10), "no request from the offloaded curl")
            selector = ["state", "established", f"dport = :{upstream.port}"]
            shown = t.offloaded("ss", "-H", "-tiep", *selector).ok()
            check(re.search(r"\sbbr\s.*\sbbr:\(bw:", shown, re.DOTALL), f"ss -tiep:\n{shown}")
            check(re.search(r"\sino:[1-9]\d* sk:", shown), f"ss -e:\n{shown}")
            owner = f'users:(("curl",pid={client.pid},fd='
            check(owner in shown, f"ss -p lacks {owner}:\n{shown}")
            check_equal(t.host("ss", "-H", "-tn", *selector).ok(), "", "the socket on the host")
            upstream.release.set()
            check_equal(client.wait(10), 0, "exit status of curl")
            check_equal(client.log(), "held", "what curl printed")
    finally:
        t.offloaded("sysctl", "-w", f"{CONGESTION}={default}").ok()


def features(t):
    shown = t.offloaded("ethtool", "-i", "eth0").ok()
    check(shown.startswith("driver: uml-vector\n"), f"ethtool -i eth0:\n{shown}")
    check("Link detected: yes" in t.offloaded("ethtool", "eth0").ok(), "ethtool eth0")
    check("rx_csum_offload_good:" in t.offloaded("ethtool", "-S", "eth0").ok(), "ethtool -S eth0")

    def gro(runner, interface):
        return re.search(r"^generic-receive-offload: (\w+)", runner(
            "ethtool", "-k", interface).ok(), re.MULTILINE).group(1)

    host_end = t.device.status()["uplink"]["interface"]
    before, want = gro(t.host, host_end), "off" if gro(t.offloaded, "eth0") == "on" else "on"
    t.offloaded("ethtool", "-K", "eth0", "gro", want).ok()
    check_equal(gro(t.offloaded, "eth0"), want, "generic-receive-offload of the device's eth0")
    check_equal(gro(t.host, host_end), before, "generic-receive-offload of the host's end")
    check_equal(pings(t)[0], 0, "exit status of ping after ethtool -K")
    t.offloaded("ethtool", "-K", "eth0", "gro", "off" if want == "on" else "on").ok()
    native, got = (runner("ethtool", "-i", "nosuch0") for runner in (t.host, t.offloaded))
    check_equal((got.status, got.error_text), (native.status, native.error_text), "ethtool -i")


def links(t):
    """Each kind of interface appears on the device, and never on the host."""
    over = ["link", "eth0"]
    for before, kind, after in (
            ([], "dummy", []), ([], "bridge", []), ([], "ifb", []), ([], "vrf", ["table", 10]),
            ([], "veth", ["peer", "name", INTERFACE + "p"]), (over, "vlan", ["id", 7]),
            (over, "macvlan", ["mode", "bridge"]), (over, "ipvlan", []),
            ([], "vxlan", ["id", 5, "dstport", 4789, "dev", "eth0"])):
        t.offloaded("ip", "link", "add", *before, "name", INTERFACE, "type", kind, *after).ok()
        shown = t.offloaded("ip", "-d", "-j", "link", "show", INTERFACE).json()[0]
        check_equal(shown["linkinfo"]["info_kind"], kind, "kind of the interface just added")
        check(t.host("ip", "link", "show", INTERFACE).status != 0, f"a {kind} on the host")
        t.offloaded("ip", "link", "del", INTERFACE).ok()


def monitoring(t):
    """ip monitor reports what another program does. Only its report shows that it has begun."""
    monitor = t.run_offloaded("ip", "monitor", "link")

    def reported():
        t.offloaded("ip", "link", "add", INTERFACE, "type", "dummy").ok()
        t.offloaded("ip", "link", "del", INTERFACE).ok()
        return re.search(rf"Deleted \d+: {INTERFACE}: ", monitor.log())

    wait_for("a report of ip monitor", reported)
    check_equal(monitor.stop(), -signal.SIGTERM, "how ip monitor ended")


def bridged_pair(t):
    """A veth pair with one end in a bridge: addresses, vlan filtering, forwarding entries."""
    t.offloaded("ip", "-batch", "-", stdin=f"""
        link add {INTERFACE} type bridge vlan_filtering 1
        link add {INTERFACE}a type veth peer name {INTERFACE}b
        link set {INTERFACE}a master {INTERFACE}
        link set {INTERFACE}a up
        link set {INTERFACE}b up
        link set {INTERFACE} up
        addr add 198.51.100.9/24 dev {INTERFACE}
        """.encode()).ok()
    t.offloaded("bridge", "vlan", "add", "vid", 30, "dev", INTERFACE + "a").ok()
    vlans = t.offloaded("bridge", "-j", "vlan", "show", "dev", INTERFACE + "a").json()
    check(30 in [vlan["vlan"] for vlan in vlans[0]["vlans"]], f"bridge vlan show: {vlans}")
    t.offloaded("bridge", "fdb", "add", "02:00:00:00:00:77", "dev", INTERFACE + "a", "master",
                "static").ok()
    check("02:00:00:00:00:77" in t.offloaded("bridge", "fdb", "show", "br", INTERFACE).ok(), "fdb")
    wait_for("the device's link to be up", lambda: t.offloaded(
        "ip", "-j", "link", "show", INTERFACE).json()[0]["operstate"] == "UP", 10)
    t.offloaded("ip", "link", "del", INTERFACE + "a").ok()
    t.offloaded("ip", "link", "del", INTERFACE).ok()


def routing(t):
    def ip(*arguments):
        return t.offloaded("ip", *arguments).ok()

    ip("rule", "add", "fwmark", "77", "lookup", "1077")
    ip("route", "add", "203.0.113.0/24", "via", t.gateway_address(), "table", "1077")
    check("fwmark 0x4d lookup 1077" in ip("rule"), "ip rule under mino")
    check("1077" not in t.host("ip", "rule").ok(), "a rule on the host")
    check("203.0.113.0/24" in ip("route", "show", "table", "1077"), "ip route under mino")
    got = t.offloaded("ip", "-j", "route", "get", "203.0.113.1", "mark", "77").json()[0]
    check_equal(str(got.get("table")), "1077", f"`ip route get` by the rule: {got}")
    ip("rule", "del", "fwmark", "77", "lookup", "1077")
    ip("route", "flush", "table", "1077")
    ip("neigh", "add", "192.0.2.9", "lladdr", "02:00:00:00:00:09", "dev", "eth0")
    check("02:00:00:00:00:09" in ip("neigh", "show", "192.0.2.9"), "ip neigh under mino")
    check("192.0.2.9" not in t.host("ip", "neigh").ok(), "a neighbour on the host")
    ip("neigh", "del", "192.0.2.9", "dev", "eth0")


def counters(t):
    def echoes():
        got = t.offloaded("nstat", "--json", "--zeros", "--noupdate", "--ignore", "IcmpInEchos")
        return json.loads(got.ok())["kernel"]["IcmpInEchos"]

    before = echoes()
    pings(t, 5)
    check_equal(echoes() - before, 5, "echo requests that the device's kernel counted")
    link = t.offloaded("ip", "-s", "-j", "link", "show", "eth0").json()[0]["stats64"]
    check(link["rx"]["packets"] > 5 and link["tx"]["packets"] > 5, f"ip -s link: {link}")


def namespaces(t):
    """A network namespace made by `ip netns` is on the device; the host has none of that name."""
    name = f"mino-test-{os.getpid()}"
    t.offloaded("ip", "netns", "add", name).ok()
    check(name in t.offloaded("ip", "netns", "list").ok(), "the namespace is not listed on the device")
    check(name not in t.host("ip", "netns", "list").ok(), "the namespace is on the host")
    t.offloaded("ip", "link", "add", "outside0", "type", "veth", "peer", "name", "inside0", "netns", name).ok()
    t.offloaded("ip", "addr", "add", "10.99.1.1/24", "dev", "outside0").ok()
    t.offloaded("ip", "link", "set", "outside0", "up").ok()
    t.offloaded("ip", "-n", name, "addr", "add", "10.99.1.2/24", "dev", "inside0").ok()
    t.offloaded("ip", "-n", name, "link", "set", "inside0", "up").ok()
    inside = ("ip", "netns", "exec", name)
    links = t.offloaded(*inside, "ip", "-br", "addr").ok()
    check("inside0" in links and "eth0" not in links, f"the links of the namespace: {links}")
    t.offloaded(*inside, "ping", "-c", "2", "-i", "0.2", "-W", "2", "10.99.1.1").ok()
    t.offloaded("ping", "-c", "2", "-i", "0.2", "-W", "2", "10.99.1.2").ok()
    t.offloaded("ip", "netns", "del", name).ok()
    check(name not in t.offloaded("ip", "netns", "list").ok(), "the namespace is still there")
    t.offloaded("unshare", "-n", "sh", "-c", "! ip link show eth0").ok()


def tunnels(t):
    """An interface made by `ip tuntap` is on the device."""
    name = "minotap0"
    t.offloaded("ip", "tuntap", "add", "dev", name, "mode", "tap").ok()
    check("tap" in t.offloaded("ip", "-d", "link", "show", "dev", name).ok(), "no tap on the device")
    check(t.host("ip", "link", "show", "dev", name).status != 0, "the tap is on the host")
    t.offloaded("ip", "tuntap", "del", "dev", name, "mode", "tap").ok()


def main(t):
    if t.native or os.environ.get("MINO_ENGINE") != "linux":
        harness.skip("needs the linux engine's kernel: its schedulers, links and uml-vector")
    server = Server(t)
    firewall(t, server)
    tracking(t, server)
    traffic_control(t)
    congestion_control(t)
    features(t)
    links(t)
    monitoring(t)
    bridged_pair(t)
    routing(t)
    counters(t)
    namespaces(t)
    tunnels(t)
    server.check_reached("after everything")


if __name__ == "__main__":
    harness.run(main, needs=["bridge", "conntrack", "curl", "ethtool", "ip", "nft", "nstat", "ping",
                             "ss", "sysctl", "tc"])
