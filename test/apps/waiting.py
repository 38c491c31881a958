#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Clients that wait in one call and report, as JSON, what they met when the wait ended.

kill_device.py runs them: `waiting.py wait KIND ADDRESS PORT` and `waiting.py echo ADDRESS PORT`.
They must judge nothing, and import nothing that an ordinary program would not.
"""

import json
import os
import select
import socket
import sys
import threading
import time


def wait_epoll(connection, *local):
    epoll = select.epoll()
    epoll.register(connection, select.EPOLLIN | select.EPOLLRDHUP)
    for fd in local:
        epoll.register(fd, select.EPOLLIN)
    return [events for _, events in epoll.poll()][0]


def wait_poll(connection):
    poll = select.poll()
    poll.register(connection, select.POLLIN)
    return poll.poll()[0][1]


def wait_select(connection):
    select.select([connection], [], [])
    return connection.recv(10)


def wait_send(connection):
    while True:
        connection.send(b"x" * 65536)


def wait_in_thread(connection):
    """The blocked call is made by another thread than the main one, which sleeps in a futex."""
    seen = []

    def work():
        try:
            seen.append(connection.recv(10))
        except OSError as error:
            seen.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if isinstance(seen[0], OSError):
        raise seen[0]
    return seen[0]


def wait_with_timeout(connection):
    connection.settimeout(60)  # Python then waits in poll() and reads without blocking
    return connection.recvmsg(10, 100)[0]


def open_socket(kind, address, port):
    if kind == "accept":
        return socket.create_server(("0.0.0.0", 0))
    if kind == "udp":
        udp = socket.socket(type=socket.SOCK_DGRAM)
        udp.bind(("0.0.0.0", 0))
        return udp
    return socket.create_connection((address, int(port)))


WAYS = {
    "recv": lambda s: s.recv(10), "recv_thread": wait_in_thread, "send": wait_send,
    "epoll": wait_epoll, "epoll_mixed": lambda s: wait_epoll(s, os.pipe()[0]), "poll": wait_poll,
    "select": wait_select, "recvmsg_timeout": wait_with_timeout, "accept": lambda s: s.accept(),
    "udp": lambda s: s.recvfrom(10), "idle_epoll": wait_epoll,
}


def outcome(call):
    """What a call did: an error's number, or what it returned."""
    try:
        value = call()
    except OSError as error:
        return {"errno": error.errno}
    return {"returned": value if isinstance(value, (int, type(None))) else repr(value)}


def try_socket():
    with socket.socket() as fresh:
        return fresh.fileno()


def wait(kind, address, port):
    first = open_socket(kind, address, port)
    os.write(1, b"ready\n")
    report = {"first": outcome(lambda: WAYS[kind](first)), "woke": time.monotonic()}
    # The program goes on: each of these must return, and soon.
    report["second"] = outcome(lambda: first.send(b"x") if kind != "accept" else first.accept())
    report["third"] = outcome(lambda: first.recv(1))
    report["new"] = outcome(try_socket)
    report["close"] = outcome(first.close)
    pipe = os.pipe()
    report["pipe"] = outcome(lambda: os.write(pipe[1], b"local files still work"))
    child = os.fork()
    if child == 0:
        os._exit(7)
    report["child"] = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    report["done"] = time.monotonic()
    os.write(1, json.dumps(report).encode() + b"\n")


def echo(address, port):
    """Echoes without a pause until its input ends, and counts."""
    connection, count = socket.create_connection((address, int(port))), 0
    os.write(1, b"ready\n")
    while not select.select([0], [], [], 0)[0]:
        message = b"%d\n" % count
        connection.sendall(message)
        got = b""
        while len(got) < len(message):
            data = connection.recv(64)
            if not data:
                raise ConnectionError("the peer closed")
            got += data
        if got != message:
            raise ValueError(f"sent {message!r}, got {got!r}")
        count += 1
        time.sleep(0.001)
    print(count)


if __name__ == "__main__":
    {"wait": wait, "echo": echo}[sys.argv[1]](*sys.argv[2:])
