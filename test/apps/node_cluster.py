#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""node's cluster, tls and net modules under mino: sockets that processes hand to each other.

Run by ctest as apps.node_cluster; see harness.py for the arguments. A primary that accepts passes
each connection to a worker (SCM_RIGHTS). Workers that accept have the listening socket from it.
"""

import concurrent.futures
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import ssl
import struct
import threading
import time

import harness
from harness import check, check_equal, content, sha256, wait_for

SOURCE = pathlib.Path(__file__).resolve().parent / "node"
CONNECTIONS = 48


class Certificate:
    def __init__(self, t):
        self.key, self.path = t.scratch / "key.pem", t.scratch / "certificate.pem"
        t.host("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
               "-nodes", "-days", "1", "-subj", "/CN=mino.test", "-addext",
               "subjectAltName=DNS:mino.test", "-keyout", self.key, "-out", self.path).ok()
        self.context = ssl.create_default_context(cafile=self.path)


class Cluster:
    """cluster.js, offloaded or on the host: its primary, and its workers as its output names them.
    """

    def __init__(self, t, node, certificate, policy, runner):
        self.port, self.certificate = t.port(), certificate
        self.process = runner(node, SOURCE / "cluster.js", self.port, certificate.key,
                              certificate.path, env={"NODE_CLUSTER_SCHED_POLICY": policy})
        self.process.wait_log("both listen", 30)
        check(f"policy {policy}\n" in self.process.log(), self.process.log())

    def workers(self):
        """The workers that have begun to listen and have not ended."""
        log = self.process.log()
        return (set(map(int, re.findall(r"worker (\d+) listens", log))) -
                set(map(int, re.findall(r"worker (\d+) ended", log))))

    def exchange(self, address, body, connected=lambda plain: None):
        """Makes one connection and returns what the server saw. Raises OSError, or Refused if there
        was no connection.
        """
        try:
            plain = socket.create_connection((address, self.port), timeout=15)
        except OSError as error:
            raise Refused(str(error)) from error
        connected(plain)
        with plain, self.certificate.context.wrap_socket(plain, server_hostname="mino.test") as tls:
            tls.sendall(struct.pack(">I", len(body)) + body)
            with tls.makefile("rb") as stream:
                line = stream.readline()
                if not line:
                    raise ConnectionResetError("ended without an answer")
                answer = json.loads(line)
                check_equal(sha256(stream.read()), sha256(body), "what came back")
        check_equal((answer["length"], answer["sha256"]), (len(body), sha256(body)),
                    "what the server received")
        return answer


class Refused(Exception):
    """A connection was not established at all."""


class Load:
    """Connects again and again from four threads; notes failures and when they began."""

    def __init__(self, t, cluster):
        self.t, self.cluster, self.stopped = t, cluster, threading.Event()
        self.pids, self.refused, self.broken, self.current = [], [], [], [None] * 4
        self.threads = [threading.Thread(target=self.work, args=[number], daemon=True)
                        for number in range(4)]

    def work(self, number):
        body = content(20000)

        def connected(plain):
            if self.current[number]:
                self.current[number].close()
            self.current[number] = plain.dup()  # the original goes into its TLS socket

        while not self.stopped.is_set():
            began = time.monotonic()
            try:
                self.pids.append(self.cluster.exchange(self.t.device_address(), body,
                                                       connected)["pid"])
            except Refused as error:
                self.refused.append(str(error))
            except Exception as error:  # pylint: disable=broad-except
                self.broken.append((began, repr(error)))

    def wait_answers(self, pids, count=5):
        """Waits until each of the workers has answered count more."""
        before = {pid: self.pids.count(pid) for pid in pids}
        wait_for(f"{count} answers of each of {pids}", lambda: all(
            self.pids.count(pid) >= before[pid] + count for pid in pids), 20)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread, plain in zip(self.threads, self.current):
            thread.join(3)
            # node's primary forgets a connection that it passes to a dying worker: open, and
            # silent.
            with contextlib.suppress(OSError):
                plain.shutdown(socket.SHUT_RDWR)
            thread.join(15)


def clients(t, node, cluster):
    """Clients on the host and offloaded ones, at both addresses of the device."""
    workers = cluster.workers()
    check_equal(len(workers), 2, f"workers: {cluster.process.log()}")
    for size in (0, 1, 5, 16384, 3_000_000):
        answer = cluster.exchange(t.device_address(), content(size))
        check_equal((answer["peer"], answer["protocol"]), (t.gateway_address(), "TLSv1.3"), "a peer")
        check(answer["pid"] in workers, f"{answer['pid']} answered; the workers are {workers}")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: cluster.exchange(t.device_address(), content(5000))["pid"],
                                range(CONNECTIONS)))
    answered = set(answers)
    for address in ("127.0.0.1", t.device_address()):
        answered |= tls_client(t, node, cluster, address, address)
    check_equal(answered, workers, "the workers that answered")


def tls_client(t, node, cluster, address, peer):
    got = t.offloaded(node, SOURCE / "tls_client.js", address, cluster.port,
                      cluster.certificate.path, CONNECTIONS, 30000, timeout_s=60).json()
    check_equal(sum(got["workers"].values()), CONNECTIONS, "answers to a client under mino")
    check_equal((got["peers"], got["locals"], got["protocols"]), ([peer], [peer], ["TLSv1.3"]),
                "its address, as the server saw it, and as it saw itself, and the protocol")
    return {int(pid) for pid in got["workers"]}


def replaced(cluster, gone):
    """The two workers, once another has come for the one that went."""
    return wait_for(f"a worker instead of {gone}", lambda: len(cluster.workers()) == 2 and
                    gone not in cluster.workers() and cluster.workers(), 20)


def replace_under_load(t, cluster):
    """A worker ends in peace: nothing fails. One is killed: only what it had in hand may break."""
    with Load(t, cluster) as load:
        load.wait_answers(cluster.workers())
        gone = min(cluster.workers())
        os.kill(gone, signal.SIGUSR2)
        load.wait_answers(replaced(cluster, gone))
        check_equal((load.refused, load.broken), ([], []), "connections that failed as a worker left")

        gone = min(cluster.workers())
        os.kill(gone, signal.SIGKILL)
        workers = replaced(cluster, gone)
        there = time.monotonic()
        load.wait_answers(workers)
        check_equal(len(set(load.pids)), 4, "workers that answered, over all")
    check(f"worker {gone} ended: SIGKILL" in cluster.process.log(), cluster.process.log())
    check_equal(load.refused, [], "connections that were refused as a worker was killed")
    # Each thread has one connection at a time, and the primary may pass another to the dead worker.
    late = [error for began, error in load.broken if began > there]
    check(len(load.broken) <= 8 and not late,
          f"{len(load.broken)} connections broke as a worker was killed, of those begun later {late}: "
          f"{load.broken}")


def policy(t, node, certificate, name):
    cluster = Cluster(t, node, certificate, name, t.run_offloaded)
    t.wait_on_device(cluster.port)
    clients(t, node, cluster)
    replace_under_load(t, cluster)
    workers = cluster.workers()
    check_equal(cluster.process.stop(signal.SIGTERM), 5, "exit status of the primary after SIGTERM")
    log = cluster.process.log()
    for pid in workers:
        check(f"worker {pid} ended: 0\n" in log, f"worker {pid} did not end well:\n{log}")


def to_the_host(t, node, certificate):
    """The same server on the host, a client under mino."""
    cluster = Cluster(t, node, certificate, "rr", t.start_host)
    answered = tls_client(t, node, cluster, t.gateway_address(), t.device_address())
    check(answered == cluster.workers(), f"of {cluster.workers()}, {answered} answered")
    check_equal(cluster.process.stop(signal.SIGTERM), 5, "exit status of the host's primary")


def net_module(t, node):
    want = t.host(node, SOURCE / "net.js", timeout_s=40).json()
    got = t.offloaded(node, SOURCE / "net.js", timeout_s=40).json()
    for part, value in want.items():
        check_equal(got[part], value, f"net.js, {part}, under mino and natively")
    check_equal((want["handles"]["right"], want["pauseResume"]["grewWhilePaused"]), (25, 0),
                "net.js natively")


def main(t):
    node = shutil.which("node", path=t.env["PATH"])
    certificate = Certificate(t)
    net_module(t, node)
    for name in ("rr", "none"):
        policy(t, node, certificate, name)
    to_the_host(t, node, certificate)


if __name__ == "__main__":
    harness.run(main, needs=["node", "openssl"], limit_s=150)
