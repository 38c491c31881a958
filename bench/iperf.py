#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""iperf3 against a server on this host, by three kinds of client in turn: goodput, CPU per GB.

    bench/iperf.py [BUILD_DIR] [--rounds N] [--seconds S] [--json]

    host     the client on this host, in a network namespace behind a veth pair
    kernel   the client inside the kernel of the linux engine, in its own userland, behind a tap
    mino     the client under `mino run` on a linux-engine device, behind a tap

Needs root, iperf3, iproute2, and the kernel (kernel/build.sh --output BUILD_DIR/kernel). Processor
time is that of the whole machine, server included, so the machine should have nothing else to do.
It must remove everything that it makes.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PORT = "45201"
WAYS = {"send": [], "receive": ["-R"]}
INIT = """#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
mount -t proc proc /proc; mount -t tmpfs tmpfs /tmp
mount -t hostfs -o "$results" none /mnt
ip addr add "$address" dev vec0; ip link set lo up; ip link set vec0 mtu "$mtu" up
iperf3 $client > /mnt/report.json 2>&1
/usr/bin/python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321fedc)'
"""


def run(*argv, **options):
    return subprocess.run([str(a) for a in argv], check=True, capture_output=True, text=True, timeout=120, **options).stdout


def busy_seconds():
    fields = [int(f) for f in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return (sum(fields[:3]) + sum(fields[5:7])) / os.sysconf("SC_CLK_TCK")


def attempt(*argv):
    subprocess.run([str(a) for a in argv], check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=120)


class Host:
    def __init__(self):
        self.name = f"mino-bench-{os.getpid()}"
        self.link, self.gateway = f"mb{os.getpid()}", "10.254.77.1"

    def start(self):
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", self.link, "mtu", "1500", "type", "veth", "peer", "name", "eth0", "mtu", "1500",
            "netns", self.name)
        run("ip", "addr", "add", f"{self.gateway}/30", "dev", self.link)
        run("ip", "link", "set", self.link, "up")
        run("ip", "-n", self.name, "addr", "add", "10.254.77.2/30", "dev", "eth0")
        run("ip", "-n", self.name, "link", "set", "eth0", "up")

    def client(self, arguments):
        return json.loads(run("ip", "netns", "exec", self.name, "iperf3", *arguments))

    def close(self):
        attempt("ip", "netns", "del", self.name)


class Kernel:
    def __init__(self, scratch, kernel):
        self.link, self.gateway, self.kernel, self.scratch = f"mk{os.getpid()}", "10.254.77.5", kernel, scratch
        self.init = scratch / "init.sh"

    def start(self):
        self.init.write_text(INIT)
        self.init.chmod(0o755)
        run("ip", "tuntap", "add", "dev", self.link, "mode", "tap", "vnet_hdr")
        run("ip", "link", "set", self.link, "mtu", "1500", "up")
        run("ip", "addr", "add", f"{self.gateway}/30", "dev", self.link)

    def client(self, arguments):
        report = self.scratch / "report.json"
        report.unlink(missing_ok=True)
        subprocess.run(["setarch", "-R", str(self.kernel), "mem=512M", "con=null", "con0=null", "quiet", "dummy.numdummies=0",
                        "ifb.numifbs=0", "bonding.max_bonds=0", "fb_tunnels=none",
                        "rdinit=/none", "root=hostfs", "rootfstype=hostfs", "rootflags=/", "ro",
                        f"vec0:transport=tap,ifname={self.link},depth=128,gro=1", f"init={self.init}",
                        f"results={self.scratch}", "address=10.254.77.6/30", "mtu=1500",
                        f'client="{" ".join(arguments)}"'],
                       check=False, capture_output=True, timeout=120)
        return json.loads(report.read_text())

    def close(self):
        attempt("ip", "link", "del", self.link)


class Mino:
    def __init__(self, scratch, mino):
        self.command = [mino, "--run-dir", scratch / "device"]
        self.scratch, self.gateway = scratch, None

    def start(self):
        config = self.scratch / "minod.toml"
        config.write_text("[uplink]\nmtu = 1500\nnat = false\n")
        run(*self.command, "up", "--engine", "linux", "--config", config)
        self.gateway = json.loads(run(*self.command, "status", "--json"))["uplink"]["gateway"]

    def client(self, arguments):
        return json.loads(run(*self.command, "run", "--", "iperf3", *arguments))

    def close(self):
        attempt(*self.command, "down")


def measure(place, way, seconds):
    server = subprocess.Popen(["iperf3", "-s", "-1", "-B", place.gateway, "-p", PORT], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            listening = subprocess.run(["ss", "-Hltn", f"sport = :{PORT}"], capture_output=True, text=True, check=True).stdout
            if listening:
                break
            time.sleep(0.05)
        before = busy_seconds()
        report = place.client(["-c", place.gateway, "-p", PORT, "-t", str(seconds), "-J", *WAYS[way]])
        used = busy_seconds() - before
    finally:
        server.kill()
        server.wait()
    if "end" not in report or "sum_received" not in report["end"]:
        raise SystemExit(f"iperf.py: {type(place).__name__}: {report.get('error', report)}")
    total = report["end"]["sum_received"]
    return {"gbits": total["bits_per_second"] / 1e9, "cpu_per_gb": used / (total["bytes"] / 1e9)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", nargs="?", default=pathlib.Path(__file__).resolve().parent.parent / "build", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    mino, kernel = options.build.resolve() / "mino", options.build.resolve() / "kernel" / "linux"
    for needed in (mino, kernel):
        if not needed.exists():
            raise SystemExit(f"iperf.py: {needed} is not built (cmake --build {options.build}; kernel/build.sh)")
    if not shutil.which("iperf3"):
        raise SystemExit("iperf.py: iperf3 is not installed (apt-get install iperf3)")
    results = {way: {} for way in WAYS}
    with contextlib.ExitStack() as stack:
        scratch = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mino-iperf-")))
        places = {"host": Host(), "kernel": Kernel(scratch, kernel), "mino": Mino(scratch, mino)}
        for place in places.values():
            stack.callback(place.close)
            place.start()
        for number in range(options.rounds):
            for way in WAYS:
                for name, place in places.items():
                    print(f"round {number + 1} of {options.rounds}: {way}, {name}", file=sys.stderr)
                    results[way].setdefault(name, []).append(measure(place, way, options.seconds))
    if options.json:
        print(json.dumps(results, indent=2))
        return
    print(f"median (least - most) of {options.rounds} interleaved rounds of {options.seconds} s; load before: "
          f"{os.getloadavg()[0]:.1f}")
    for way, by_place in results.items():
        print(f"\n{way:8} {'Gbit/s':24} {'CPU s per GB':24} goodput, against kernel")
        for name, samples in by_place.items():
            cells = []
            for key in ("gbits", "cpu_per_gb"):
                values = [sample[key] for sample in samples]
                cells.append(f"{statistics.median(values):.2f} ({min(values):.2f} - {max(values):.2f})")
            ratios = [s["gbits"] / k["gbits"] for s, k in zip(samples, by_place["kernel"])]
            print(f"{name:8} {cells[0]:24} {cells[1]:24} {statistics.median(ratios):.2f} x")


if __name__ == "__main__":
    main()
