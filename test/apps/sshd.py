#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""OpenSSH's server under mino: a command, a file, a port forward, ControlMaster; and its client.

Run by ctest as apps.sshd; see harness.py for the arguments. The server forks, executes itself with
inherited descriptors, and puts the process that talks to strangers under a seccomp filter.
"""

import re
import signal

import harness
from harness import check, check_equal, content, sha256, wait_for
from ssh_server import SshServer

def commands(t, server):
    """What a login runs is offloaded too."""
    address = t.device_address()
    got = server.ssh(t.host, address, "echo out; echo err >&2; ip -br addr; exit 3")
    check_equal(got.status, 3, f"exit status of a command: {got.text}{got.error_text}")
    check("out" in got.text and "err" in got.error_text, got.text + got.error_text)
    check(f"{address}/" in got.text, f"a login's `ip addr` does not show the device:\n{got.text}")
    both = server.ssh(t.offloaded, "127.0.0.1", "echo $SSH_CONNECTION").ok()
    check(both.startswith("127.0.0.1 "), f"client and server on the device: {both}")
    stranger = t.host("ssh", "-i", server.folder / "host", *server.options()[2:], "-p", server.port,
                      f"root@{address}", "true")
    check_equal(stranger.status, 255, "exit status with a key that is not allowed")
    check("Permission denied" in stranger.error_text, stranger.error_text)


def files(t, server):
    body = content(5 << 20)
    (t.scratch / "file").write_bytes(body)
    there, back = t.scratch / "there", t.scratch / "back"
    remote = f"root@{t.device_address()}:{there}"
    port = ["-P", server.port]
    t.host("scp", "-q", *server.options(), *port, t.scratch / "file", remote).ok()
    check_equal(sha256(there.read_bytes()), sha256(body), "a file copied to the server")
    t.host("scp", "-q", *server.options(), *port, remote, back).ok()
    check_equal(sha256(back.read_bytes()), sha256(body), "a file copied from it")


def master(t, server):
    """Sessions and forwards over one connection."""
    control, forwarded = server.folder / "control", t.port()
    address = t.device_address()
    master = t.start_host("ssh", *server.options("-p", server.port), "-N", "-M", "-S", control, "-L",
                          f"127.0.0.1:{forwarded}:127.0.0.1:{server.port}", f"root@{address}")
    wait_for("the master's socket", control.exists)
    before = len(re.findall("Accepted publickey", server.process.log()))
    for i in range(3):
        got = t.host("ssh", "-F", "none", "-S", control, f"root@{address}", f"echo session {i}")
        check_equal((got.status, got.text), (0, f"session {i}\n"), got.error_text)
    check_equal(len(re.findall("Accepted publickey", server.process.log())), before,
                "logins for sessions over the master")
    # The forward ends at the device's loopback, which only an offloaded program can reach.
    got = server.ssh(t.host, "127.0.0.1", "echo through", port=forwarded)
    check_equal((got.status, got.text), (0, "through\n"), got.error_text)
    t.host("ssh", "-F", "none", "-S", control, "-O", "exit", f"root@{address}").ok()
    master.wait(10)


def main(t):
    server = SshServer(t)
    commands(t, server)
    files(t, server)
    master(t, server)
    check_equal(server.process.stop(signal.SIGTERM), 0, "exit status of sshd after SIGTERM")


if __name__ == "__main__":
    harness.run(main, needs=["ssh", "ssh-keygen", "scp", "sshd", "ip"])
