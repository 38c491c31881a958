#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of a proxy and of minod while clients wait: prompt, ordinary errors, then a fresh start.

Run by ctest as apps.kill_device; see harness.py for the arguments. The driver is the native peer of
its clients. In native mode there is nothing to kill; the peer resets the connections instead, which
shows that the clients report what they meet, and no more.
"""

import errno
import json
import os
import re
import select
import shutil
import signal
import socket
import threading
import time

import harness
from harness import check, check_equal, wait_for

PROMPT_S = 2.0
# What a program may see when the other end of its network is gone. EINTR, EFAULT, EIO and ENOSYS
# are not among them: no program expects those here.
ORDINARY = {errno.ECONNRESET, errno.ECONNABORTED, errno.EPIPE, errno.ENETDOWN, errno.ENOTCONN,
            errno.ENETRESET, errno.ESHUTDOWN, errno.EHOSTDOWN, errno.ENETUNREACH, errno.ETIMEDOUT}
READABLE_NATIVELY = ("recv", "recv_thread", "send", "epoll", "epoll_mixed", "poll", "select",
                     "recvmsg_timeout")
OTHERS = ("accept", "udp", "idle_epoll")


class Peer:
    """Two ports. On one it accepts and then neither reads nor writes; on the other it echoes."""

    def __init__(self, address):
        self.silent = []
        self.listener, self.port = self.listen(address, self.silent.append)
        self.echo_listener, self.echo_port = self.listen(
            address, lambda connection: threading.Thread(
                target=self.echo, args=(connection,), daemon=True).start())

    def listen(self, address, take):
        listener = socket.create_server((address, 0), backlog=64)

        def accept():
            while True:
                try:
                    take(listener.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        return listener, listener.getsockname()[1]

    def echo(self, connection):
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError:
            pass

    def close(self):
        for listener in (self.listener, self.echo_listener):
            listener.shutdown(socket.SHUT_RDWR)  # close alone does not end accept()
            listener.close()

    def reset_all(self):
        for connection in self.silent:
            linger = b"\1\0\0\0\0\0\0\0"
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            connection.close()
        self.silent.clear()


def client(*arguments):
    return [harness.PYTHON, "-u", harness.APPS_DIR / "waiting.py", *arguments]


class Client:
    """A client that waits in one kind of call, and the proxies that came with it."""

    def __init__(self, t, peer, kind):
        before = t.device.processes()
        self.kind = kind
        self.process = t.run_offloaded(*client("wait", kind, t.gateway_address(), peer.port))
        self.process.wait_log("ready")
        time.sleep(0.4)  # so that it blocks, also the one that sends, and leaves every spin behind
        check(self.process.alive(), f"the {kind} client did not wait: {self.process.log()}")
        self.proxies = t.device.processes() - before

    def verify(self, t, killed_at, what):
        what = f"{what}, {self.kind} client"
        check_equal(self.process.wait(10), 0, f"{what}: exit status:\n{self.process.log()}")
        report = json.loads(self.process.log().splitlines()[-1])
        took = report["woke"] - killed_at
        check(took < PROMPT_S, f"{what}: woke after {took:.1f} s, {PROMPT_S} s allowed: {report}")
        check(report["done"] - report["woke"] < PROMPT_S, f"{what}: slow later calls: {report}")
        first = report["first"]
        if "errno" in first:
            check(first["errno"] in ORDINARY, f"{what}: {os.strerror(first['errno'])}: {report}")
        else:
            # Data, an end of file or a new connection would be a lie; a readiness event is right.
            events = first["returned"]
            check(isinstance(events, int) and events & (select.EPOLLHUP | select.EPOLLERR),
                  f"{what}: the waiting call returned {events!r}: {report}")
        check(report["second"].get("errno") in ORDINARY, f"{what}: the next call: {report}")
        if not t.native:
            check(report["third"].get("errno") in ORDINARY, f"{what}: the third call: {report}")
            check_equal(report["new"], {"errno": errno.ENETDOWN}, f"{what}: a new socket")
        check_equal(report["close"], {"returned": None}, f"{what}: close")
        check_equal(report["pipe"], {"returned": 22}, f"{what}: a write to a pipe")
        check_equal(report["child"], 7, f"{what}: exit status of a forked child")


def kinds(t):
    return READABLE_NATIVELY if t.native else READABLE_NATIVELY + OTHERS


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    return time.monotonic()


def kill_proxies(t):
    """One client after another loses its proxy; a bystander's connection must not notice."""
    peer = Peer(t.gateway_address())
    reader, writer = os.pipe()
    beside = t.run_offloaded(*client("echo", t.gateway_address(), peer.echo_port), stdin=reader)
    os.close(reader)
    beside.wait_log("ready")
    for kind in kinds(t):
        victim = Client(t, peer, kind)
        check(victim.proxies, f"no process on the device serves the {kind} client")
        if t.native:
            killed_at = time.monotonic()
            peer.reset_all()
        else:
            killed_at = kill(victim.proxies)
        victim.verify(t, killed_at, "proxy killed")
        check(beside.alive(), f"the bystander died with a {kind} client's proxy: {beside.log()}")
    os.close(writer)
    check_equal(beside.wait(), 0, f"exit status of the bystander: {beside.log()}")
    check(int(beside.log().split()[-1]) > 0, "the bystander echoed nothing")
    t.wait_no_sessions()
    peer.close()


def family(own_port, child_port):
    """A program with a listening socket, and a child with another one."""
    own = socket.create_server(("0.0.0.0", int(own_port)))
    if os.fork() == 0:
        own.close()
        with socket.create_server(("0.0.0.0", int(child_port))) as listener:
            while True:
                with listener.accept()[0] as connection:
                    connection.sendall(connection.recv(100))
    signal.pause()


def kill_parents_proxy(t):
    """What a proxy held ends with it, while the proxy of a child lives on with its own."""
    own_port, child_port = t.port(), t.port()
    process = t.run_offloaded(*t.role("family", own_port, child_port))
    t.wait_on_device(own_port)
    t.wait_on_device(child_port)
    kill([client["proxy_pid"] for client in t.device.status()["clients"]
          if client["pid"] == process.pid])
    wait_for("the socket of the killed proxy to go", lambda: not [
        local for local, _ in t.device_sockets("-t", "-l") if local.endswith(f":{own_port}")], 5)
    with socket.create_connection((t.device_address(), child_port), timeout=10) as connection:
        connection.sendall(b"alive")
        check_equal(connection.recv(100), b"alive", "what the child's server echoed")
    process.kill()
    t.wait_no_sessions()


def works(t, what):
    port, server = t.offloaded_http(t.scratch)
    url = f"http://{t.device_address()}:{port}/"
    check_equal(t.host("curl", "-sSf", "-o", "/dev/null", url).status, 0, f"native curl {what}")
    url = f"http://127.0.0.1:{port}/"
    check_equal(t.offloaded("curl", "-sSf", "-o", "/dev/null", url).status, 0, f"curl {what}")
    server.kill()
    t.wait_no_sessions()


def kill_minod(t):
    peer = Peer(t.gateway_address())
    victims = [Client(t, peer, kind) for kind in kinds(t)]
    on_device = t.device.processes()
    killed_at = kill([t.device.pid])
    for victim in victims:
        victim.verify(t, killed_at, "minod killed")
    peer.close()
    wait_for("the proxies to end with minod",
             lambda: not [pid for pid in on_device if os.path.exists(f"/proc/{pid}/ns/net")], 5)
    got = t.offloaded("true")
    check_equal(got.status, 125, f"`mino run` after minod was killed: {got.error_text}")
    check(re.search(r"mino (--run-dir \S+ )?up\b", got.error_text),
          f"its message does not name the remedy: {got.error_text}")


def kill_kernel(t, number, what):
    """The linux engine's kernel dies, by SIGKILL or by a panic; minod soon has another one."""
    peer = Peer(t.gateway_address())
    victims = [Client(t, peer, kind) for kind in kinds(t)]
    instance = t.device.status()["instances"][0]["pid"]
    os.kill(instance, number)
    killed_at = time.monotonic()
    for victim in victims:
        victim.verify(t, killed_at, what)
    peer.close()
    wait_for("another kernel", lambda: t.device.status()["instances"][0].get("pid") not in
             (instance, 0, None), 5)


def absent_kernel(t):
    """While there is no kernel to start, minod tries again and again; then it continues."""
    kernel = t.scratch / "kernel"
    shutil.copy(t.mino_path.parent / "kernel" / "linux", kernel)
    (t.scratch / "minod.toml").write_text(f'[linux]\nkernel = "{kernel}"\n')
    t.device.up("--config", t.scratch / "minod.toml")
    away = kernel.rename(t.scratch / "away")
    os.kill(t.device.status()["instances"][0]["pid"], signal.SIGKILL)
    log = t.device.run_dir / "minod.log"
    wait_for("minod to say that it tries again", lambda: f"is not at {kernel}" in log.read_text())
    got = t.offloaded("curl", "-sS", f"http://{t.gateway_address()}/")
    check(got.status != 0, "an offloaded curl without a kernel")
    away.rename(kernel)
    wait_for("a kernel", lambda: t.device.status()["instances"][0]["pid"], 20)
    works(t, "after the kernel was there again")
    t.device.down()


def main(t):
    t.device.up()
    works(t, "at first")
    kill_proxies(t)
    if not t.native:
        kill_parents_proxy(t)
    works(t, "after proxies were killed")
    if os.environ.get("MINO_ENGINE") == "linux" and not t.native:
        for number, what in ((signal.SIGKILL, "kernel killed"), (signal.SIGSEGV, "kernel panic")):
            kill_kernel(t, number, what)
            works(t, f"after {what}")
        log = (t.device.run_dir / "minod.log").read_text()
        check("Kernel panic" in log, "the kernel's last words are not in minod's log")
        t.device.down()
        absent_kernel(t)
        t.device.up()
    if not t.native:
        for turn in ("first", "second"):
            kill_minod(t)
            t.device.up()
            works(t, f"after minod was killed for the {turn} time")
    t.device.down()
    check(not t.device.leftovers(t), f"`mino down` left behind: {t.device.leftovers(t)}")


if __name__ == "__main__":
    harness.run(main, needs=["curl"], limit_s=160, own_device=True,
                roles={"family": family})
