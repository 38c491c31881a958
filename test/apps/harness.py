# SPDX-License-Identifier: Apache-2.0
"""What every application test shares: a device of its own, processes, deadlines, checks.

A driver is one file per application. It calls run(main). main(t) drives unmodified programs through
`t`, on the host (t.host, t.start_host) and with their kernel offloaded (t.offloaded,
t.run_offloaded). In addition to the driver's own checks, run() checks at the end that no session
and no listening socket is left on the device.

    DRIVER.py [BUILD_DIR]     BUILD_DIR holds mino; the default is build/ of this tree
    MINO_ENGINE=linux         the device's engine; the default is native
    MINO_HOOK=TIER            how programs are hooked: auto (the default), sud, patch or preload
    MINO_RUN_FLAGS="..."      more options for each `mino run`, for example "--no-windows"
    MINO_NATIVE=1             no mino at all: "offloaded" means a network namespace of the driver's
                              own behind a veth pair, which looks the same; this tests the drivers
    MINO_NATIVE=leak          as 1, but "offloaded" programs run on the host: every driver must fail

Exit status: 0 passed, or failed in exactly the way that differences.toml describes; 1 failed; 77
cannot run here. A driver must never leave a process, a mount, an interface or a file behind, and
never signal a process that it did not start.
"""

import contextlib
import faulthandler
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback

import device
import tiers
# Drivers import these from here.
from programs import (CONTENT_SIZES, Failure, Process, Skip, check, check_equal, content, execute,
                      fail, nginx_config, sha256, skip, wait_for)

APPS_DIR = pathlib.Path(__file__).resolve().parent
PYTHON = "/usr/bin/python3"
SKIPPED = 77


class Test:
    """One run of one driver: its scratch directory, its device, and everything that it started."""

    def __init__(self, name, build_dir):
        self.name = name
        self.native_mode = os.environ.get("MINO_NATIVE", "")
        self.native = bool(self.native_mode)
        self.mino_path = pathlib.Path(build_dir).resolve() / "mino"
        if not self.native and not os.access(self.mino_path, os.X_OK):
            skip(f"{self.mino_path} is not built")
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix=f"mino-app-{name}-"))
        self.scratch.chmod(0o755)  # servers that drop root must still read what they serve
        self.processes = []
        self.tag = f"{name}.{os.getpid()}.{time.time_ns()}"
        self.ports = set()
        self.env = {key: value for key, value in os.environ.items()
                    if not key.lower().endswith("_proxy") and not key.startswith("MINO_")}
        self.env.update(LC_ALL="C", MINO_TEST_TAG=self.tag,
                        PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                        PYTHONDONTWRITEBYTECODE="1",
                        # Python's http.server looks up its own address; this keeps that short.
                        RES_OPTIONS="timeout:1 attempts:1")
        self.device = self.make_device()

    def make_device(self):
        if self.native:
            return device.NetnsDevice(leak=self.native_mode == "leak")
        flags = tiers.run_flags() + os.environ.get("MINO_RUN_FLAGS", "").split()
        return device.MinoDevice(self.mino_path, self.scratch / "run", flags, self.execute)

    # Programs --------------------------------------------------------------------------------

    def execute(self, argv, env=None, **options):
        return execute(argv, {**self.env, **(env or {})}, **options)

    def host(self, *argv, **options):
        return self.execute(argv, **options)

    def mino(self, *argv, **options):
        """Runs mino with this device's run directory. Only possible where there is a mino."""
        return self.execute(self.device.mino_argv(argv), **options)

    def offloaded(self, *argv, **options):
        return self.execute(self.device.run_argv(argv), **options)

    def start(self, argv, label=None, env=None, **options):
        label = label or pathlib.Path(str(argv[0])).name
        log_path = self.scratch / f"{len(self.processes):03}-{label}.log"
        process = Process(argv, log_path, {**self.env, **(env or {})}, **options)
        self.processes.append(process)
        return process

    def start_host(self, *argv, **options):
        return self.start(argv, label=f"host-{pathlib.Path(str(argv[0])).name}", **options)

    def run_offloaded(self, *argv, **options):
        return self.start(self.device.run_argv(argv),
                          label=f"offloaded-{pathlib.Path(str(argv[0])).name}", **options)

    def offloaded_http(self, directory, address="0.0.0.0"):
        """Starts python3's web server for directory on the device. Its port and its process."""
        port = self.port()
        process = self.run_offloaded(PYTHON, "-u", "-m", "http.server", port, "--bind", address,
                                     "--directory", directory)
        self.wait_on_device(port)
        return port, process

    def role(self, *arguments):
        """The command line that runs the driver itself in one of its other roles."""
        return [PYTHON, "-u", os.path.abspath(sys.argv[0]), "--role", *map(str, arguments)]

    def peer(self, *arguments):
        return [PYTHON, "-u", APPS_DIR / "peers.py", *map(str, arguments)]

    # The device and its sockets --------------------------------------------------------------

    def device_address(self):
        return self.device.address

    def gateway_address(self):
        return self.device.gateway

    def port(self):
        """A port number that is free on the host and that this test has not used yet."""
        for _ in range(200):
            number = random.randrange(15000, 30000)
            with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
                try:
                    tcp.bind(("", number))
                    udp.bind(("", number))
                except OSError:
                    continue
            if number not in self.ports:
                self.ports.add(number)
                return number
        fail("found no free port")

    def device_sockets(self, *flags):
        """[(local, peer)] as `ss` sees them in the device's network."""
        return parse_ss(self.device.ss(self, "-H", "-n", *flags))

    def host_sockets(self, *flags):
        return parse_ss(self.host("ss", "-H", "-n", *flags).ok())

    def wait_on_device(self, port, protocol="-t", timeout_s=15.0):
        """Waits until the device has a socket bound to port; the host must have none."""
        def has(sockets):
            return any(local.rsplit(":", 1)[-1] == str(port) for local, _ in sockets)

        def bound_somewhere():
            on_host = has(self.host_sockets(protocol, "-l"))
            check(not on_host, f"port {port} of an offloaded program is open on the host")
            return has(self.device_sockets(protocol, "-l"))

        wait_for(f"a socket on port {port} in the device's network", bound_somewhere, timeout_s)
        check(not has(self.host_sockets(protocol, "-l")),
              f"port {port} of an offloaded program is open on the host, not only on the device")

    def check_connected(self, peer, timeout_s=10.0):
        """Checks that an offloaded program, not the host, is connected to peer ("address:port")."""
        def connected():
            return [local for local, remote in self.device_sockets("-t") if remote == peer]

        def on_host():
            return [local for local, remote in self.host_sockets("-t") if remote == peer]

        locals_ = wait_for(f"a connection to {peer} in the device's network (the host has "
                           f"{on_host()})", connected, timeout_s)
        check(not on_host(), f"the connection to {peer} is on the host: {on_host()}")
        return locals_

    def sessions(self):
        return self.device.sessions(self)

    def wait_no_sessions(self, timeout_s=8.0, allowed=0):
        try:
            wait_for("no session", lambda: self.sessions() <= allowed, timeout_s, 0.2)
        except Failure:
            raise Failure(f"{self.sessions()} sessions are left on the device, {allowed} expected, "
                          f"{timeout_s:g} s after the last program ended") from None

    # The end ---------------------------------------------------------------------------------

    def stop_all(self):
        for process in reversed(self.processes):
            process.kill()

    def kill_escaped(self):
        """Finds processes that left their group, by their environment. There should be none."""
        wanted = f"MINO_TEST_TAG={self.tag}".encode()
        for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if wanted in path.read_bytes().split(b"\0"):
                    os.kill(int(path.parent.name), signal.SIGKILL)

    def report_logs(self):
        for process in self.processes:
            lines = process.log().splitlines()[-40:]
            if lines:
                command = " ".join(process.argv)[:300]
                print(f"--- {command} [{process.popen.poll()}]", file=sys.stderr)
                print("\n".join(lines), file=sys.stderr)
        for path in sorted(self.scratch.glob("run/**/*.log")):
            print(f"--- {path}", file=sys.stderr)
            print("\n".join(path.read_text(errors="replace").splitlines()[-40:]), file=sys.stderr)


def parse_ss(text):
    """The local and the peer address are the two columns with a colon, after state and two queues.
    """
    sockets = []
    for line in text.splitlines():
        columns = [column for column in line.split() if ":" in column and "((" not in column]
        if len(columns) >= 2:
            sockets.append(tuple(column.replace("::ffff:", "").replace("[", "").replace("]", "")
                                 for column in columns[:2]))
    return sockets


def need(*programs):
    for program in programs:
        if not shutil.which(program, path="/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/bin"):
            skip(f"{program} is not installed (test/apps/packages.txt names the packages)")


def drive(t, main, setup, own_device):
    if setup:
        setup(t)
    if own_device:  # the driver brings its devices up and down by itself
        main(t)
        return
    t.device.up()
    listening = set(t.device_sockets("-t", "-l") + t.device_sockets("-u", "-l"))
    main(t)
    t.stop_all()
    t.wait_no_sessions()
    wait_for("no listening socket left on the device", lambda: not set(
        t.device_sockets("-t", "-l") + t.device_sockets("-u", "-l")) - listening, 5.0)
    t.device.down()
    check(not t.device.leftovers(t), f"`mino down` left behind: {t.device.leftovers(t)}")


def record(build_dir, name, title, status, **more):
    """Keeps the result for test/suites/table.py. Only runs in the usual way count."""
    if os.environ.get("MINO_NATIVE") == "leak" or os.environ.get("MINO_RUN_FLAGS") or status == SKIPPED:
        return
    where = "host" if os.environ.get("MINO_NATIVE") else f"{tiers.engine()}.{tiers.tier()}"
    folder = pathlib.Path(build_dir) / "test" / "apps"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.{where}.json").write_text(json.dumps(
        {"title": title.strip().splitlines()[0], "passed": status == 0, **more}))


def listed(name):
    """The entry of differences.toml for this driver, engine and tier, if there is one."""
    if os.environ.get("MINO_NATIVE"):
        return None
    return next((entry for entry in tiers.here(tiers.entries(APPS_DIR / "differences.toml"))
                 if entry["test"] == name), None)


def fails_as(entry, t, failure):
    """Whether it failed in exactly that way: the driver's own words, then its programs' output."""
    logs = [process.log() for process in t.processes] if t else []
    return entry and isinstance(failure, Failure) and tiers.says(entry, "\n".join([str(failure), *logs]))


def enter_own_host():
    """Starts the driver anew in a network of its own and an empty /run, which go when it ends."""
    if os.geteuid() == 0 and os.environ.pop("MINO_OWN_HOST", None) != str(os.getpid()):
        os.execvpe("unshare", ["unshare", "--net", "--mount", "sh", "-c",
                               "mount -t sysfs none /sys && mount -t tmpfs none /run && ip link set lo up && exec \"$@\"",
                               "sh", PYTHON, *sys.argv], {**os.environ, "MINO_OWN_HOST": str(os.getpid())})


def run(main, needs=(), limit_s=100, own_device=False, own_tiers=False, own_host=False, setup=None, roles=None):
    """Runs main(t) as the test that the calling file is, and exits with its verdict.

    setup(t) runs before the device comes up. own_tiers: the driver goes through the tiers by
    itself. own_host: it starts daemons on the host that would meddle with the host's network, or
    with daemons there. roles are the other programs in the driver's file, by name: t.role(name,
    ...) is the command line of one.
    """
    if sys.argv[1:2] == ["--role"]:
        roles[sys.argv[2]](*sys.argv[3:])
        return
    if own_host:
        enter_own_host()
    name, tier = pathlib.Path(sys.argv[0]).stem, tiers.tier()
    build_dir = sys.argv[1] if len(sys.argv) > 1 else APPS_DIR.parent.parent / "build"
    faulthandler.enable()

    def give_up(number, _frame):
        raise Failure(f"not done after {limit_s} s" if number == signal.SIGALRM else "terminated")

    signal.signal(signal.SIGALRM, give_up)
    signal.signal(signal.SIGTERM, give_up)
    signal.alarm(limit_s)
    t, entry, status, differs = None, None, 1, None
    try:
        if os.geteuid() != 0:
            skip("needs root: it makes network namespaces")
        if own_tiers and tier != "auto":
            skip("it goes through the tiers by itself")
        need("ip", "ss", *needs)
        entry = listed(name)
        t = Test(name, build_dir)
        drive(t, main, setup, own_device)
        if entry:
            raise Exception(f"it passes, and differences.toml says: {entry['reason']}. Take the entry off")
        print(f"{name}: passed")
        status = 0
    except Skip as reason:
        print(f"{name}: skipped: {reason}")
        status = SKIPPED
    except Exception as failure:  # a driver's own mistake is reported like an application's
        if fails_as(entry, t, failure):
            differs, status = entry["reason"], 0
            print(f"{name}: fails as differences.toml says: {differs}")
            return
        if entry:
            print(f"{name}: it must fail with {entry['says']!r}", file=sys.stderr)
        print(f"{name}: FAILED: {type(failure).__name__}: {failure}", file=sys.stderr)
        for frame in traceback.extract_tb(failure.__traceback__):
            print(f"    {frame.filename}:{frame.lineno} {frame.name}: {frame.line}",
                  file=sys.stderr)
        if t:
            t.report_logs()
    finally:
        signal.alarm(0)
        record(build_dir, name, sys.modules["__main__"].__doc__, status, differs=differs, own_tiers=own_tiers)
        if t:
            t.stop_all()
            t.device.down(forced=True)
            t.kill_escaped()
            shutil.rmtree(t.scratch, ignore_errors=True)
    sys.exit(status)
