#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Programs after their device has ended: local descriptors, SIGTERM, and what dead sockets report.

Run by ctest as apps.after_death; see harness.py for the arguments. Servers with a loop of their own
(asyncio, node, nginx's workers) must still end on SIGTERM, which they learn by a local descriptor.
In native mode there is no device to end; the peer resets the connections instead.
"""

import asyncio
import json
import os
import select
import signal
import socket
import struct
import time

import harness
from harness import check, check_equal, nginx_config

DEAD = select.EPOLLIN | select.EPOLLERR | select.EPOLLHUP
LISTENERS = ("asyncio", "selectors", "node")


def serve_asyncio(port):
    async def serve():
        end = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end.set)
        server = await asyncio.start_server(lambda reader, writer: None, "0.0.0.0", int(port))
        print("ready", flush=True)
        await end.wait()
        server.close()
    asyncio.run(serve())


def serve_selectors(port):
    """A self-pipe beside a listening socket, in select."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGTERM, lambda *_: None)
    listener = socket.create_server(("0.0.0.0", int(port)))
    listener.setblocking(False)
    print("ready", flush=True)
    while reader not in (ready := select.select([listener, reader], [], [])[0]):
        for server in ready:
            try:
                server.accept()
            except OSError:
                pass


NODE = """
const server = require("net").createServer(() => {});
server.listen(Number(process.argv[1]), "0.0.0.0", () => console.log("ready"));
process.on("SIGTERM", () => process.exit(0));
"""

HTTP = '  server {{ listen 0.0.0.0:{port}; location / {{ return 200 "up\\n"; }} }}'


# What one program reports about its sets -------------------------------------------------------

class Sets:
    """Epoll sets of several kinds, each with one connection and one pipe, whose name is the kind.

    `waiter` waits for what has been registered through `set`.
    """

    def __init__(self, address, port):
        self.address, self.port = address, int(port)
        self.all = {}
        for kind, flags in (("level", 0), ("edge", select.EPOLLET), ("once", select.EPOLLONESHOT)):
            self.add(kind, select.epoll(), flags)
        original = select.epoll()
        self.add("duplicate", select.epoll.fromfd(os.dup(original.fileno())), 0, original)
        early = select.epoll()
        self.add("duplicated later", early, 0)
        self.all["duplicated later"]["waiter"] = select.epoll.fromfd(os.dup(early.fileno()))
        inner, outer = select.epoll(), select.epoll()
        outer.register(inner.fileno(), select.EPOLLIN)
        self.add("nested", inner, 0)
        self.outer = outer

    def add(self, kind, epoll, flags, waiter=None):
        connection = socket.create_connection((self.address, self.port))
        pipe = os.pipe()
        epoll.register(connection, select.EPOLLIN | flags)
        epoll.register(pipe[0], select.EPOLLIN)
        self.all[kind] = {"set": epoll, "waiter": waiter or epoll, "connection": connection,
                          "pipe": pipe}

    def report(self, kind):
        """Which events the connection and the pipe have, in four waits."""
        one = self.all[kind]
        names = {one["connection"].fileno(): "connection", one["pipe"][0]: "pipe"}

        def events(timeout):
            found = {}
            for fd, mask in one["waiter"].poll(timeout):
                check(names.get(fd) not in found, f"{kind}: two events of {fd}")
                found[names.get(fd, str(fd))] = mask
            return found

        first = events(10)
        second = events(0)
        os.write(one["pipe"][1], b"x")
        with_pipe = events(10)
        os.read(one["pipe"][0], 1)
        one["connection"].close()
        return [first, second, with_pipe, events(0)]


def wait_for_death(connection):
    """Sleeps until the connection is dead, in poll with a pipe beside it."""
    poll, pipe = select.poll(), os.pipe()
    poll.register(connection, select.POLLIN)
    poll.register(pipe[0], select.POLLIN)
    return [mask for _, mask in poll.poll()]


def report_sets(address, port):
    sets = Sets(address, port)
    connection = socket.create_connection((address, int(port)))
    spare = socket.create_connection((address, int(port)))
    inherited = sets.all["level"]["waiter"]
    print("ready", flush=True)
    report = {"poll": wait_for_death(connection)}
    time.sleep(0.2)  # natively the resets arrive one by one
    report["nested"] = len(sets.outer.poll(10))
    child = os.fork()
    if child == 0:
        # The set of the parent is the child's, with its own copy of the connection.
        masks = [mask for _, mask in inherited.poll(10)]
        os._exit(0 if masks == [DEAD] else 1)
    report["forked"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    for kind in ("level", "edge", "once", "duplicate", "duplicated later"):
        report[kind] = sets.report(kind)
    # A dead socket can be registered, changed, removed and duplicated.
    late, copy = select.epoll(), os.dup(spare.fileno())
    late.register(spare, select.EPOLLIN)
    late.register(copy, select.EPOLLOUT | select.EPOLLONESHOT)
    report["late"] = sorted(mask for _, mask in late.poll(10))
    report["again"] = [mask for _, mask in late.poll(10)]
    late.modify(spare, select.EPOLLIN | select.EPOLLET)
    report["edge later"] = [[mask for _, mask in late.poll(timeout)] for timeout in (10, 0)]
    late.modify(copy, select.EPOLLOUT)
    report["armed again"] = [mask for _, mask in late.poll(10)]
    late.unregister(copy)
    report["unregistered"] = late.poll(0)
    report["select"] = len(select.select([spare], [spare], [spare], 10)[0])
    # Edge-triggered, reported: the wait sleeps.
    before = time.process_time()
    check(not late.poll(0.5), "an event out of nothing")
    report["slept"] = time.process_time() - before < 0.25
    print(json.dumps(report), flush=True)


def report_executed(address, port, *inherited):
    """A set, a socket and a pipe that came by exec."""
    if not inherited:
        epoll, pipe = select.epoll(), os.pipe()
        connection = socket.create_connection((address, int(port)))
        epoll.register(connection, select.EPOLLIN)
        epoll.register(pipe[0], select.EPOLLIN)
        numbers = epoll.fileno(), connection.fileno(), *pipe
        for fd in numbers:
            os.set_inheritable(fd, True)
        os.execv(harness.PYTHON, [harness.PYTHON, "-u", os.path.abspath(__file__), "--role",
                                  "report_executed", address, port, *map(str, numbers)])
    epoll, connection, reader, writer = map(int, inherited)
    waiter = select.epoll.fromfd(epoll)
    print("ready", flush=True)
    first = waiter.poll(60)
    os.write(writer, b"x")
    second = sorted(waiter.poll(10))
    print(json.dumps([first == [(connection, DEAD)],
                      second == sorted([(connection, DEAD), (reader, select.EPOLLIN)])]), flush=True)


EXPECTED = {
    "poll": [DEAD], "nested": 1, "forked": 0,
    "level": [{"connection": DEAD}, {"connection": DEAD}, {"connection": DEAD, "pipe": 1}, {}],
    "edge": [{"connection": DEAD}, {}, {"pipe": 1}, {}],
    "once": [{"connection": DEAD}, {}, {"pipe": 1}, {}],
    "late": [DEAD, select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP], "again": [DEAD],
    "edge later": [[DEAD], []],
    "armed again": [select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP],
    "unregistered": [], "select": 1, "slept": True,
}
EXPECTED["duplicate"] = EXPECTED["duplicated later"] = EXPECTED["level"]


# The driver --------------------------------------------------------------------------------------

class Peer:
    """Accepts connections, and resets all of them at once."""

    def __init__(self, address):
        self.listener = socket.create_server((address, 0), backlog=64)
        self.port = self.listener.getsockname()[1]

    def reset_all(self):
        self.listener.setblocking(False)
        while True:
            try:
                connection = self.listener.accept()[0]
            except BlockingIOError:
                break
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
        self.listener.close()


def start_servers(t):
    servers = {}
    for kind in LISTENERS:
        port = t.port()
        argv = ["node", "-e", NODE, port] if kind == "node" else t.role(f"serve_{kind}", port)
        servers[kind] = t.run_offloaded(*argv)
        servers[kind].wait_log("ready", 30)
    port = t.port()
    config = nginx_config(t.scratch, HTTP.format(port=port), workers=2, error_log=f"{t.scratch}/error.log crit")
    servers["nginx"] = t.run_offloaded("/usr/sbin/nginx", "-p", t.scratch, "-e", "stderr", "-c",
                                       config, "-g", "daemon off;")
    t.wait_on_device(port)
    return servers


def main(t):
    t.device.up()
    peer = Peer(t.gateway_address())
    program = t.run_offloaded(*t.role("report_sets", t.gateway_address(), peer.port))
    executed = t.run_offloaded(*t.role("report_executed", t.gateway_address(), peer.port))
    program.wait_log("ready")
    executed.wait_log("ready")
    time.sleep(0.3)  # until it waits: it learns from the device what is in its set
    servers = start_servers(t)
    if t.native:
        peer.reset_all()
    else:
        t.device.down()
    check_equal(program.wait(40), 0, f"exit status:\n{program.log()}")
    report = json.loads(program.log().splitlines()[-1])
    for name, expected in EXPECTED.items():
        check_equal(report[name], expected, name)
    check_equal(executed.wait(40), 0, f"exit status:\n{executed.log()}")
    check_equal(json.loads(executed.log().splitlines()[-1]), [True, True], "a set that came by exec")
    time.sleep(0.5)  # so that whoever is told of dead sockets for ever is deep in that
    for kind, server in servers.items():
        check(server.alive(), f"{kind} has ended by itself: {server.log()}")
        server.send_signal(signal.SIGTERM)
    for kind, server in servers.items():
        check_equal(server.wait(15), 0, f"exit status of {kind} after SIGTERM:\n{server.log()}")
    peer.listener.close()
    if t.native:
        t.device.down()


if __name__ == "__main__":
    harness.run(main, needs=["node", "nginx"], limit_s=120, own_device=True,
                roles={"serve_asyncio": serve_asyncio, "serve_selectors": serve_selectors,
                       "report_sets": report_sets, "report_executed": report_executed})
