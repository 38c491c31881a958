#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Descriptors passed between a program under mino and one that is not (SCM_RIGHTS, pidfd_getfd), and by exec.

Run by ctest as apps.passing_on; see harness.py for the arguments. Both ends are this file in
another role. A native program cannot use the device's sockets: it must get an error, never another
file.
"""

import array
import ctypes
import errno
import fcntl
import json
import os
import socket
import time

import harness
from harness import check, check_equal, wait_for


def attempt(action):
    """The name of the error, or what came back."""
    try:
        return repr(action())
    except OSError as error:
        return errno.errorcode[error.errno]


def connection_to_itself(port):
    with socket.create_server(("127.0.0.1", int(port))) as listener:
        client = socket.create_connection(listener.getsockname())
        return client, listener.accept()[0]


def give(path, port):
    """Listens, connects to itself, and passes the connection over the socket of that name."""
    client, server = connection_to_itself(port)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.connect(path)
        channel.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                                  array.array("i", [server.fileno()]))])
        channel.recv(1)  # the receiver has tried
    server.sendall(b"still here")
    client.settimeout(5)
    print(json.dumps({"arrived": client.recv(100).decode()}))


def take(path):
    """Receives a descriptor over the socket of that name and tries what can be done with it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.bind(path)
        channel.listen()
        print("ready", flush=True)
        peer, _ = channel.accept()
        _, files, _, _ = socket.recv_fds(peer, 1, 1)
        fd = files[0]
        family = (socket.AF_INET, socket.SOCK_STREAM, 0)
        tried = {"peer": attempt(lambda: socket.socket(*family, fileno=os.dup(fd)).getpeername()[0]),
                 "write": attempt(lambda: os.write(fd, b"from the receiver"))}
        if tried["peer"] == "ENOTSOCK":
            tried["read"] = attempt(lambda: os.read(fd, 10))
        peer.send(b"y")
    print(json.dumps(tried))


def hold(port):
    """Connects to itself and says where its descriptor is, so that others can fetch it."""
    client, server = connection_to_itself(port)
    print(json.dumps([os.getpid(), server.fileno()]), flush=True)
    print(json.dumps({"arrived": client.recv(100).decode()}), flush=True)


def fetch(pid, number):
    """Takes another process's descriptor and tries what can be done with it."""
    pidfd_getfd = 438
    libc = ctypes.CDLL(None, use_errno=True)
    fd = libc.syscall(ctypes.c_long(pidfd_getfd), os.pidfd_open(int(pid)), int(number), 0)
    if fd < 0:
        print(json.dumps({"fetch": errno.errorcode[ctypes.get_errno()]}))
        return
    family = (socket.AF_INET, socket.SOCK_STREAM, 0)
    print(json.dumps({"peer": attempt(lambda: socket.socket(*family, fileno=os.dup(fd)).getpeername()[0]),
                      "write": attempt(lambda: os.write(fd, b"from the receiver")),
                      "inherited": os.get_inheritable(fd)}))


def relay(path, *receivers):
    """Takes a descriptor that it cannot use, passes it to others some time later, and keeps none.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.bind(path)
        channel.listen()
        print("ready", flush=True)
        peer, _ = channel.accept()
        _, files, _, _ = socket.recv_fds(peer, 1, 1)
        time.sleep(2)
        for receiver in receivers:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as onward:
                onward.connect(receiver)
                socket.send_fds(onward, [b"x"], files)
                onward.recv(1)  # the receiver has tried
        os.close(files[0])
        peer.send(b"y")


def leave(path, port):
    """Passes its only descriptor of a connection, and waits for the connection's end."""
    client, server = connection_to_itself(port)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.connect(path)
        socket.send_fds(channel, [b"x"], [server.fileno()])
        server.close()
        channel.recv(1)
    arrived = b""
    while part := client.recv(100):
        arrived += part
    print(json.dumps({"arrived": arrived.decode()}))


def relayed(t, between):
    """From a program under mino through `between` to two others under mino, one after another."""
    first, second, path = (t.scratch / f"socket-{t.port()}" for _ in range(3))
    takers = [t.run_offloaded(*t.role("take", name)) for name in (first, second)]
    middle = between(*t.role("relay", path, first, second))
    for waiting in (*takers, middle):
        wait_for("a receiver", lambda: "ready" in waiting.log())
    sender = t.run_offloaded(*t.role("leave", path, t.port()))
    ended = [process.wait(20) for process in (sender, middle, *takers)]
    check_equal(ended, [0, 0, 0, 0], f"how all ended:\n{sender.log()}{middle.log()}")
    for taker in takers:
        check_equal(json.loads(taker.log().splitlines()[-1]), WORKS, "a socket that came by another program")
    check_equal(json.loads(sender.log())["arrived"], 2 * "from the receiver", "all that came until its end")


def passed(t, giver, taker):
    path = t.scratch / f"socket-{t.port()}"
    receiving = taker(*t.role("take", path))
    wait_for("the receiver", lambda: "ready" in receiving.log())
    sending = giver(*t.role("give", path, t.port()))
    check_equal((sending.wait(10), receiving.wait(10)), (0, 0), "how giver and taker ended:\n"
                f"{sending.log()}{receiving.log()}")
    return json.loads(sending.log()), json.loads(receiving.log().splitlines()[-1])


def fetched(t, holder, fetcher, *before):
    holding = holder(*t.role("hold", t.port()))
    holding.wait_log("]")
    fetching = fetcher(*before, *t.role("fetch", *json.loads(holding.log())))
    check_equal(fetching.wait(15), 0, f"how the fetching program ended:\n{fetching.log()}")
    tried = json.loads(fetching.log().splitlines()[-1])
    if "write" in tried and tried["write"].isdigit():
        check_equal(holding.wait(15), 0, f"how the holding program ended:\n{holding.log()}")
        check_equal(json.loads(holding.log().splitlines()[-1])["arrived"], "from the receiver", "what came through it")
    else:
        holding.kill()
    return tried


WORKS = {"peer": "'127.0.0.1'", "write": "17"}
FETCHED = {**WORKS, "inherited": False}


ACTIVATED = """
import os, socket
assert os.environ["LISTEN_PID"] == str(os.getpid())
for number in range(int(os.environ["LISTEN_FDS"])):
    listener = socket.socket(fileno=3 + number)
    connection, _ = listener.accept()
    connection.sendall(b"%d " % number + connection.recv(100))
    connection.close()
"""


def activate(first, second, *before):
    """Listens on two ports and executes a server for them, as systemd does (sd_listen_fds(3))."""
    listeners = [socket.create_server(("0.0.0.0", int(port))) for port in (first, second)]
    copies = [os.dup(listener.fileno()) for listener in listeners]
    for number, copy in enumerate(copies):
        high = fcntl.fcntl(copy, fcntl.F_DUPFD_CLOEXEC, 50)
        os.dup2(high, 3 + number, inheritable=True)
    os.environ.update(LISTEN_FDS="2", LISTEN_PID=str(os.getpid()))
    command = [*before, harness.PYTHON, "-c", ACTIVATED]
    os.execvp(command[0], command)


def activated(t, *before):
    ports = t.port(), t.port()
    process = t.run_offloaded(*t.role("activate", *ports, *before))
    for number, port in enumerate(ports):
        t.wait_on_device(port)
        with socket.create_connection((t.device_address(), port), 10) as connection:
            connection.sendall(b"hello")
            check_equal(connection.recv(100), b"%d hello" % number, f"inherited socket {number}, by way of {before}")
    check_equal(process.wait(10), 0, f"exit status of the activated server:\n{process.log()}")


def main(t):
    activated(t)
    activated(t, "setpriv", "--reuid", "nobody", "--clear-groups", "--")  # as sudo and runuser do
    arrived, tried = passed(t, t.run_offloaded, t.run_offloaded)
    check_equal(tried, WORKS, "a socket on the device, passed under mino")
    check_equal(arrived["arrived"][:17], "from the receiver", "what came through it")
    arrived, tried = passed(t, t.start_host, t.run_offloaded)
    check_equal(tried, WORKS, "a socket on the host, passed to a program under mino")
    for holder in t.run_offloaded, t.start_host:
        check_equal(fetched(t, holder, t.run_offloaded), FETCHED, f"pidfd_getfd, {holder.__name__}")
        check_equal(fetched(t, holder, t.run_offloaded, "setpriv", "--reuid", "nobody", "--clear-groups", "--"),
                    {"fetch": "EPERM"}, f"pidfd_getfd by somebody who may not, {holder.__name__}")
    relayed(t, t.run_offloaded)
    if not t.native:
        relayed(t, t.start_host)
        arrived, tried = passed(t, t.run_offloaded, t.start_host)
        check_equal(tried, {"peer": "ENOTSOCK", "write": "EPERM", "read": "b''"}, "a socket on the device, passed to a native program")
        check_equal(arrived["arrived"], "still here", "what the sender can do with its own")
        check_equal(fetched(t, t.run_offloaded, t.start_host), {"peer": "ENOTSOCK", "write": "EPERM", "inherited": False},
                    "pidfd_getfd by a plain program")


if __name__ == "__main__":
    harness.run(main, roles={"activate": activate, "fetch": fetch, "give": give, "hold": hold, "leave": leave, "relay": relay, "take": take})
