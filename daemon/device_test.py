#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The device from outside: up, status, admission, names, down, and what a killed minod leaves.

    device_test.py BUILD_DIR [NAME…]     exit status 0 passed, 1 failed, 77 cannot run here

Runs itself in a mount namespace of its own, with a copy of /etc there, so that it can change
/etc/resolv.conf. It speaks the control messages itself (daemon/testing/device.py), so it needs no
hook. It must leave nothing behind.
"""

import ctypes
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "testing"))

from device import (alive, BUILD, check, children, command_name, Device, devices, equal, EXPORT,
                    field, MESSAGE, message, MINO, read, REFUSE, ROOT, scratch, wait_for)  # noqa: E402

NAME_SERVER = "127.0.0.213"


def test_without_a_device():
    device = Device("none")
    for command, status in ((("status",), 1), (("run", "--", "true"), 125), (("ss",), 125), (("bench", "call"), 1)):
        result = device.mino(*command)
        equal(result.returncode, status, f"status of mino {command[0]} without a device")
        check(f"mino --run-dir {device.dir} up" in result.stderr, f"no remedy in: {result.stderr}")
    result = device.mino("down")
    equal(result.returncode, 0, "mino down without a device")
    check("no device runs" in result.stdout, result.stdout)
    check(not device.dir.exists(), "mino down made a run directory")


def test_up_status_down():
    forwarding = read("/proc/sys/net/ipv4/ip_forward")
    device = Device("one")
    out = device.up().stdout
    check(device.address in out and device.gateway in out and "minod.log" in out, out)
    check(device.reachable(), f"{device.address} does not answer")
    status = device.status()
    for key in ("engine", "pid", "uplink", "instances", "counters", "clients", "uptime_seconds", "policy"):
        check(key in status, f"no {key} in {status}")
    instance = status["instances"][0]
    equal(instance["kernel"], os.uname().release, "kernel")
    equal(instance["address"], device.address, "address")
    equal(instance["sessions"], 0, "sessions")
    equal(set(status["counters"]), {"calls", "round_trips", "upcalls", "bytes_in", "bytes_out"}, "counters")
    again = device.mino("up")
    equal(again.returncode, 0, "second mino up")
    check("already up" in again.stdout, again.stdout)
    check("Linux" in device.mino("status").stdout, "mino status for people")
    device.down()
    equal(device.leftovers(), [], "left behind")
    equal(read("/proc/sys/net/ipv4/ip_forward"), forwarding, "ip_forward afterwards")


def test_two_devices():
    forwarding = read("/proc/sys/net/ipv4/ip_forward")
    first, second = Device("first"), Device("second")
    starts = [threading.Thread(target=device.up) for device in (first, second)]
    for start in starts:
        start.start()
    for start in starts:
        start.join()
    check(first.address != second.address, "both devices have the same address")
    check(first.reachable() and second.reachable(), "a device does not answer")
    first.down()
    equal(first.leftovers(), [], "left behind by the first")
    check(second.reachable(), "the second device does not answer after the first went down")
    if second.status()["uplink"]["nat"]:
        equal(read("/proc/sys/net/ipv4/ip_forward"), "1", "ip_forward while a device is up")
    second.down()
    equal(second.leftovers(), [], "left behind by the second")
    equal(read("/proc/sys/net/ipv4/ip_forward"), forwarding, "ip_forward afterwards")


def test_killed():
    forwarding = read("/proc/sys/net/ipv4/ip_forward")
    device = Device("killed")
    device.up()
    session = device.session()
    check(not isinstance(session, str), f"no session: {session}")
    proxies = children(device.pid)
    check(proxies, "minod has no child")
    link = device.link
    os.kill(device.pid, signal.SIGKILL)
    wait_for("the proxies to end", lambda: not any(map(alive, proxies)))
    equal(session.recv(16), b"", "what the client reads after minod was killed")
    device.up()
    check(device.reachable(), "the device does not answer after minod was killed and started again")
    os.kill(device.pid, signal.SIGKILL)
    wait_for("minod to end", lambda: device.mino("status").returncode == 1)
    result = device.down()
    check("no device runs" in result.stdout and "removed" in result.stdout, result.stdout)
    device.link = link
    equal(device.leftovers(), [], "left behind")
    equal(read("/proc/sys/net/ipv4/ip_forward"), forwarding, "ip_forward afterwards")


def test_configuration():
    device = Device("configured")
    config = scratch / "minod.toml"
    for text, want in (("\n[uplink]\nadress = 'auto'\n", ":3:1: unknown key uplink.adress"),
                       ("[uplink]\naddress = '10.1.1.1'\n", ":2:11: uplink.address:"),
                       ("engine = 'linus'\n", ":1:10: engine:"), ("[limits]\nsessions = 'x'", ":2:12:")):
        config.write_text(text)
        result = device.mino("up", "--config", config)
        equal(result.returncode, 2, f"status with {text!r}")
        check(f"{config}{want}" in result.stderr, f"{want} is not in: {result.stderr}")
    for argv, status in ((("--engine", "linus"), 2), (("--address", "10.1.1.300/24"), 2), (("--transport", "verbs"), 2),
                         (("--instances", "2"), 2)):
        result = device.mino("up", *argv)
        equal(result.returncode, status, f"status of up {' '.join(argv)}")
        check(argv[0] in result.stderr, result.stderr)
    config.write_text("[linux]\ninstances = 2\n")
    result = device.mino("up", "--config", config)
    equal(result.returncode, 2, "status of up with two native instances")
    check("linux.instances" in result.stderr, result.stderr)
    device.up("--config", config, "--instances", "1")  # the command line wins
    device.down()
    config.write_text("[uplink]\naddress = '10.214.7.2/29'\nnat = false\nmtu = 1400\n"
                      "[limits]\nsessions = 1\narena_bytes = 65536\n[policy]\nfamilies = ['inet']\n"
                      f"paths = ['{scratch}']\n")
    device.up("--config", config)
    equal(device.address, "10.214.7.2", "configured address")
    equal(read(f"/sys/class/net/{device.link}/mtu"), "1400", "mtu")
    status = device.status()
    check(not status["uplink"]["nat"], "NAT although it is off")
    equal(status["policy"]["families"], ["inet"], "families")
    check("limits.arena_bytes = 65536" in device.session(arena=1 << 20), "arena beyond the limit")
    check("version mismatch" in device.session(version=99), "another version")
    first = device.session()
    check(not isinstance(first, str), f"first session refused: {first}")
    check("limits.sessions = 1" in device.session(), "a session beyond the limit")
    result = device.mino("run", "--", "true")
    equal(result.returncode, 125, "mino run on a full device")
    check("limits.sessions = 1" in result.stderr, result.stderr)
    proxy = device.status()["clients"][0]["proxy_pid"]
    tun = {"dev"} if os.path.exists("/dev/net/tun") else set()
    equal(sorted(os.listdir(f"/proc/{proxy}/root")), sorted({"proc", "sys", scratch.parts[1]} | tun), "a proxy's root")
    first.close()
    wait_for("the session to end", lambda: device.status()["instances"][0]["sessions"] == 0)
    device.down()
    collision = Device("collision")
    device.up()
    result = collision.mino("up", "--address", device.address + "/30")
    equal(result.returncode, 1, "an address that is taken")
    check("collides" in result.stderr, result.stderr)
    device.down()


def test_admission():
    device = Device("admission")
    device.up()
    connection = device.connect()
    connection.send(b"short")
    equal(MESSAGE.unpack(connection.recv(MESSAGE.size))[1], REFUSE, "answer to a short message")
    connection = device.connect()
    connection.send(message(EXPORT))
    check(b"only a proxy" in connection.recv(MESSAGE.size), "export by someone else")
    session = device.session()
    proxy = device.status()["clients"][0]["proxy_pid"]
    equal(field(proxy, "CapEff")[0], field(proxy, "CapBnd")[0], "root's capabilities on the device")
    check(int(field(proxy, "CapEff")[0], 16) & 1 << 21 == 0, "a proxy has CAP_SYS_ADMIN")
    equal(field(proxy, "NoNewPrivs"), ["1"], "no_new_privs")
    check(os.readlink(f"/proc/{proxy}/ns/net") != os.readlink("/proc/self/ns/net"), "a proxy in the host's network")
    session.close()
    # A client without privileges: a child, so that this process keeps its own.
    ready, done = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([1234])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            own = device.session()
            os.write(ready[1], b"n" if isinstance(own, str) else b"y")
            os.read(done[0], 1)
        finally:
            os._exit(0)
    try:
        equal(os.read(ready[0], 1), b"y", "session of an unprivileged client")
        proxy = next(client["proxy_pid"] for client in device.status()["clients"] if client["pid"] == child)
        equal(field(proxy, "Uid"), ["65534"] * 4, "uid of its proxy")
        equal(field(proxy, "Groups"), ["1234"], "groups of its proxy")
        equal(int(field(proxy, "CapEff")[0], 16), 0, "capabilities of its proxy")
        equal(int(field(proxy, "CapPrm")[0], 16), 0, "capabilities of its proxy")
    finally:
        os.write(done[1], b"x")
        os.waitpid(child, 0)
    result = device.mino("down", user=65534, group=65534, extra_groups=[])
    check(result.returncode == 1 and "only root" in result.stderr, f"down by another user: {result}")
    wait_for("all sessions to end", lambda: device.status()["instances"][0]["sessions"] == 0)
    check(not children(device.pid) or not device.status()["clients"], "proxies are left")
    device.down()
    result = device.mino("up", user=65534, group=65534, extra_groups=[])
    check(result.returncode == 1 and "root" in result.stderr, f"up by another user: {result}")


def in_device(proxy, question):
    """Runs question() in the device's network namespace, in a child; returns what it returned."""
    inner, outer = socket.socketpair()
    child = os.fork()
    if child == 0:
        answer = b""
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            with open(f"/proc/{proxy}/ns/net") as namespace:
                if libc.setns(namespace.fileno(), 0) == 0:
                    answer = question()
        except OSError as failure:
            answer = str(failure).encode()
        finally:
            inner.send(answer or b"nothing")
            os._exit(0)
    inner.close()
    with outer:
        answer = outer.recv(1000)
    os.waitpid(child, 0)
    return answer


def ask_datagram():
    with socket.socket(type=socket.SOCK_DGRAM) as asker:
        asker.settimeout(3)
        asker.sendto(b"who", (NAME_SERVER, 53))
        return asker.recv(100)


def ask_stream():
    with socket.create_connection((NAME_SERVER, 53), timeout=3) as asker:
        asker.sendall(b"x" * 100_000)
        asker.shutdown(socket.SHUT_WR)
        answer = b""
        while part := asker.recv(65536):
            answer += part
        return str(len(answer)).encode()


def test_names():
    datagrams = socket.socket(type=socket.SOCK_DGRAM)
    datagrams.bind((NAME_SERVER, 53))
    streams = socket.create_server((NAME_SERVER, 53))

    def serve_datagrams():
        while True:
            query, asker = datagrams.recvfrom(1000)
            datagrams.sendto(query + b" knows", asker)

    def serve_streams():
        while True:
            connection, _ = streams.accept()
            with connection:
                while part := connection.recv(65536):
                    connection.sendall(part)

    for serve in (serve_datagrams, serve_streams):
        threading.Thread(target=serve, daemon=True).start()
    resolv_conf = pathlib.Path("/etc/resolv.conf")
    resolv_conf.write_text("nameserver 192.0.2.99\n")
    device = Device("names")
    device.up()
    session = device.session()
    proxy = device.status()["clients"][0]["proxy_pid"]

    def relays():
        return [pid for pid in children(device.pid) if command_name(pid) == "mino-dns"]

    check(not relays(), "a relay although no name server is on loopback")
    check(b"refused" in in_device(proxy, ask_stream), "somebody serves names without a relay")
    new = pathlib.Path("/etc/resolv.conf.new")
    new.write_text(f"nameserver {NAME_SERVER}\n")
    new.rename(resolv_conf)
    wait_for("a relay", relays)
    wait_for("an answer over UDP", lambda: in_device(proxy, ask_datagram) == b"who knows")
    equal(in_device(proxy, ask_stream), b"100000", "bytes over TCP through the relay")
    relay = relays()[0]
    equal(field(relay, "Uid"), ["65534"] * 4, "uid of the relay")
    equal(int(field(relay, "CapPrm")[0], 16), 0, "capabilities of the relay")
    os.kill(relay, signal.SIGKILL)
    wait_for("another relay", lambda: relays() and relays() != [relay])
    wait_for("an answer from it", lambda: in_device(proxy, ask_datagram) == b"who knows")
    resolv_conf.write_text("nameserver 192.0.2.99\n")
    wait_for("the relay to end", lambda: not relays())
    session.close()
    device.down()
    equal(device.leftovers(), [], "left behind")


def test_kernel_of_another_version():
    device = Device("versions")
    config = scratch / "minod.toml"
    config.write_text(f"[linux]\nkernel = '{BUILD}/other_kernel'\n")
    result = device.mino("up", "--engine", "linux", "--config", config)
    equal(result.returncode, 1, "up with a kernel of another version")
    version = int(re.search(r"USRCALL_VERSION (\d+)", (ROOT / "abi" / "usrcall.h").read_text()).group(1))
    for want in (f"speaks version {version + 1} ", f"minod version {version}:", f"build.sh --output {BUILD}`"):
        check(want in result.stderr, f"{want!r} is not in: {result.stderr}")
    equal(device.leftovers(), [], "left behind")


def test_sessions_of_one_user():
    sessions_of_one_user("native")
    if (BUILD / "kernel" / "linux").exists():
        sessions_of_one_user("linux")


def sessions_of_one_user(engine):
    device = Device("users")
    config = scratch / "minod.toml"
    config.write_text("[limits]\nsessions_per_user = 2\n")
    device.up("--config", config, "--engine", engine)
    session, limit = device.session(), "limits.sessions_per_user = 2 "
    fork = """import os, socket, sys
s = socket.socket()
s.set_inheritable(True)
for _ in range(3):
    try:
        if os.fork() == 0:
            os._exit(0)
        os.wait()
    except OSError as problem:
        print(problem.strerror, flush=True)
then = f"import socket, sys; socket.socket(fileno={s.fileno()}).listen(); print('waits', flush=True); sys.stdin.read()"
os.execv(sys.executable, ["python3", "-c", then])
"""
    with subprocess.Popen([MINO, "--run-dir", device.dir, "run", "--", sys.executable, "-c", fork], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        for _ in range(3):
            equal(program.stdout.readline(), "Resource temporarily unavailable\n", "a fork beyond the limit")
        equal(program.stdout.readline(), "waits\n", "the program that it has executed")
        refusal = device.session()
        check(limit in refusal and "user 0 " in refusal, refusal)
        result = device.mino("run", "--", "true")
        equal(result.returncode, 125, "mino run beyond the limit")
        check(limit in result.stderr, result.stderr)
        # Another user has room.
        child = os.fork()
        if child == 0:
            os.setresuid(65534, 65534, 65534)
            os._exit(isinstance(device.session(), str))
        equal(os.waitpid(child, 0)[1], 0, "a session of another user's")
        _, complaint = program.communicate("")
    equal(complaint.count(limit), 1, f"how often it is told why: {complaint}")
    wait_for("the sessions to end", lambda: len(device.status()["clients"]) == 1)
    # A process that changes its user has a session as that user from its next program on.
    become = f"import os, socket, sys; s = socket.socket(); os.setuid(65534); os.execv({sys.executable!r}, " \
             "['python3', '-c', 'import sys; print(1, flush=True); sys.stdin.read()'])"
    with subprocess.Popen([MINO, "--run-dir", device.dir, "run", "--", sys.executable, "-c", become], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        equal(program.stdout.readline(), "1\n", "a program of another user's")
        equal(sorted(client["uid"] for client in device.status()["clients"]), [0, 65534], "whose the sessions are")
        second = device.session()
        check(not isinstance(second, str), f"no session: {second}")
        program.communicate("")
    for own in (session, second):
        own.close()
    device.down()


def send_lingering_socket(path, kind, *before):
    """Its last close takes a minute."""
    listener = socket.create_server(("127.0.0.1", 0))
    with socket.socket() as lingering, socket.socket(socket.AF_UNIX, kind) as connection:
        lingering.connect(listener.getsockname())
        lingering.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 60))
        lingering.setblocking(False)
        try:
            while True:
                lingering.send(bytes(1 << 16))
        except BlockingIOError:
            pass
        connection.connect(str(path))
        for text in before:
            connection.send(text)
        socket.send_fds(connection, [b"files\n"], [lingering.fileno()])
    return listener


def test_files_that_linger():
    device = Device("lingering")
    device.up()
    os.kill(device.pid, signal.SIGSTOP)  # else the last close may be this process's
    kept = [send_lingering_socket(device.dir / "control.sock", socket.SOCK_STREAM),
            send_lingering_socket(device.dir / "control.sock", socket.SOCK_STREAM, bytes(4097)),
            send_lingering_socket(device.dir / "minod.sock", socket.SOCK_SEQPACKET),
            send_lingering_socket(device.dir / "minod.sock", socket.SOCK_SEQPACKET, b"nonsense")]
    os.kill(device.pid, signal.SIGCONT)
    start = time.monotonic()
    device.status()
    check(time.monotonic() - start < 5, "minod waits for somebody's socket")
    device.down()
    for listener in kept:
        listener.close()


def test_idle():
    device = Device("idle")
    device.up()

    def used():
        return sum(int(read(f"/proc/{pid}/schedstat").split()[0]) for pid in [device.pid, *children(device.pid)])

    before = used()
    time.sleep(1.0)
    check(used() - before < 2_000_000, f"an idle device used {used() - before} ns of CPU in a second")
    device.down()


def main():
    wanted = sys.argv[2:]
    scratch.mkdir()
    scratch.chmod(0o755)
    etc = scratch / "etc"
    shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
    (etc / "resolv.conf").unlink(missing_ok=True)
    (etc / "resolv.conf").write_text("nameserver 192.0.2.99\n")
    failed = 0
    try:
        subprocess.run(["mount", "--bind", str(etc), "/etc"], check=True)
        for name, test in list(globals().items()):
            if not name.startswith("test_") or (wanted and name not in wanted):
                continue
            start = time.monotonic()
            try:
                test()
                print(f"{name}: passed ({time.monotonic() - start:.1f} s)", flush=True)
            except Exception as failure:
                failed = 1
                line = failure.__traceback__.tb_next.tb_lineno if failure.__traceback__.tb_next else 0
                print(f"{name}: FAILED (line {line}): {type(failure).__name__}: {failure}", flush=True)
                for log in (device.dir / "minod.log" for device in devices):
                    if log.exists():
                        print(f"--- {log}\n{log.read_text()[-3000:]}", flush=True)
            for device in devices:
                device.force_down()
            devices.clear()
    finally:
        subprocess.run(["umount", "-l", "/etc"], check=False)
        shutil.rmtree(scratch, ignore_errors=True)
    sys.exit(failed)


if __name__ == "__main__":
    if os.geteuid() != 0 or not os.path.exists("/proc/self/ns/net"):
        print("skipped: needs root, to make network namespaces")
        sys.exit(77)
    if os.environ.get("MINO_DEVICE_TEST") != "1":
        os.environ["MINO_DEVICE_TEST"] = "1"
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", sys.executable, *sys.argv])
    for leftover in ("MINO_RUN_DIR", "LD_PRELOAD"):
        os.environ.pop(leftover, None)
    main()
