#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""memcached with four threads under mino; fifty native connections speak its text protocol.

Run by ctest as apps.memcached; see harness.py for the arguments. memcached drops root for nobody.
"""

import concurrent.futures
import pathlib
import random
import signal
import socket
import struct

import harness
from harness import check, check_equal, sha256, wait_for

CONNECTIONS = 50
THREADS = 4
ROUNDS = 20


class Client:
    """One connection: set, get, delete, incr, stats of the text protocol."""

    def __init__(self, address, port):
        self.socket = socket.create_connection((address, port), timeout=20)
        self.file = self.socket.makefile("rb")

    def command(self, line, data=None):
        self.socket.sendall(line.encode() + b"\r\n" + (data + b"\r\n" if data is not None else b""))
        return self.file.readline().rstrip(b"\r\n").decode()

    def get(self, key):
        header = self.command(f"get {key}")
        if header == "END":
            return None
        length = int(header.split()[3])
        data = self.file.read(length)
        check_equal(self.file.read(7), b"\r\nEND\r\n", f"what follows the value of {key}")
        return data

    def stats(self):
        found, line = {}, self.command("stats")
        while line != "END":
            _, name, value = line.split(" ", 2)
            found[name] = value
            line = self.file.readline().rstrip(b"\r\n").decode()
        return found

    def close(self):
        self.file.close()
        self.socket.close()


def work(client, number):
    """Values of all sizes. The last round reads everything back and compares checksums."""
    source, sums = random.Random(number), {}
    for i in range(ROUNDS):
        data = source.randbytes(source.choice((0, 1, 100, 4096, 20_000, 200_000)))
        key = f"c{number}-{i}"
        check_equal(client.command(f"set {key} 0 0 {len(data)}", data), "STORED", f"set {key}")
        sums[key] = sha256(data)
    for key, want in sums.items():
        data = client.get(key)
        check(data is not None, f"{key} is lost")
        check_equal(sha256(data), want, f"the value of {key}")
    check_equal(client.command(f"delete c{number}-0"), "DELETED", "delete")
    check_equal(client.get(f"c{number}-0"), None, "get of a deleted key")
    client.command("incr counter 1")
    return len(sums)


def udp_get(t, port, key, want):
    with socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.settimeout(5)
        # Over UDP, 8 bytes precede the text protocol: request, sequence, count, reserved.
        udp.sendto(struct.pack("!4H", 7, 0, 1, 0) + f"get {key}\r\n".encode(),
                   (t.device_address(), port))
        reply, sender = udp.recvfrom(65536)
    check_equal(sender, (t.device_address(), port), "the sender of the UDP reply")
    check_equal(struct.unpack("!4H", reply[:8])[0], 7, "request number in the UDP reply")
    check(want in reply[8:], f"UDP get: {reply[8:100]}")


def main(t):
    port = t.port()
    server = t.run_offloaded("memcached", "-u", "nobody", "-l", "0.0.0.0", "-p", port, "-U", port,
                             "-t", THREADS, "-m", "256", "-c", "256")
    t.wait_on_device(port)
    t.wait_on_device(port, "-u")

    clients = [Client(t.device_address(), port) for _ in range(CONNECTIONS)]
    check_equal(clients[0].command("set counter 0 0 1", b"0"), "STORED", "set counter")
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        done = list(pool.map(work, clients, range(CONNECTIONS)))
    check_equal(sum(done), CONNECTIONS * ROUNDS, "values written and read back")
    check_equal(clients[0].get("counter").strip(), str(CONNECTIONS).encode(), "the shared counter")

    stats = clients[0].stats()
    check_equal(int(stats["threads"]), THREADS, "worker threads in stats")
    connected = int(stats["curr_connections"])
    check(connected >= CONNECTIONS, f"{connected} connections in stats")
    check_equal(int(stats["pid"]), server.pid, "the pid that memcached believes it has")
    tasks = len(list(pathlib.Path(f"/proc/{server.pid}/task").iterdir()))
    check(tasks > THREADS, f"memcached has {tasks} threads")
    established = [peer for local, peer in t.device_sockets("-t") if local.endswith(f":{port}")]
    check(len(established) >= CONNECTIONS, f"{len(established)} connections on the device")

    check_equal(clients[1].command("set small 0 0 5", b"hello"), "STORED", "set small")
    udp_get(t, port, "small", b"hello")
    from_device = t.offloaded(harness.PYTHON, "-c", f"""
import socket
s = socket.create_connection(("127.0.0.1", {port}))
s.sendall(b"get small\\r\\n")
print(s.recv(100))""").ok()
    check("hello" in from_device, f"get under mino: {from_device}")

    for client in clients:
        client.close()
    probe = Client(t.device_address(), port)
    # memcached counts its two listeners and the probe as connections too.
    wait_for("the connections to be gone", lambda: int(probe.stats()["curr_connections"]) < 10)
    probe.close()
    check_equal(server.stop(signal.SIGTERM), 0, "exit status of memcached after SIGTERM")


if __name__ == "__main__":
    harness.run(main, needs=["memcached"])
