# SPDX-License-Identifier: Apache-2.0
"""A device for daemon/device_test.py: up, down, its status, and the control messages of a client
(abi/message.h), spoken without a hook.
"""

import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BUILD = pathlib.Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else pathlib.Path("build")
MINO = BUILD / "mino"
MESSAGE = struct.Struct("<IIIIIIIIQ216s")  # abi/message.h
VERSION = int(re.search(r"kVersion = (\d+);", (ROOT / "abi" / "limits.h").read_text()).group(1))
MAGIC, HELLO, WELCOME, REFUSE, EXPORT = 0x4F4E494D, 1, 2, 3, 10
scratch = pathlib.Path(tempfile.gettempdir()) / f"mino-device-{os.getpid()}"  # the test makes and removes it
devices = []


class Failure(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failure(message)


def equal(got, want, what):
    check(got == want, f"{what}: got {got!r}, want {want!r}")


def wait_for(what, predicate, seconds=5.0):
    deadline = time.monotonic() + seconds
    while not (value := predicate()):
        check(time.monotonic() < deadline, f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)
    return value


def execute(*argv, **options):
    return subprocess.run([str(arg) for arg in argv], capture_output=True, text=True, timeout=60,
                          stdin=subprocess.DEVNULL, check=False, **options)


def read(path):
    return pathlib.Path(path).read_text().strip()


class Device:
    def __init__(self, name):
        self.dir = scratch / name
        self.pid = None
        self.link = "none"
        devices.append(self)

    def mino(self, *argv, **options):
        return execute(MINO, "--run-dir", self.dir, *argv, **options)

    def up(self, *argv, **options):
        result = self.mino("up", *argv, **options)
        equal(result.returncode, 0, f"mino up ({result.stderr.strip()})")
        status = self.status()
        self.pid = status["pid"]
        self.address = status["uplink"]["address"].split("/")[0]
        self.gateway = status["uplink"]["gateway"]
        self.link = status["uplink"]["interface"]
        return result

    def status(self):
        result = self.mino("status", "--json")
        equal(result.returncode, 0, f"mino status ({result.stderr.strip()})")
        return json.loads(result.stdout)

    def down(self):
        result = self.mino("down")
        equal(result.returncode, 0, f"mino down ({result.stderr.strip()})")
        return result

    def connect(self):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(10)
        connection.connect(str(self.dir / "minod.sock"))
        return connection

    def session(self, **fields):
        """A session, or the text of a refusal."""
        connection = self.connect()
        connection.send(message(HELLO, text=b"device_test", **fields))
        answer = MESSAGE.unpack(connection.recv(MESSAGE.size))
        if answer[1] == WELCOME:
            return connection
        equal(answer[1], REFUSE, "type of the answer to Hello")
        return answer[9].split(b"\0")[0].decode()

    def reachable(self):
        """Whether a packet gets there and the answer back: a port without a listener refuses."""
        with socket.socket() as probe:
            probe.settimeout(3)
            try:
                probe.connect((self.address, 9))
            except ConnectionRefusedError:
                return True
            except OSError:
                return False
        return True

    def leftovers(self):
        left = [entry.name for entry in self.dir.iterdir() if not entry.name.startswith("minod.log")]
        if self.pid and alive(self.pid):
            left.append(f"process {self.pid}")
        if os.path.exists(f"/sys/class/net/{self.link}"):
            left.append(f"interface {self.link}")
        if shutil.which("nft") and self.link.split("-")[-1] in execute("nft", "list", "tables").stdout:
            left.append("nftables table")
        return left

    def force_down(self):
        try:
            self.mino("down")
        except (subprocess.SubprocessError, OSError):
            pass


def message(kind, version=VERSION, lanes=0, arena=0, text=b""):
    return MESSAGE.pack(MAGIC, kind, version, 0, 0, lanes, arena, 0, 0, text)


def alive(pid):
    """A process that has ended but that init has not reaped yet does not count."""
    try:
        return field(pid, "State")[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def command_name(pid):
    """What the kernel calls a process; None if it has just ended."""
    try:
        return read(f"/proc/{pid}/comm")
    except (FileNotFoundError, ProcessLookupError):
        return None


def children(pid):
    return [int(word) for word in read(f"/proc/{pid}/task/{pid}/children").split()]


def field(pid, name):
    for line in read(f"/proc/{pid}/status").splitlines():
        if line.startswith(name + ":"):
            return line.split(":", 1)[1].split()
    return None
