# SPDX-License-Identifier: Apache-2.0
"""The device that a test runs its programs on: mino's, or a network namespace that looks the same.

Used by the harness. Each test has a device of its own, with a private run directory, so that tests
do not disturb each other or other users of the machine. A device must never outlive its test:
down(forced=True) is called on every way out, and may not raise.
"""

import json
import os
import pathlib
import signal
import subprocess
import time


class DeviceError(Exception):
    """The device did not come up, or did not answer."""


def children(pid):
    """The direct children of a process, read from /proc (procps may not be installed)."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text()
        except OSError:
            continue
        # The command name may hold spaces and parentheses; the parent is 2 fields after its end.
        state, parent = stat.rsplit(")", 1)[1].split()[:2]
        if int(parent) == pid and state != "Z":
            found.append(int(entry.name))
    return found


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


def pids_in_netns(inode_link):
    """Every process whose network namespace is the given one ("net:[4026531840]")."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.readlink(entry / "ns/net") == inode_link:
                    found.append(int(entry.name))
            except OSError:
                pass
    return found


class MinoDevice:
    """A device started by `mino up` with a run directory of its own."""

    def __init__(self, mino, run_dir, run_flags, execute):
        self.mino, self.run_dir, self.run_flags, self.execute = mino, run_dir, run_flags, execute
        self.address = self.gateway = self.gateway6 = self.interface = self.pid = None
        self.downed_pid = None
        self.index = None

    def mino_argv(self, argv):
        return [self.mino, "--run-dir", self.run_dir, *argv]

    def run_argv(self, argv, *options):
        return self.mino_argv(["run", *self.run_flags, *options, "--", *argv])

    def up(self, *options):
        engine = os.environ.get("MINO_ENGINE", "native")
        result = self.execute(self.mino_argv(["up", "--engine", engine, *options]))
        if result.status != 0:
            raise DeviceError(f"`mino up` failed with {result.status}:\n"
                              f"{result.text}{result.error_text}")
        status = self.status()
        try:
            self.address = status["uplink"]["address"].split("/")[0]
            self.gateway = status["uplink"]["gateway"].split("/")[0]
            self.pid = status["pid"]
        except KeyError as key:
            raise DeviceError(f"`mino status --json` has no {key}: {status}") from None
        self.interface = status["uplink"].get("interface")
        self.index = self.links().get(self.interface)
        if status["uplink"].get("address6"):
            host_end = self.execute(["ip", "-6", "-j", "addr", "show", "dev", self.interface])
            self.gateway6 = next((address["local"] for link in json.loads(host_end.ok()) if link
                                  for address in link["addr_info"]
                                  if address["scope"] == "global"), None)

    def status(self):
        result = self.execute(self.mino_argv(["status", "--json"]))
        try:
            return json.loads(result.ok())
        except ValueError:
            raise DeviceError(f"`mino status --json` printed no JSON: {result.text}") from None

    def sessions(self, _t):
        # The device's own relay to loopback name servers is an offloaded program too.
        return sum(client["name"] != "mino-dns" for client in self.status()["clients"])

    def ss(self, _t, *flags):
        return self.execute(self.mino_argv(["ss", *flags])).ok()

    def processes(self):
        """minod's descendants, and all other processes in the network namespace of one of them."""
        found = set(descendants(self.pid))
        own = os.readlink("/proc/self/ns/net")
        for pid in list(found):
            try:
                link = os.readlink(f"/proc/{pid}/ns/net")
            except OSError:
                continue
            if link != own:
                found.update(pids_in_netns(link))
        found.discard(self.pid)
        return found

    def down(self, forced=False):
        """`mino down`. If forced, also removes what is left by hand: nothing may survive a test."""
        pid, self.pid = self.pid, None
        if not forced:
            self.execute(self.mino_argv(["down"])).ok()
            self.downed_pid = pid
            return
        try:
            if pid is not None or (self.run_dir / "minod.sock").exists():
                subprocess.run([str(arg) for arg in self.mino_argv(["down"])], timeout=20,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, check=False)
        except (OSError, subprocess.SubprocessError):
            pass
        if pid is not None and self.is_own(pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass

    def is_own(self, pid):
        """Whether pid is still a minod, and not a later process with that number."""
        try:
            command = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return command[0].endswith(b"minod")

    def links(self):
        """{name: index} of the host's interfaces. The kernel gives an index once."""
        return {link["ifname"]: link["ifindex"] for link in json.loads(self.execute(["ip", "-j", "link"]).ok())}

    def leftovers(self, _t):
        """What is left of a device that has been taken down."""
        left = []
        deadline = time.monotonic() + 3.0
        while self.is_own(self.downed_pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        if self.is_own(self.downed_pid):
            left.append(f"minod, pid {self.downed_pid}")
        if self.interface and self.links().get(self.interface) == self.index:
            left.append(f"interface {self.interface}")
        left += [str(path) for path in self.run_dir.glob("*.sock")]
        return left


class NetnsDevice:
    """The stand-in: a network namespace behind a veth pair, entered with `ip netns exec`."""

    def __init__(self, leak):
        number = os.getpid()
        self.name = f"mapp{number}"
        self.interface, self.device_end = f"mh{number}", "eth0"  # the name that it has on a device
        base = f"10.222.{number >> 6 & 255}."
        self.gateway = base + str((number & 63) * 4 + 1)
        self.address = base + str((number & 63) * 4 + 2)
        self.gateway6, self.address6 = f"fd00:222:{number:x}::1", f"fd00:222:{number:x}::2"
        self.leak = leak
        self.pid = None

    def mino_argv(self, argv):
        raise DeviceError(f"no mino in native mode: {argv}")

    def run_argv(self, argv):
        return list(argv) if self.leak else ["ip", "netns", "exec", self.name, *argv]

    def ip(self, *argv):
        subprocess.run(["ip", *argv], check=True, timeout=20)

    def up(self):
        inside = ["-n", self.name]
        self.ip("netns", "add", self.name)
        self.ip("link", "add", self.interface, "type", "veth", "peer", "name", self.device_end,
                "netns", self.name)
        self.ip("addr", "add", f"{self.gateway}/30", "dev", self.interface)
        self.ip("addr", "add", f"{self.gateway6}/64", "dev", self.interface, "nodad")
        self.ip("link", "set", self.interface, "up")
        self.ip(*inside, "addr", "add", f"{self.address}/30", "dev", self.device_end)
        self.ip(*inside, "addr", "add", f"{self.address6}/64", "dev", self.device_end, "nodad")
        self.ip(*inside, "link", "set", "lo", "up")
        self.ip(*inside, "link", "set", self.device_end, "up")
        self.ip(*inside, "route", "add", "default", "via", self.gateway)

    def sessions(self, t):
        return len(t.host("ip", "netns", "pids", self.name).ok().split())

    def ss(self, t, *flags):
        return t.host("ip", "netns", "exec", self.name, "ss", *flags).ok()

    def processes(self):
        out = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, timeout=20,
                             check=True).stdout
        return {int(pid) for pid in out.split()}

    def down(self, forced=False):
        for argv in (["link", "del", self.interface], ["netns", "del", self.name]):
            subprocess.run(["ip", *argv], timeout=20, check=False, stderr=subprocess.DEVNULL)

    def leftovers(self, t):
        return [name for name in t.host("ip", "netns", "list").ok().split() if name == self.name]
