#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""ethtool, ip and all else that a program can ask of the uplink: the kernel serves on afterwards.

Run by ctest as apps.uplink and apps.uplink.linux; see harness.py for the arguments. The role `ask`
makes every ethtool command, every ioctl of interfaces and every message of the ethtool netlink
family with several arguments, and reads and writes the files in /sys/class/net/eth0. It does so as
an ordinary user and as root, with the interface up and down. What comes back does not matter here.
"""

import array
import contextlib
import fcntl
import os
import pathlib
import re
import socket
import struct

import harness
import tiers
from harness import check, check_equal, content, sha256
from peers import HostHttp

SIOCETHTOOL = 0x8946
NOBODY = 65534
SIZE = 4 << 20

# ioctls that give the interface other addresses, routes, names or flags. Root asks them by ip.
CHANGES = (0x890b, 0x890c, 0x8914, 0x8916, 0x8918, 0x891a, 0x891c, 0x8922, 0x8923, 0x8924, 0x8936)

# ioctls of bridges and VLANs. They make nothing here, but Linux loads its modules for them, for
# every user: not where the kernel is this machine's.
MODULES = (0x8940, 0x8941, 0x8982, 0x8983, 0x89a0, 0x89a1, 0x89a2, 0x89a3)

QUERIES = ("-a -c -g -k -i -P -l -S -T -x -n -u -w -e -d -m -t --show-priv-flags --show-eee --show-fec "
           "--phy-statistics --show-tunnels --show-module --show-mm --get-plca-cfg --get-plca-status").split()
SETTINGS = ("-A rx on", "-C tx-usecs 0", "-C tx-usecs 4000000000", "-C rx-usecs 5", "-G rx 8 tx 8", "-L combined 2",
            "-s speed 10 duplex half autoneg off", "-s wol g", "-s msglvl 65535", "-X equal 1",
            "-N flow-type tcp4 dst-port 80 action -1", "-E magic 1 offset 0 value 1", "-f nosuch", "-p 1", "-r",
            "--reset all", "--set-eee eee on", "--set-fec encoding off", "--set-priv-flags x on", "-W 1",
            "--set-phy-tunable downshift on", "--set-tunable rx-copybreak 100", "--set-module power-mode-policy high",
            "--cable-test", "-Q queue_mask 1 --show-coalesce", "--set-mm pmac-enabled on")
OFFLOADS = ("rx", "tx", "sg", "tso", "gso", "gro", "lro", "rxvlan", "ntuple", "rxhash", "tx-nocache-copy",
            "rx-gro-list", "rx-udp-gro-forwarding", "tx-udp-segmentation", "tx-tcp6-segmentation", "hw-tc-offload")


# What is asked -----------------------------------------------------------------------------------

def ask_ethtool(s, name):
    for command in [*range(0x70), 0x7fffffff, 0xffffffff]:
        for fill in (0, 1, 0xff):
            data = array.array("B", struct.pack("I", command) + bytes([fill]) * 8188)
            with contextlib.suppress(OSError):
                fcntl.ioctl(s, SIOCETHTOOL, struct.pack("16sQ16x", name, data.buffer_info()[0]))


def ask_ioctls(s, name, left_out):
    for number in range(0x8900, 0x8a00):
        if (os.geteuid() == 0 and number in CHANGES) or number in left_out:
            continue
        for fill in (0, 0xff):
            with contextlib.suppress(OSError):
                fcntl.ioctl(s, number, array.array("B", struct.pack("16s", name) + bytes([fill]) * 240))


def attribute(number, payload):
    data = struct.pack("HH", 4 + len(payload), number) + payload
    return data + bytes(-len(data) % 4)


def exchange(s, family, flags, payload):
    """Sends a message, and reads until it is answered. Returns the first answer."""
    s.send(struct.pack("IHHII", 16 + len(payload), family, flags | 5, 1, 0) + payload)  # REQUEST | ACK
    first = None
    while True:
        data = s.recv(1 << 18)
        first = first or data
        while data:
            length, kind = struct.unpack_from("IH", data)
            if kind in (2, 3):  # an error, or none; the end of a dump
                return first
            data = data[(length + 3) & ~3:]


def ask_netlink(name):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 16) as s:
        s.settimeout(20)
        found = exchange(s, 16, 0, struct.pack("BBH", 3, 1, 0) + attribute(2, b"ethtool\0"))
        family = struct.unpack_from("H", found, found.index(struct.pack("HH", 6, 1)) + 4)[0]
        for command in range(70):
            head = struct.pack("BBH", command, 1, 0)
            for more in (b"", attribute(2, struct.pack("I", 1)), attribute(2, attribute(1, b"\0" * 8))):
                exchange(s, family, 0, head + attribute(0x8001, attribute(2, name + b"\0")) + more)
            exchange(s, family, 0x300, head)  # a dump


def ask_files(folder):
    for path in sorted([*folder.glob("*"), *folder.glob("queues/*/*"), *folder.glob("statistics/*"),
                        *folder.glob("device/*"), *folder.glob("device/power/*"), *folder.glob("power/*")]):
        if not path.is_file() or path.name == "flags":
            continue
        before = None
        with contextlib.suppress(OSError):
            before = path.read_bytes()
        for text in (b"junk\n", b"1\n", b"0\n", b"-1\n", before):
            with contextlib.suppress(OSError):
                if text is not None:
                    path.write_bytes(text)
    for what in ("unbind", "bind"):
        with contextlib.suppress(OSError):
            (folder / "device" / "driver" / what).write_text(os.readlink(folder / "device").rsplit("/", 1)[-1])


def ask(user, kernel):
    if int(user):
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(int(user), int(user), int(user))
    name = "eth0"
    for family in (socket.AF_INET, socket.AF_INET6):
        with socket.socket(family, socket.SOCK_DGRAM) as s:
            ask_ethtool(s, name.encode())
            ask_ioctls(s, name.encode(), MODULES if kernel == "this machine's" else ())
    ask_netlink(name.encode())
    ask_files(pathlib.Path("/sys/class/net") / name)
    print("asked")


# The test ----------------------------------------------------------------------------------------

class Kernel:
    """The device's kernel must stay the same one, and have nothing to complain of."""

    def __init__(self, t):
        self.t = t
        self.before = self.pid()

    def pid(self):
        return None if self.t.native else self.t.device.status()["instances"][0].get("pid")

    def check_same(self, after):
        check_equal(self.pid(), self.before, f"the kernel's process after {after}")
        if not self.t.native:
            log = (self.t.scratch / "run" / "minod.log").read_text()
            check(not re.search(r"kernel: .*(BUG|WARNING|Oops|[Pp]anic|Call Trace|Out of memory)", log), log)


def check_serves(t, urls, want, after):
    for runner, url in urls:
        got = runner("curl", "-sSf", "--max-time", "40", url, timeout_s=60)
        check_equal((got.status, sha256(got.out)), (0, want), f"{url} after {after}: {got.error_text}")


def asked(t, user):
    kernel = "this machine's" if t.native or tiers.engine() == "native" else "the device's"
    result = t.offloaded(*t.role("ask", user, kernel), timeout_s=60)
    check("asked" in result.text, f"asking as user {user}: {result.status} {result.text} {result.error_text}")


def run_all(t, commands, user=0):
    """Runs the commands, for better or worse. They must all end."""
    script = "".join(f"timeout 20 {command} > /dev/null 2>&1; test $? = 124 && echo '{command}'\n"
                     for command in commands)
    result = t.offloaded("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "sh", "-c", script,
                         timeout_s=90)
    check_equal(result.text, "", f"commands of user {user} that did not end")


def set_up(t, route, address6):
    script = f"ip link set eth0 up; ip route replace {route} dev eth0; ip addr replace {address6} dev eth0 nodad"
    t.offloaded("sh", "-c", script).ok()


def main(t):
    kernel = Kernel(t)
    body = content(SIZE)
    (t.scratch / "www").mkdir()
    (t.scratch / "www" / "file").write_bytes(body)
    port, _ = t.offloaded_http(t.scratch / "www")
    route = re.search(r"^(default via \S+)", t.offloaded("ip", "route").ok(), re.M).group(1)
    found6 = re.search(r"inet6 (fd\S+)", t.offloaded("ip", "addr", "show", "dev", "eth0").ok())
    address6 = found6.group(1) if found6 else "fd00:1::2/64"
    with HostHttp(t.gateway_address()) as server:
        urls = [(t.host, f"http://{t.device_address()}:{port}/file"), (t.offloaded, server.url(f"/bytes/{SIZE}"))]
        for user in (NOBODY, 0):
            asked(t, user)
            kernel.check_same(f"all that user {user} can ask")
            run_all(t, ["ethtool eth0", *(f"ethtool {option} eth0" for option in QUERIES)], user)
            run_all(t, ["ethtool " + text.replace(" ", " eth0 ", 1) if " " in text else f"ethtool {text} eth0"
                        for text in SETTINGS], user)
            kernel.check_same(f"ethtool of user {user}")
        run_all(t, [f"ethtool -K eth0 {name} {value}" for value in ("off", "on") for name in OFFLOADS])
        check_serves(t, urls, sha256(body), "all queries and settings")
        run_all(t, [f"ip link set eth0 {text}" for text in (
            "mtu 68", "mtu 1280", "mtu 60000", "mtu 1500", "promisc on", "allmulticast on", "promisc off",
            "allmulticast off", "txqueuelen 0", "txqueuelen 1000", "multicast off", "multicast on", "arp off",
            "arp on", "carrier off", "carrier on", "gso_max_size 1", "gso_max_size 65536", "gro_max_size 500000",
            "gro_max_size 65536", "vf 0 mac 02:00:00:00:00:01", "xdp off", "protodown on", "protodown off")])
        address = re.search(r"link/ether (\S+)", t.offloaded("ip", "link", "show", "eth0").ok()).group(1)
        for _ in range(3):
            t.offloaded("ip", "link", "set", "eth0", "down").ok()
            for user in (NOBODY, 0):
                asked(t, user)
            run_all(t, [f"ethtool {option} eth0" for option in QUERIES])
            run_all(t, ["ethtool -K eth0 gro off", "ethtool -K eth0 gro on", f"ip link set eth0 address {address}"])
            set_up(t, route, address6)
        kernel.check_same("down and up")
        check_serves(t, urls, sha256(body), "down and up")


if __name__ == "__main__":
    harness.run(main, needs=["curl", "ethtool", "setpriv"], limit_s=140, roles={"ask": ask})
