#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Several kernels on one device: each has its address and its sockets; programs are placed in turn or pinned.

Run by ctest as apps.instances.linux; see harness.py for the arguments.
"""

import json
import re

import harness
from harness import check, check_equal, wait_for

COUNT = 3
# The addresses that a program and a child that it starts see.
ADDRESSES = "ip -4 -o addr show eth0; sh -c 'ip -4 -o addr show eth0'"


def seen(text):
    return re.findall(r"inet (\S+)/", text)


def main(t):
    t.device.up("--instances", str(COUNT))
    instances = t.device.status()["instances"]
    addresses = [instance["address"] for instance in instances]
    check_equal(len(set(addresses)), COUNT, f"different addresses: {addresses}")
    check_equal(len({instance["pid"] for instance in instances}), COUNT, "different processes")
    for address in addresses:
        check_equal(t.host("ping", "-c", "1", "-W", "2", address).status, 0, f"ping {address}")

    turns = []
    for _ in range(2 * COUNT):
        both = seen(t.offloaded("sh", "-c", ADDRESSES).ok())
        check_equal(len(set(both)), 1, f"a program and its child on one instance: {both}")
        turns.append(both[0])
    check_equal(turns[:COUNT], turns[COUNT:], "placement by turns")
    check_equal(sorted(turns[:COUNT]), sorted(addresses), "every instance has its turn")

    # The same port on each instance; each page is only on its own.
    port = t.port()
    for i, address in enumerate(addresses):
        folder = t.scratch / f"page{i}"
        folder.mkdir()
        (folder / "page").write_text(f"instance {i}\n")
        t.start(t.device.run_argv([harness.PYTHON, "-m", "http.server", str(port), "--bind", "0.0.0.0", "--directory",
                                   folder], "--instance", str(i)), label=f"server{i}")
    for i, address in enumerate(addresses):
        wait_for(f"the server of instance {i}",
                 lambda: t.host("curl", "-sf", f"http://{address}:{port}/page").text == f"instance {i}\n", 20)
        inside = t.host(*t.device.run_argv(["curl", "-sf", f"http://127.0.0.1:{port}/page"], "--instance", str(i)))
        check_equal(inside.text, f"instance {i}\n", f"127.0.0.1 of instance {i}")
    status = t.device.status()
    check_equal([instance["sessions"] for instance in status["instances"]], [1] * COUNT, "sessions per instance")
    check(all(instance["sockets"] >= 1 for instance in status["instances"]), f"sockets per instance: {status}")
    # A descriptor can be fetched within an instance; from another one there is a clear error.
    fetching = [harness.PYTHON, "-u", harness.APPS_DIR / "passing_on.py", "--role"]
    holding = t.start(t.device.mino_argv(["run", "--instance", "0", "--", *fetching, "hold", str(t.port())]))
    holding.wait_log("]")
    pid, number = map(str, json.loads(holding.log()))
    elsewhere, there = (t.mino("run", "--instance", i, "--", *fetching, "fetch", pid, number).json() for i in "10")
    check_equal(elsewhere, {"fetch": "EXDEV"}, "pidfd_getfd of another instance's")
    check_equal(there["peer"], "'127.0.0.1'", "pidfd_getfd of the same instance's")
    check_equal(holding.wait(15), 0, f"how the holding program ended:\n{holding.log()}")
    wrong = t.mino("run", "--instance", str(COUNT), "--", "true")
    check_equal(wrong.status, 125, "an instance that is not there")
    for server in t.processes:
        server.kill()
    t.wait_no_sessions()
    t.device.down()
    folders = [path.name for path in t.device.run_dir.iterdir() if path.is_dir()]
    check_equal(folders, [], "folders left in the run directory")
    check(not t.device.leftovers(t), f"`mino down` left behind: {t.device.leftovers(t)}")


if __name__ == "__main__":
    harness.run(main, needs=["curl", "ip", "ping"], limit_s=100, own_device=True)
