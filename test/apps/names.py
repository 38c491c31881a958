#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Names under mino resolve as on the host, also where the nameserver is on the host's loopback.

Run by ctest as apps.names; see harness.py for the arguments. Many machines name 127.0.0.53 in
/etc/resolv.conf, which under mino is on the device's loopback: minod relays it to that of the host.
The machine's own resolv.conf must not be edited. So the driver and all that it starts, the device
included, live in a mount namespace with a private one bound over it. A small DNS server with a few
names listens on the host's loopback.
"""

import collections
import ctypes
import json
import os
import shutil
import socket
import struct
import threading

import harness
from harness import check, check_equal, content, sha256
from peers import HostHttp

CLONE_NEWNS = 0x20000
TYPES = {"A": 1, "CNAME": 5, "PTR": 12, "AAAA": 28}
ZONE = {
    "one.mino.test": {"A": ["10.9.8.7"], "AAAA": ["fd00::9:8:7"]},
    "alias.mino.test": {"CNAME": ["one.mino.test"]},
    # Too many addresses for 512 bytes: the client must ask again over TCP.
    "many.mino.test": {"A": [f"10.1.1.{n}" for n in range(1, 81)]},
    "7.8.9.10.in-addr.arpa": {"PTR": ["one.mino.test"]},
}


# The DNS server (role "dns") ---------------------------------------------------------------------

def encode_name(name):
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def encode_data(kind, value):
    if kind in ("A", "AAAA"):
        return socket.inet_pton(socket.AF_INET if kind == "A" else socket.AF_INET6, value)
    return encode_name(value)


def answer(zone, query, limit, transport, sender):
    """The reply to one query, as RFC 1035 lays it out; truncated where it exceeds limit."""
    number, flags = struct.unpack("!HH", query[:4])
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += 1 + query[at]
    kind = struct.unpack("!H", query[at + 1:at + 3])[0]
    name, question = ".".join(labels).lower(), query[12:at + 5]
    kind_name = next((key for key, value in TYPES.items() if value == kind), str(kind))
    print(f"{transport} {kind_name} {name} from {sender}", flush=True)

    records, owner = [], name
    if "CNAME" in zone.get(owner, {}):
        target = zone[owner]["CNAME"][0]
        records.append((owner, "CNAME", target))
        owner = target
    records += [(owner, kind_name, value) for value in zone.get(owner, {}).get(kind_name, [])]
    body = b""
    for record_owner, record_kind, value in records:
        data = encode_data(record_kind, value)
        body += encode_name(record_owner)
        body += struct.pack("!HHIH", TYPES[record_kind], 1, 30, len(data)) + data
    reply_flags = 0x8480 | flags & 0x0100 | (0 if name in zone else 3)
    header = struct.pack("!HHHHHH", number, reply_flags, 1, len(records), 0, 0)
    if len(header + question + body) > limit:
        return struct.pack("!HHHHHH", number, reply_flags | 0x0200, 1, 0, 0, 0) + question
    return header + question + body


def serve_stream(zone, connection):
    with connection, connection.makefile("rb") as stream:
        while len(prefix := stream.read(2)) == 2:
            query = stream.read(struct.unpack("!H", prefix)[0])
            reply = answer(zone, query, 65535, "tcp", connection.getpeername()[0])
            connection.sendall(struct.pack("!H", len(reply)) + reply)


def serve_streams(zone, listener):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve_stream, args=(zone, connection), daemon=True).start()


def dns_server(address, zone_json):
    zone = json.loads(zone_json)
    listener = socket.create_server((address, 53))
    threading.Thread(target=serve_streams, args=(zone, listener), daemon=True).start()
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind((address, 53))
        print("ready", flush=True)
        while True:
            query, sender = udp.recvfrom(4096)
            udp.sendto(answer(zone, query, 512, "udp", sender[0]), sender)


# A client with threads (role "resolve") ----------------------------------------------------------

def resolve(*names):
    """Resolves every name 25 times in each of 4 threads, and prints the answers with counts."""
    seen = {name: collections.Counter() for name in names}

    def work():
        for _ in range(25):
            for name in names:
                found = socket.getaddrinfo(name, 80, type=socket.SOCK_STREAM)
                seen[name][",".join(sorted({entry[4][0] for entry in found}))] += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(seen, sort_keys=True))


# The test ----------------------------------------------------------------------------------------

def free_loopback_address():
    for last in (53, 54, 55):
        address = f"127.0.0.{last}"
        try:
            with socket.create_server((address, 53)), \
                    socket.socket(type=socket.SOCK_DGRAM) as udp:
                udp.bind((address, 53))
                return address
        except OSError:
            continue
    return harness.skip("port 53 is taken on all of 127.0.0.53 to 55")


def private_resolver(t):
    """From here on this process and its children see the test's resolv.conf and nsswitch.conf."""
    t.nameserver = free_loopback_address()
    t.resolv_conf = t.scratch / "resolv.conf"
    name_server(t, t.nameserver)
    (t.scratch / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        harness.skip(f"no private mount namespace: {os.strerror(ctypes.get_errno())}")
    t.host("mount", "--make-rprivate", "/").ok()
    for name in ("resolv.conf", "nsswitch.conf"):
        if not os.path.exists(f"/etc/{name}"):
            harness.skip(f"no /etc/{name} to bind over")
        t.host("mount", "--bind", t.scratch / name, f"/etc/{name}").ok()


def name_server(t, address):
    """Writes in place: a new file would not be the one that is bound."""
    with open(t.resolv_conf, "w", encoding="ascii") as file:
        file.write(f"nameserver {address}\noptions timeout:2 attempts:1\n")


def start_dns(t, address, zone, start=None):
    server = (start or t.start_host)(*t.role("dns", address, json.dumps(zone)))
    server.wait_log("ready")
    return server


def same(t, *argv, want=0):
    """Runs a program on both sides, which must give the same output and the same exit status."""
    native, got = t.host(*argv), t.offloaded(*argv)
    check_equal(native.status, want, f"natively: {argv}: {native.error_text}")
    check_equal((got.status, got.out, got.err), (native.status, native.out, native.err),
                f"under mino: {' '.join(map(str, argv))}")
    return native.text


def queries(servers, sender=None):
    """How often the servers saw each query, from one sender or from all."""
    lines = [line.split(" from ") for server in servers for line in server.log().splitlines()]
    return collections.Counter(line[0] for line in lines if sender in (None, line[-1]))


def lookups(t, servers, http_port):
    # ahosts omits what the network at hand cannot reach, and sorts by it, so it may differ.
    both = t.offloaded("getent", "ahosts", "one.mino.test").ok()
    check("10.9.8.7" in both, f"getent ahosts under mino: {both}")
    for argv in (("hosts", "one.mino.test"), ("ahostsv4", "one.mino.test"),
                 ("hosts", "alias.mino.test"), ("hosts", "10.9.8.7"), ("hosts", "localhost"),
                 ("ahostsv4", "192.0.2.1")):
        same(t, "getent", *argv)
    same(t, "getent", "hosts", "nothing.mino.test", want=2)

    # A reply that does not fit a datagram comes over TCP.
    before = queries(servers)["tcp A many.mino.test"]
    got = t.offloaded("getent", "ahostsv4", "many.mino.test").ok()
    check_equal(len({line.split()[0] for line in got.splitlines()}), 80, "addresses over TCP")
    after = queries(servers)
    check(after["tcp A many.mino.test"] == before + 1, f"no query over TCP from mino: {after}")
    same(t, "getent", "ahostsv4", "many.mino.test")

    got = t.offloaded("curl", "-sSf", f"http://web.mino.test:{http_port}/bytes/65536")
    check_equal((got.status, sha256(got.out)), (0, sha256(content(65536))),
                f"curl by name: {got.error_text}")
    check_equal(t.offloaded("curl", "-s", "http://nothing.mino.test/").status, 6,
                "exit status of curl for a name that is not there")


def many_lookups(t, servers):
    before = queries(servers)["udp A one.mino.test"]
    got = t.offloaded(*t.role("resolve", "one.mino.test", "alias.mino.test"), timeout_s=60).json()
    check_equal(got, {name: {"10.9.8.7,fd00::9:8:7": 100} for name in
                      ("one.mino.test", "alias.mino.test")}, "lookups by 4 threads")
    made = queries(servers)["udp A one.mino.test"] - before
    check(made >= 100, f"{made} queries reached the server, 100 expected")


def own_resolver(t):
    """c-ares, inside node, reads resolv.conf and speaks DNS without libc."""
    node = shutil.which("node", path=t.env["PATH"])
    if not node:
        print("names: node's resolver not tried: no node")
        return
    script = ("const d = require('dns');"
              "d.resolve4('one.mino.test', (e, a) => { console.log(e || a[0]);"
              "d.resolve4('many.mino.test', (e, a) => { console.log(e || a.length);"
              "d.lookup('web.mino.test', (e, a) => console.log(e || a)); }); });")
    check_equal(same(t, node, "-e", script), f"10.9.8.7\n80\n{t.gateway_address()}\n", "node")


def main(t):
    zone = {**ZONE, "web.mino.test": {"A": [t.gateway_address()]}}
    servers = [start_dns(t, t.nameserver, zone)]
    if t.native:  # a second server inside plays the part of minod's relay
        servers.append(start_dns(t, t.nameserver, zone, t.run_offloaded))
    with HostHttp(t.gateway_address()) as web:
        lookups(t, servers, web.port)
        many_lookups(t, servers)
        own_resolver(t)
        for server in servers:
            server.kill()
        # No server behind the relay: an ordinary failure, and no later than natively.
        check_equal(t.host("getent", "hosts", "one.mino.test").status, 2, "natively, no server")
        check_equal(t.offloaded("getent", "hosts", "one.mino.test", timeout_s=15).status, 2,
                    "exit status of getent under mino, no server")
        # A name server that is not on the loopback needs no relay.
        name_server(t, t.gateway_address())
        servers = [start_dns(t, t.gateway_address(), zone)]
        lookups(t, servers, web.port)
        made = queries(servers, t.device_address())
        check(made["udp A one.mino.test"] and made["tcp A many.mino.test"],
              f"queries that came from the device's address: {made}")


if __name__ == "__main__":
    harness.run(main, needs=["getent", "curl", "mount"], setup=private_resolver,
                roles={"dns": dns_server, "resolve": resolve})
