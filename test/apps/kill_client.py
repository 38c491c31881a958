#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SIGKILL of clients at random moments under load: the device must be as it was before them.

Run by ctest as apps.kill_client; see harness.py for the arguments. MINO_KILLS changes the number of
kills; MINO_SEED repeats a run. Both ends run under mino, so their sockets are all on the device.
"""

import os
import pathlib
import random
import select
import signal
import socket
import threading
import time

import harness
from harness import check, check_equal, wait_for

MESSAGE = harness.content(16384)
MODES = ("threads", "epoll", "fork", "udp", "churn", "bulk")


# The programs under mino -------------------------------------------------------------------------

def echo_stream(connection):
    with connection:
        try:
            while data := connection.recv(65536):
                connection.sendall(data)
        except OSError:
            pass  # the peer was killed: that is the test


def echo_datagrams(udp):
    while True:
        try:
            data, sender = udp.recvfrom(65536)
            udp.sendto(data, sender)
        except OSError:
            pass


def server(port):
    udp = socket.socket(type=socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", int(port)))
    threading.Thread(target=echo_datagrams, args=(udp,), daemon=True).start()
    with socket.create_server(("127.0.0.1", int(port)), backlog=256) as listener:
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=echo_stream, args=(connection,), daemon=True).start()


def say_ready():
    os.write(1, b"ready\n")  # in one piece, since several threads say it


def connect(port):
    return socket.create_connection(("127.0.0.1", port))


def ping_pong(port):
    connection = connect(port)
    say_ready()
    while True:
        connection.sendall(MESSAGE)
        left = len(MESSAGE)
        while left:
            data = connection.recv(left)
            if not data:
                raise ConnectionError("end of file")
            left -= len(data)


def in_threads(port, work=ping_pong, count=3):
    for _ in range(count):
        threading.Thread(target=work, args=(port,), daemon=True).start()
    work(port)


def in_epoll(port):
    epoll, pipe = select.epoll(), os.pipe()
    epoll.register(pipe[0], select.EPOLLIN)  # a set with a local file in it
    connections = {}
    for _ in range(8):
        connection = connect(port)
        connection.setblocking(False)
        connections[connection.fileno()] = connection
        epoll.register(connection, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
    say_ready()
    while True:
        for fd, events in epoll.poll():
            try:
                if events & select.EPOLLIN:
                    connections[fd].recv(65536)
                connections[fd].send(MESSAGE)
            except BlockingIOError:
                pass


def in_children(port):
    for _ in range(2):
        if os.fork() == 0:
            break
    ping_pong(port)


def datagrams(port):
    udp = socket.socket(type=socket.SOCK_DGRAM)
    udp.settimeout(0.1)
    udp.connect(("127.0.0.1", port))
    say_ready()
    while True:
        try:
            udp.send(MESSAGE[:1000])
            udp.recv(65536)
        except TimeoutError:
            pass


def churn(port):
    say_ready()
    while True:
        with connect(port) as connection:
            copy = connection.dup()
            copy.sendall(MESSAGE[:100])
            connection.recv(100)
            copy.close()


def bulk(port):
    """Both directions are full, in one thread each, so that the kill interrupts large copies."""
    connection, data = connect(port), MESSAGE * 64

    def send():
        while True:
            connection.sendall(data)

    threading.Thread(target=send, daemon=True).start()
    say_ready()
    while connection.recv(1 << 20):
        pass


def client(mode, port):
    {"threads": in_threads, "epoll": in_epoll, "fork": in_children, "udp": datagrams,
     "churn": lambda number: in_threads(number, churn, 2), "bulk": bulk}[mode](int(port))


# The test ----------------------------------------------------------------------------------------

class Footprint:
    """What a device holds on behalf of its clients."""

    def __init__(self, t):
        self.sockets = len([line for flag in ("-ta", "-ua", "-wa")
                            for line in t.device.ss(t, "-H", "-n", flag).splitlines()
                            if "TIME-WAIT" not in line])
        time.sleep(0.3)  # `mino ss` is a client as well, and must not be counted
        self.processes = len(t.device.processes())
        self.sessions = t.sessions()
        self.fds = self.memory = self.zombies = 0
        if not t.native:
            proc = pathlib.Path(f"/proc/{t.device.pid}")
            self.fds = len(os.listdir(proc / "fd"))
            self.memory = (proc / "maps").read_text().count("memfd:")
            self.zombies = zombies_of(t.device.pid)

    def __repr__(self):
        return ", ".join(f"{value} {name}" for name, value in vars(self).items())

    def __le__(self, other):
        return all(value <= getattr(other, name) for name, value in vars(self).items())


def zombies_of(pid):
    count = 0
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        count += state == "Z" and int(parent) == pid
    return count


def wait_back(t, before, what, timeout_s=10.0):
    """The device's footprint must return to what it was. Not every look hits a quiet moment."""
    now = None

    def back():
        nonlocal now
        now = Footprint(t)
        return now <= before

    try:
        wait_for("", back, timeout_s, 0.2)
    except harness.Failure:
        harness.fail(f"{what}: the device holds {now}; it held {before} before")


def start_server(t, port):
    process = t.run_offloaded(*t.role("server", port))
    t.wait_on_device(port)
    return process


def start_client(t, mode, port):
    # Not kept in t.processes: a hundred of them would make the report unreadable.
    process = t.run_offloaded(*t.role("client", mode, port))
    t.processes.remove(process)
    return process


def ready(process):
    process.wait_log("ready", interval_s=0.01)


def check_died_of_the_kill(process, mode):
    log = process.log()
    check(log.replace("ready\n", "").strip() == "",
          f"a {mode} client failed before it was killed:\n{log}")
    check_equal(process.popen.returncode, -signal.SIGKILL, f"how the {mode} client ended")


def main(t):
    kills = int(os.environ.get("MINO_KILLS", "1000" if "MINO_LONG" in os.environ else "100"))
    seed = int(os.environ.get("MINO_SEED", str(time.time_ns() % 1_000_000)))
    dice, port = random.Random(seed), t.port()
    print(f"kill_client: {kills} kills, MINO_SEED={seed}", flush=True)

    # Warm up, so that what minod allocates once is not taken for a leak.
    echo = start_server(t, port)
    for mode in MODES:
        warm = start_client(t, mode, port)
        started = time.monotonic()
        ready(warm)
        startup_s = time.monotonic() - started
        warm.kill()
    echo.kill()
    time.sleep(1.0)
    t.wait_no_sessions()
    idle = Footprint(t)

    echo = start_server(t, port)
    time.sleep(0.5)
    serving = Footprint(t)
    for number in range(kills):
        mode = MODES[number % len(MODES)]
        victim = start_client(t, mode, port)
        if dice.random() < 0.7:
            ready(victim)
            time.sleep(dice.uniform(0, 0.08))
        else:  # in the middle of exec, admission, import
            time.sleep(dice.uniform(0, startup_s))
        victim.kill()
        check_died_of_the_kill(victim, mode)
        check(echo.alive(),
              f"the server died after kill {number + 1} ({mode}):\n{echo.log()[-2000:]}")
        if number % 10 == 9:
            wait_back(t, serving, f"after {number + 1} kills, the last one a {mode} client")
    check(not echo.log(), f"the server complained:\n{echo.log()[-2000:]}")

    # Kill the listening side too, while its clients work.
    survivors = [start_client(t, "threads", port), start_client(t, "bulk", port)]
    for survivor in survivors:
        ready(survivor)
    echo.kill()
    for survivor in survivors:
        wait_for("a client of the killed server to see its end", lambda s=survivor: not s.alive())
        survivor.kill()
    wait_back(t, idle, "after the server was killed as well")

    # And the device still works.
    echo = start_server(t, port)
    last = start_client(t, "threads", port)
    ready(last)
    last.kill()
    echo.kill()
    wait_back(t, idle, "at the end")


if __name__ == "__main__":
    harness.run(main, limit_s=220, roles={"server": server, "client": client})
