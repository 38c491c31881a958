#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""iperf3 in both roles under mino, against a native one: TCP, -Z, -R, UDP, two streams.

Run by ctest as apps.iperf3; see harness.py for the arguments. Each run takes two seconds. The
figures are printed and only checked to be sane, since speed has its own benchmark.
"""

import json
import threading

import harness
from harness import check, check_equal

CASES = (
    ("TCP", []),
    ("TCP, sendfile", ["-Z"]),
    ("TCP, reverse", ["-R"]),
    ("TCP, sendfile, reverse", ["-Z", "-R"]),
    ("TCP, two streams, both ways", ["-P", "2", "--bidir"]),
    ("UDP", ["-u", "-b", "50M"]),
    ("UDP, reverse", ["-u", "-b", "50M", "-R"]),
)


def report(text, what):
    try:
        parsed = json.loads(text)
    except ValueError as error:
        harness.fail(f"{what}: no JSON ({error}): {text[-1500:]}")
    check("error" not in parsed, f"{what}: {parsed.get('error')}")
    return parsed


def sane(parsed, what, udp):
    if udp:
        total = parsed["end"]["sum"]
        check(total["bytes"] > 100_000 and total["packets"] > 10, f"{what}: {total}")
        check(total["lost_percent"] < 90, f"{what}: {total['lost_percent']} % lost")
        return total["bits_per_second"]
    for side in ("sum_sent", "sum_received"):
        check(parsed["end"][side]["bytes"] > 1_000_000, f"{what}: {side} {parsed['end'][side]}")
    seconds = parsed["end"]["sum_received"]["seconds"]
    check(1.0 < seconds < 10.0, f"{what}: took {seconds} s, want about 2")
    return parsed["end"]["sum_received"]["bits_per_second"]


def server_offloaded(t, name, options):
    what, port = f"server under mino, {name}", t.port()
    server = t.run_offloaded("iperf3", "-s", "-1", "-J", "-p", port)
    t.wait_on_device(port)
    client = t.host("iperf3", "-c", t.device_address(), "-p", port, "-J", "-t", "2", *options)
    parsed = report(client.text, f"{what}: client")
    check_equal(client.status, 0, f"{what}: exit status of the client")
    check_equal(server.wait(), 0, f"{what}: exit status of the server")
    report(server.log(), f"{what}: server")
    remote = parsed["start"]["connected"][0]["remote_host"]
    check_equal(remote, t.device_address(), f"{what}: the server's address")
    return sane(parsed, what, "-u" in options)


def client_offloaded(t, name, options):
    what, port = f"client under mino, {name}", t.port()
    server = t.start_host("iperf3", "-s", "-1", "-J", "-B", t.gateway_address(), "-p", port)
    harness.wait_for("the native server", lambda: any(
        local.endswith(f":{port}") for local, _ in t.host_sockets("-t", "-l")))
    seen, missed = [], []

    def look():
        try:
            seen.extend(t.check_connected(f"{t.gateway_address()}:{port}"))
        except harness.Failure as failure:
            missed.append(failure)

    watcher = threading.Timer(0.7, look)
    watcher.start()
    client = t.offloaded("iperf3", "-c", t.gateway_address(), "-p", port, "-J", "-t", "2", *options)
    watcher.join()
    parsed = report(client.text, f"{what}: client")
    check_equal(client.status, 0, f"{what}: exit status of the client")
    check_equal(server.wait(), 0, f"{what}: exit status of the server")
    check(seen, f"{what}: {missed}")
    remote = report(server.log(), f"{what}: server")["start"]["connected"][0]["remote_host"]
    check_equal(remote, t.device_address(), f"{what}: the client's address as the server saw it")
    return sane(parsed, what, "-u" in options)


def main(t):
    for name, options in CASES:
        for role in (server_offloaded, client_offloaded):
            rate = role(t, name, options)
            print(f"iperf3: {role.__name__}, {name}: {rate / 1e9:.2f} Gbit/s")


if __name__ == "__main__":
    harness.run(main, needs=["iperf3"], limit_s=150)
