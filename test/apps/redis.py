#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""redis-server under mino: redis-cli on both sides, redis-benchmark, BGSAVE, CLIENT LIST.

Run by ctest as apps.redis; see harness.py for the arguments.
"""

import csv
import signal

import harness
from harness import check, check_equal, content, sha256, wait_for

KEYS = 2000


class Redis:
    """One redis-server under mino, and the two command lines that talk to it."""

    def __init__(self, t, directory, *options):
        self.t, self.port = t, t.port()
        self.process = t.run_offloaded(
            "redis-server", "--port", self.port, "--bind", "0.0.0.0", "--protected-mode", "no",
            "--save", "", "--dir", directory, "--daemonize", "no", *options)
        t.wait_on_device(self.port)
        wait_for("redis to answer", lambda: self.native("PING").text == "PONG\n")

    def native(self, *command, **options):
        return self.t.host("redis-cli", "-h", self.t.device_address(), "-p", self.port, *command,
                           **options)

    def offloaded(self, *command, **options):
        return self.t.offloaded("redis-cli", "-h", "127.0.0.1", "-p", self.port, *command,
                                **options)

    def info(self, field):
        for line in self.native("INFO").ok().splitlines():
            if line.startswith(field + ":"):
                return line.split(":", 1)[1].strip()
        return None


def values(redis):
    for client, key in ((redis.native, "from-host"), (redis.offloaded, "from-device")):
        check_equal(client("SET", key, "value of " + key).ok(), "OK\n", "SET")
        big = content(1 << 20).hex().encode()
        check_equal(client("-x", "SET", key + ":big", stdin=big).ok(), "OK\n", "SET of 2 MiB")
    for client in (redis.native, redis.offloaded):
        for key in ("from-host", "from-device"):
            check_equal(client("GET", key).ok(), f"value of {key}\n", "GET")
            big = client("GET", key + ":big").out.rstrip(b"\n")
            check_equal(sha256(big), sha256(content(1 << 20).hex().encode()), "GET of 2 MiB")
        # A pipeline through one connection, in the protocol's own encoding.
        commands = "".join(f"SET key:{i} value-{i}\n" for i in range(KEYS)).encode()
        check_equal(client(stdin=commands).ok().count("OK"), KEYS, "SETs from standard input")


def peers(t, redis):
    """Who is connected, as redis itself got it from accept() and getsockname()."""
    blocked = t.start_host("redis-cli", "-h", t.device_address(), "-p", redis.port, "BLPOP",
                           "queue", "30")
    listing = wait_for("the blocked client in CLIENT LIST", lambda: [
        line for line in redis.native("CLIENT", "LIST").ok().splitlines() if "cmd=blpop" in line])
    check(f" addr={t.gateway_address()}:" in listing[0]
          and f" laddr={t.device_address()}:{redis.port} " in listing[0],
          f"CLIENT LIST shows other addresses than gateway and device: {listing[0]}")
    redis.offloaded("RPUSH", "queue", "wake").ok()
    check_equal(blocked.wait(), 0, "exit status of BLPOP")
    check_equal(blocked.log(), "queue\nwake\n", "what BLPOP returned")
    listing = redis.offloaded("CLIENT", "LIST").ok()
    check(" addr=127.0.0.1:" in listing, f"no client on the device's loopback: {listing}")


def publish(t, redis):
    subscriber = t.run_offloaded("redis-cli", "-h", "127.0.0.1", "-p", redis.port, "SUBSCRIBE",
                                 "news")
    wait_for("the subscription",
             lambda: redis.native("PUBSUB", "NUMSUB", "news").ok().split()[-1] == "1")
    check_equal(redis.native("PUBLISH", "news", "item").ok(), "1\n", "receivers of PUBLISH")
    wait_for("the published item", lambda: "item" in subscriber.log())
    subscriber.kill()


def benchmark(redis, *options):
    """Native redis-benchmark; only the presence of its figures is checked."""
    out = redis.t.host("redis-benchmark", "-h", redis.t.device_address(), "-p", redis.port, "-n",
                       "20000", "-c", "50", "-t", "set,get", "--csv", *options, timeout_s=60).ok()
    rows = list(csv.DictReader(line for line in out.splitlines() if line.startswith('"')))
    check_equal([row["test"] for row in rows], ["SET", "GET"], f"redis-benchmark {options}:\n{out}")
    check(all(float(row["rps"]) > 0 for row in rows), f"no requests per second:\n{out}")


def save_and_load(t, redis, directory):
    check_equal(redis.native("BGSAVE").ok(), "Background saving started\n", "BGSAVE")
    wait_for("BGSAVE to end", lambda: redis.info("rdb_bgsave_in_progress") == "0", 30, 0.1)
    check_equal(redis.info("rdb_last_bgsave_status"), "ok", "status of BGSAVE")
    check_equal(redis.native("GET", "key:7").ok(), "value-7\n", "GET after BGSAVE")
    size = redis.native("DBSIZE").ok()
    t.host("redis-check-rdb", directory / "dump.rdb").ok()
    check_equal(redis.process.stop(signal.SIGTERM), 0, "exit status of redis-server after SIGTERM")

    again = Redis(t, directory, "--io-threads", "2", "--io-threads-do-reads", "yes")
    check_equal(again.native("DBSIZE").ok(), size, "keys loaded from the file that BGSAVE wrote")
    check_equal(again.offloaded("GET", f"key:{KEYS - 1}").ok(), f"value-{KEYS - 1}\n",
                "GET of a loaded key")
    big = again.native("GET", "from-device:big").out.rstrip(b"\n")
    check_equal(sha256(big), sha256(content(1 << 20).hex().encode()), "GET of 2 MiB, loaded")
    return again


def main(t):
    directory = t.scratch / "data"
    directory.mkdir()
    redis = Redis(t, directory)
    values(redis)
    peers(t, redis)
    publish(t, redis)
    benchmark(redis)
    benchmark(redis, "-P", "16")
    again = save_and_load(t, redis, directory)
    benchmark(again, "-P", "4")
    again.native("SHUTDOWN", "NOSAVE")
    check_equal(again.process.wait(), 0, "exit status of redis-server after SHUTDOWN")


if __name__ == "__main__":
    harness.run(main, needs=["redis-server", "redis-cli", "redis-benchmark"], limit_s=150)
