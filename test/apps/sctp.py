#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""SCTP sockets of many associations, and the sockets that are peeled off them.

Run by ctest as apps.sctp.linux; see harness.py for the arguments. Peeling off is a getsockopt whose
result is a new descriptor. The machine's own kernel may have no SCTP; that of the engine has it.
"""

import ctypes
import errno
import fcntl
import os
import socket
import struct

import harness
from harness import check_equal

SOL_SCTP = socket.IPPROTO_SCTP
GET_ASSOC_ID_LIST, PEELOFF, PEELOFF_FLAGS = 29, 102, 122
LIBC = ctypes.CDLL(None, use_errno=True)


def get_option(many, option, data):
    """The call's result, or the error's name; and the option's new content."""
    value = ctypes.create_string_buffer(data, len(data))
    size = ctypes.c_uint32(len(data))
    result = LIBC.getsockopt(many.fileno(), SOL_SCTP, option, value, ctypes.byref(size))
    return errno.errorcode[ctypes.get_errno()] if result < 0 else result, value.raw[:size.value]


def associations(many):
    _, data = get_option(many, GET_ASSOC_ID_LIST, bytes(64))
    count, = struct.unpack_from("I", data)
    return struct.unpack_from(f"{count}i", data, 4)


def lowest():
    fd = os.dup(0)
    os.close(fd)
    return fd


def talks(one, other):
    one.send(b"to and")
    check_equal(other.recv(100), b"to and", "what was sent")
    other.send(b"fro")
    check_equal(one.recv(100), b"fro", "what was answered")


def client():
    many = socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET, SOL_SCTP)
    many.bind(("127.0.0.1", 0))
    many.listen(5)
    peers = []
    for _ in range(3):
        peers.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM, SOL_SCTP))
        peers[-1].connect(many.getsockname())
        peers[-1].send(b"hello")
        check_equal(many.recv(100), b"hello", "the first message")
    first, second, third = associations(many)
    number = lowest()
    result, data = get_option(many, PEELOFF, struct.pack("ii", first, 0))
    check_equal((result, struct.unpack("ii", data)), (number, (first, number)), "peeled off")
    check_equal(fcntl.fcntl(number, fcntl.F_GETFD), 0, "its flags")
    talks(socket.socket(fileno=number), peers[0])
    number = lowest()
    flags = socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    result, data = get_option(many, PEELOFF_FLAGS, struct.pack("iiI", second, 0, flags))
    check_equal((result, struct.unpack("iiI", data)[1]), (number, number), "peeled off with flags")
    check_equal(fcntl.fcntl(number, fcntl.F_GETFD), fcntl.FD_CLOEXEC, "its flags")
    check_equal(fcntl.fcntl(number, fcntl.F_GETFL), os.O_RDWR | os.O_NONBLOCK, "and the file's")
    peeled = socket.socket(fileno=number)
    peeled.setblocking(True)
    talks(peeled, peers[1])
    number = lowest()
    for association in (first, 999999):
        result, _ = get_option(many, PEELOFF, struct.pack("ii", association, 0))
        check_equal(result, "EINVAL", "peeling off what is not there")
    check_equal(get_option(many, PEELOFF, b"abc")[0], "EINVAL", "with too small a structure")
    check_equal(lowest(), number, "the next number")
    peers[2].send(b"still there")
    check_equal(many.recv(100), b"still there", "the association that stayed")
    check_equal(associations(many), (third,), "associations that stayed")
    print("ok")


def main(t):
    check_equal(t.offloaded(*t.role("client")).ok().strip(), "ok", "the client's answer")


if __name__ == "__main__":
    harness.run(main, roles={"client": client})
