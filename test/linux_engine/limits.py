#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The limits of an instance are those of the host, as far as its memory carries them.

    limits.py MINO

Run by ctest as linux_engine.limits. It brings up two devices: one as it is by default, and a small
one with sysctls of its own. daemon/instance_limits_test.cc has the arithmetic; here is what
programs meet. Must be root.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

MINO = sys.argv[1]
PYTHON, LIMIT_S, SKIPPED = "/usr/bin/python3", 120, 77
CLOSED = 2200  # connections, more than the 2,048 that a machine of 512 MiB keeps in TIME_WAIT
AS_ON_THE_HOST = ("net.core.rmem_max", "net.core.wmem_max", "net.core.rmem_default",
                  "net.core.somaxconn", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
                  "net.ipv4.tcp_max_tw_buckets", "net.ipv4.tcp_max_syn_backlog",
                  "net.netfilter.nf_conntrack_max")
MEMORY_MIB = 512
ORPHANS = min(64 * MEMORY_MIB, int(pathlib.Path("/proc/sys/net/ipv4/tcp_max_orphans").read_text()))

BUFFERS = """
import socket
with socket.socket() as s:
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        for size in (1 << 16, 1 << 22, 1 << 28):
            s.setsockopt(socket.SOL_SOCKET, option, size)
            print(s.getsockopt(socket.SOL_SOCKET, option))
"""
TIME_WAIT = f"""
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    address = server.getsockname()
    for number in range({CLOSED}):
        client = socket.socket()
        client.connect(address)
        client.close()
        server.accept()[0].close()
names, values = [line.split() for line in open("/proc/net/netstat") if line.startswith("TcpExt:")][:2]
print(dict(zip(names, values))["TCPTimeWaitOverflow"])
"""
# A stream whose reader is slow to start: what fits in between is what the buffers take.
QUEUED = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server, \\
        socket.create_connection(server.getsockname()) as client, server.accept()[0] as peer:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 30)
    peer.setblocking(False)
    sent = 0
    try:
        while True:
            sent += peer.send(bytes(1 << 16))
    except BlockingIOError:
        pass
    print(sent)
"""


def run(*argv):
    done = subprocess.run([str(word) for word in argv], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, timeout=LIMIT_S, check=False, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{argv} ended with {done.returncode}")
    return done.stdout.split("\n")[:-1]


def check(condition, what):
    if not condition:
        raise AssertionError(what)


class Device:
    def __init__(self, config=""):
        self.folder = tempfile.TemporaryDirectory(prefix="mino-limits-")
        os.chmod(self.folder.name, 0o755)
        self.config = pathlib.Path(self.folder.name) / "minod.toml"
        self.config.write_text(config)
        self.mino = [MINO, "--run-dir", f"{self.folder.name}/run"]

    def __enter__(self):
        run(*self.mino, "up", "--engine", "linux", "--config", self.config)
        return self

    def __exit__(self, *_):
        subprocess.run([*self.mino, "down"], stdout=subprocess.DEVNULL, timeout=LIMIT_S, check=False)
        self.folder.cleanup()

    def run(self, *argv):
        return run(*self.mino, "run", "--", *argv)

    def log(self):
        return (pathlib.Path(self.folder.name) / "run" / "minod.log").read_text()

    def sysctl(self, name):
        return " ".join(self.run("sysctl", "-n", name)[0].split())


def on_the_host(name):
    path = pathlib.Path("/proc/sys") / name.replace(".", "/")
    return " ".join(path.read_text().split()) if path.exists() else None


def by_default(device):
    for name in AS_ON_THE_HOST:
        want = on_the_host(name)
        if want is not None:
            check(device.sysctl(name) == want, f"{name}: {device.sysctl(name)}, host {want}")
    orphans = device.sysctl("net.ipv4.tcp_max_orphans")
    check(int(orphans) == ORPHANS, f"orphans: {orphans}, not {ORPHANS}")
    for program in (BUFFERS, QUEUED):
        native, got = run(PYTHON, "-c", program), device.run(PYTHON, "-c", program)
        if program is QUEUED:  # the kernels count what a packet costs differently
            check(int(got[0]) * 2 > int(native[0]), f"{got[0]} bytes queued, natively {native[0]}")
        else:
            check(got == native, f"buffers: {got}, natively {native}")
    overflows = device.run(PYTHON, "-c", TIME_WAIT)
    check(overflows == ["0"], f"connections in TIME_WAIT that were lost: {overflows}")
    check("init: /proc/sys" not in device.log(), "init could not set a sysctl:\n" + device.log())
    # What is made on the device later.
    got = device.run("unshare", "--net", "sysctl", "-n", "net.ipv4.tcp_max_tw_buckets")
    check(int(got[0]) >= 65536, f"TIME_WAIT of a new namespace: {got}")


def small(device):
    check(device.sysctl("net.ipv4.tcp_max_tw_buckets") == "16384", "TIME_WAIT of 64 MiB")
    check(device.sysctl("net.core.somaxconn") == "123", "linux.sysctls")
    check(device.sysctl("net.ipv4.tcp_rmem") == "4096 65536 1000000", "linux.sysctls, a triple")
    check(device.sysctl("net.ipv4.conf.eth0.rp_filter") == "2", "linux.sysctls, of eth0")
    check("init: /proc/sys/net/nothing: error" in device.log(), "no word of what is wrong")


def main():
    if os.geteuid() != 0:
        print("skipped: needs root")
        return SKIPPED
    with Device() as device:
        by_default(device)
    with Device("""[linux]
memory_mib = 64
sysctls = ["net.core.somaxconn=123", "net.ipv4.tcp_rmem=4096 65536 1000000",
           "net.ipv4.conf.eth0.rp_filter=2", "net.nothing=1"]
""") as device:
        small(device)
    return 0


sys.exit(main())
