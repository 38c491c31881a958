#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Timestamps of the device while somebody sets this machine's clock: they are of the clock as it is.

Run by ctest as apps.clock and apps.clock.linux; see harness.py for the arguments. The clock is set
ahead by 20 ms, and back a moment later: an NTP daemon would do as much. A packet from the host, and
one over the device's loopback, must be stamped between the times before it was sent and after it
was received.
"""

import ctypes
import fcntl
import socket
import struct
import time

import harness
from harness import check, check_equal, fail, skip

STEP_NS = 20_000_000
SIOCGSTAMPNS = 0x8907
SO_TIMESTAMPNS, SO_TIMESTAMPING = 35, 37
MARGIN_NS = 1_000_000  # finer than any step, coarser than any clock's resolution


def now():
    return time.clock_gettime_ns(time.CLOCK_REALTIME)


def nanoseconds(data):
    seconds, rest = struct.unpack("qq", data[:16])
    return seconds * 1_000_000_000 + rest


# Under mino --------------------------------------------------------------------------------------

def receiver(option, value):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind(("0.0.0.0", 0))
    s.settimeout(20)
    if option:
        s.setsockopt(socket.SOL_SOCKET, option, value)
    else:  # the question switches the timestamps on
        try:
            fcntl.ioctl(s, SIOCGSTAMPNS, bytes(16))
        except OSError:
            pass
    return s


def stamp_of(s):
    _, control, _, _ = s.recvmsg(100, 512)
    if control:
        return nanoseconds(control[0][2])
    return nanoseconds(fcntl.ioctl(s, SIOCGSTAMPNS, bytes(16)))


def stamps(path):
    """For each line of input: the stamps of what came from elsewhere, then those of the loopback."""
    driver = socket.socket(socket.AF_UNIX)
    driver.connect(path)
    stream = driver.makefile("rw", buffering=1)
    kinds = [receiver(SO_TIMESTAMPNS, 1), receiver(SO_TIMESTAMPING, 1 << 3 | 1 << 4), receiver(0, 0)]
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    print(*(s.getsockname()[1] for s in kinds), file=stream)
    for _ in stream:
        print(*map(stamp_of, kinds), file=stream)
        line = [now()]
        for s in kinds:
            sender.sendto(b"x", ("127.0.0.1", s.getsockname()[1]))
        line += [stamp_of(s) for s in kinds]
        print(*line, now(), file=stream)


# On the host -------------------------------------------------------------------------------------

def step(by_ns):
    timex = bytearray(208)
    struct.pack_into("I", timex, 0, 0x0100 | 0x2000)  # ADJ_SETOFFSET | ADJ_NANO
    struct.pack_into("qq", timex, 72, *divmod(by_ns, 1_000_000_000))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex((ctypes.c_char * 208).from_buffer(timex)) < 0:
        skip(f"the clock cannot be set here: errno {ctypes.get_errno()}")


def numbers(stream, count):
    values = [int(word) for word in stream.readline().split()]
    check_equal(len(values), count, f"numbers from the program under mino: {values}")
    return values


def turn(t, stream, ports, sender):
    """Whether the stamps of one turn are right; None if it took too long to tell."""
    before = now()
    for port in ports:
        sender.sendto(b"x", (t.device_address(), port))
    stream.write("go\n")
    outside = [before, *numbers(stream, len(ports)), now()]
    inside = numbers(stream, len(ports) + 2)
    right = True
    for line in (outside, inside):
        if line[-1] - line[0] > STEP_NS // 2:
            return None
        right = right and all(line[0] - MARGIN_NS <= one <= line[-1] + MARGIN_NS for one in line[1:-1])
    return right or f"before, stamps, after: {[one - line[0] for line in (outside, inside) for one in line]}"


def turns(t, stream, ports, sender, when):
    right = 0
    for _ in range(60):
        result = turn(t, stream, ports, sender)
        check(result in (None, True), f"{when}: {result}")
        right += result is True
        if right == 3:
            return
    fail(f"{when}: this machine is too busy")


def main(t):
    path = str(t.scratch / "driver.socket")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        listener.bind(path)
        listener.listen(1)
        listener.settimeout(30)
        process = t.run_offloaded(*t.role("stamps", path))
        connection, _ = listener.accept()
        connection.settimeout(20)
        stream = connection.makefile("rw", buffering=1)
        ports = numbers(stream, 3)
        turns(t, stream, ports, sender, "before")
        for by_ns in (STEP_NS, -STEP_NS):
            step(by_ns)
            try:
                turns(t, stream, ports, sender, f"the clock was set by {by_ns} ns")
            finally:
                step(-by_ns)
            turns(t, stream, ports, sender, "the clock was set back")
        stream.close()
        connection.close()
    check_equal(process.wait(20), 0, "the program's exit status")


if __name__ == "__main__":
    harness.run(main, roles={"stamps": stamps})
