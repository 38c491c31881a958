# SPDX-License-Identifier: Apache-2.0
"""splice, tee, vmsplice, sendfile and copy_file_range between a directory's files and pipes of the host.

Used by shared_directory.py: what outcomes() returns must be the same wherever the directory is.
"""

import ctypes
import errno
import os

LIBC = ctypes.CDLL(None, use_errno=True)
NONBLOCK = 2  # SPLICE_F_NONBLOCK


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def tee(source, target, count, flags=0):
    return checked(LIBC.tee(source, target, ctypes.c_size_t(count), flags))


def vmsplice(pipe, size):
    memory = ctypes.create_string_buffer(b"v" * size, size)
    vector = Iovec(ctypes.addressof(memory), size)
    return checked(LIBC.vmsplice(pipe, ctypes.byref(vector), ctypes.c_ulong(1), NONBLOCK))


def outcome(call, *arguments, **options):
    try:
        return call(*arguments, **options)
    except OSError as problem:
        return errno.errorcode[problem.errno]


def with_a_named_pipe(do):
    os.mkfifo("splicing.fifo")
    far_read = os.open("splicing.fifo", os.O_RDONLY | os.O_NONBLOCK)
    far_write = os.open("splicing.fifo", os.O_WRONLY | os.O_NONBLOCK)
    near_read, near_write = os.pipe()
    do("write", os.write, near_write, b"hello world")
    do("splice out", os.splice, near_read, far_write, 5)
    do("tee out", tee, near_read, far_write, 100)
    do("there", os.read, far_read, 100)
    do("here", os.read, near_read, 100)
    do("write there", os.write, far_write, b"from the other side")
    do("tee in", tee, far_read, near_write, 4)
    do("splice in", os.splice, far_read, near_write, 100)
    do("here", os.read, near_read, 100)
    do("splice nothing", os.splice, far_read, near_write, 100)
    file = os.memfd_create("file")
    do("write", os.write, file, b"0123456789")
    do("seek", os.lseek, file, 2, os.SEEK_SET)
    do("file to pipe", os.splice, file, far_write, 3)
    do("position", os.lseek, file, 0, os.SEEK_CUR)
    do("from an offset", os.splice, file, far_write, 3, offset_src=7)
    do("sendfile to pipe", os.sendfile, far_write, file, 0, 4)
    other = os.memfd_create("other")  # the pipe holds pages of the first file, not copies
    do("pipe to file", os.splice, far_read, other, 100)
    do("file", os.pread, other, 100, 0)
    do("vmsplice nothing", vmsplice, far_read, 7)
    do("vmsplice", vmsplice, far_write, 7)
    do("vmsplice", vmsplice, far_read, 7)
    do("wrong end in", os.splice, far_write, near_write, 5)
    do("wrong end out", os.splice, near_read, far_read, 5)
    do("wrong end of tee", tee, far_write, near_write, 5)
    do("offset of a pipe", os.splice, near_read, far_write, 5, offset_dst=0)
    do("offset of a pipe", os.splice, far_read, near_write, 5, offset_src=0)
    do("tee to itself", tee, far_read, far_write, 5, NONBLOCK)
    for fd in (far_read, far_write, near_read, near_write, file, other):
        os.close(fd)
    os.unlink("splicing.fifo")


def with_a_file(do):
    far = os.open("splicing.file", os.O_CREAT | os.O_RDWR | os.O_TRUNC, 0o600)
    append = os.open("splicing.file", os.O_WRONLY | os.O_APPEND)
    near = os.memfd_create("near")
    zero = os.open("/dev/zero", os.O_RDONLY)
    source, sink = os.pipe()
    do("write", os.write, sink, b"plain text")
    do("splice in", os.splice, source, far, 6)
    do("splice in at", os.splice, source, far, 6, offset_dst=20)
    do("size", lambda: os.fstat(far).st_size)
    do("sendfile to a pipe", os.sendfile, sink, far, 0, 100)
    do("pipe", os.read, source, 100)
    do("splice out at", os.splice, far, sink, 100, offset_src=1)
    do("pipe", os.read, source, 100)
    do("write", os.write, sink, b"zz")
    do("append by splice", os.splice, source, append, 2)
    do("append by sendfile", os.sendfile, append, near, 0, 2)
    do("sendfile to a file", os.sendfile, near, far, 0, 100)
    do("sendfile from zero", os.sendfile, far, zero, None, 100000)
    do("sendfile from a file", os.sendfile, far, near, 0, 100)
    do("size", lambda: os.fstat(far).st_size)
    do("sendfile of much", os.sendfile, near, far, 0, 200000)
    do("copied within", os.copy_file_range, far, far, 5, offset_src=0, offset_dst=200000)
    for fd in (far, append, near, zero, source, sink):
        os.close(fd)
    os.unlink("splicing.file")


def outcomes():
    """What each step in the present directory gives, in order."""
    found = []

    def do(what, call, *arguments, **options):
        found.append((what, outcome(call, *arguments, **options)))

    with_a_named_pipe(do)
    with_a_file(do)
    return found
