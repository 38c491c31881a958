#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A directory on the device's machine, for clients of every user: owners, permissions, locks, and what either side sees.

Each step is done twice: by a program on this machine in a directory of its own, and by an offloaded
one in a directory that the device serves. The answers must be the same, and then the two
directories as the machine has them.

Run by ctest as apps.shared_directory.linux; see harness.py for the arguments.
"""

import contextlib
import ctypes
import errno
import fcntl
import mmap
import os
import pathlib
import re
import stat
import struct
import sys
import time

import harness
import splicing
from harness import check, check_equal, wait_for

USER, GROUP, TEAM, OTHER = 61234, 61235, 61236, 61237
NOREPLACE, EXCHANGE = 1, 2
APPENDS = 400


# The client: a line is an expression, its answer is a line -----------------------------------

def renameat2(old, new, flags):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, old.encode(), -100, new.encode(), flags) != 0:
        raise OSError(ctypes.get_errno(), "renameat2")


def append_lines(path, tag, count):
    """Lines of many lengths, each by one write."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND)
    for i in range(count):
        line = f"{tag} {i} {'x' * (i * 97 % 9000)}\n".encode()
        check_equal(os.write(fd, line), len(line), "bytes appended")
    os.close(fd)


def make(path, data=b"", mode=0o644, directory=None):
    fd = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode, dir_fd=directory)
    os.write(fd, data)
    os.close(fd)


def read(path, directory=None):
    with open(os.open(path, os.O_RDONLY, dir_fd=directory), "rb") as file:
        return file.read()


def about(found):
    return stat.filemode(found.st_mode), found.st_uid, found.st_gid, found.st_nlink, \
        0 if stat.S_ISDIR(found.st_mode) else found.st_size


def posix_lock(kind, length=0, ofd=False, wait=False):
    """For fcntl(): a lock from the start of the file on."""
    commands = (fcntl.F_OFD_SETLK, fcntl.F_OFD_SETLKW) if ofd else (fcntl.F_SETLK, fcntl.F_SETLKW)
    return commands[wait], struct.pack("hhqqi4x", kind, os.SEEK_SET, 0, length, 0)


def client(directory, user, group):
    os.setgroups([TEAM])
    os.setgid(int(group))
    os.setuid(int(user))
    os.umask(0o022)
    os.chdir(directory)
    names = dict(globals(), v={})
    for line in sys.stdin:
        try:
            print(repr(eval(line, names)), flush=True)
        except OSError as problem:
            print(errno.errorcode[problem.errno], flush=True)


class Client:
    """A program that does one thing after the other, in a directory and as a user."""

    def __init__(self, start, argv):
        inside, self.to = os.pipe()
        self.process = start(*argv, stdin=inside)
        os.close(inside)
        self.answers = 0

    def ask(self, expression):
        os.write(self.to, expression.encode() + b"\n")

    def answer(self):
        self.answers += 1
        wait_for("an answer", lambda: self.process.log().count("\n") >= self.answers, 20, 0.002)
        return self.process.log().splitlines()[self.answers - 1]

    def end(self):
        os.close(self.to)
        check_equal(self.process.wait(10), 0, "exit status of a client")


def offloaded(t, directory, user, group):
    """On its own host the client has nothing at that path."""
    hide = 'mount -t tmpfs none "$0" && exec "$@"'
    return Client(t.start_host, ["unshare", "-m", "sh", "-c", hide, directory,
                                 *t.device.run_argv(t.role("client", directory, user, group))])


class Both:
    """The same commands on this machine and on the device."""

    def __init__(self, t, native, served):
        self.directories = (native, served)
        self.clients = (Client(t.start_host, t.role("client", native, USER, GROUP)),
                        offloaded(t, served, USER, GROUP))

    def do(self, expression):
        """Returns the answer, which must be the same. What is to be kept is put into v."""
        for one in self.clients:
            one.ask(expression)
        native, offloaded = (one.answer() for one in self.clients)
        check_equal(offloaded, native, expression)
        return native

    def want(self, expression, answer):
        check_equal(self.do(expression), answer if isinstance(answer, str) else repr(answer), expression)

    def machine(self, act):
        """Does something as the machine, in each directory."""
        for directory in self.directories:
            act(directory)

    def compare(self):
        """Compares both directories, as the machine has them."""
        native, served = (sorted((str(path.relative_to(top)), about(path.lstat()),
                                  read(path) if path.is_file() and not path.is_symlink() else None)
                                 for path in top.rglob("*")) for top in self.directories)
        check_equal(served, native, "the served directory, and the one beside it")

    def end(self):
        for one in self.clients:
            one.end()


def own(path, user, group, mode):
    os.chown(path, user, group)
    path.chmod(mode)


def acl(*entries):
    tags = {"user": 1, "user:": 2, "group": 4, "mask": 16, "other": 32}
    packed = [struct.pack("<HHI", tags[tag], rights, 0xffffffff if who is None else who) for tag, who, rights in entries]
    return struct.pack("<I", 2) + b"".join(packed)


# Steps ---------------------------------------------------------------------------------------

def owners(both):
    """What a client makes is its own, as umask, set-group-ID and default ACL say."""
    both.want("make('file', b'abc', 0o666)", None)
    both.want("os.mkdir('folder', 0o777)", None)
    both.want("os.symlink('file', 'link')", None)
    both.want("os.link('file', 'again')", None)
    both.want("os.mkfifo('fifo', 0o666)", None)
    both.want("os.mknod('socket', 0o600 | stat.S_IFSOCK)", None)
    both.want("os.mknod('plain', 0o600)", None)
    both.want("os.mknod('device', 0o600 | stat.S_IFCHR, os.makedev(1, 3))", "EPERM")
    both.want("make('file')", "EEXIST")
    both.want("make('no-rights', b'written', 0)", None)
    both.want("os.mkdir('folder')", "EEXIST")
    names = ["file", "folder", "link", "again", "fifo", "socket", "plain"]
    both.do(f"[about(os.lstat(name)) for name in {names}]")
    both.want("os.lstat('file').st_ino == os.stat('again').st_ino", True)
    for name in names:
        found, want = both.clients[1], (both.directories[1] / name).lstat()
        found.ask(f"[os.lstat('{name}').st_dev, os.lstat('{name}').st_ino, os.lstat('{name}').st_mtime_ns]")
        check_equal(found.answer(), repr([want.st_dev, want.st_ino, want.st_mtime_ns]), f"stat of {name}")
    both.machine(lambda top: (top / "team").mkdir())
    both.machine(lambda top: own(top / "team", 0, TEAM, 0o2777))
    both.want("(make('team/file'), os.mkdir('team/folder'), os.symlink('file', 'team/link'))", (None,) * 3)
    both.machine(lambda top: (top / "acl").mkdir())
    both.machine(lambda top: own(top / "acl", 0, 0, 0o777))
    inherited = acl(("user", None, 7), ("user:", OTHER, 6), ("group", None, 5), ("mask", None, 7), ("other", None, 0))
    both.machine(lambda top: os.setxattr(top / "acl", "system.posix_acl_default", inherited))
    both.want("(make('acl/file', b'', 0o666), os.mkdir('acl/folder', 0o775))", (None, None))
    for name in ("acl/file", "acl/folder"):
        shown = [os.getxattr(top / name, "system.posix_acl_access") for top in both.directories]
        check_equal(shown[1], shown[0], f"access ACL of {name}")
        both.want(f"os.getxattr('{name}', 'system.posix_acl_access')", shown[0])
    both.want("v.update(fd=os.open('.', os.O_TMPFILE | os.O_RDWR, 0o640))", None)
    both.do("[about(os.fstat(v['fd'])), os.write(v['fd'], b'unseen'), os.pread(v['fd'], 9, 0), os.close(v['fd'])]")
    both.compare()


def rights(both):
    """A client may do what its user may do on the machine: mode, ACL, sticky bit, protected links.
    """
    def prepare(top):
        for name, user, group, mode in (("secret", 0, 0, 0o600), ("readable", 0, 0, 0o644), ("of-team", 0, TEAM, 0o660),
                                        ("own", USER, GROUP, 0o644), ("granted", 0, 0, 0o600), ("masked", 0, TEAM, 0o600)):
            (top / name).write_text(name)
            own(top / name, user, group, mode)
        os.setxattr(top / "granted", "system.posix_acl_access", acl(
            ("user", None, 6), ("user:", USER, 4), ("group", None, 0), ("mask", None, 4), ("other", None, 0)))
        os.setxattr(top / "masked", "system.posix_acl_access", acl(
            ("user", None, 6), ("user:", OTHER, 6), ("group", None, 4), ("mask", None, 6), ("other", None, 0)))
        for name, mode in (("closed", 0o700), ("sticky", 0o1777), ("read-only", 0o755)):
            (top / name).mkdir()
            (top / name / "inside").write_text("inside")
            own(top / name, 0, 0, mode)

    both.machine(prepare)
    for name in ("secret", "readable", "of-team", "own", "granted", "masked", "closed/inside"):
        both.do(f"read('{name}')")
        both.do(f"os.close(os.open('{name}', os.O_WRONLY))")
        both.do(f"[os.access('{name}', mode) for mode in range(8)]")
    both.want("read('secret')", "EACCES")
    both.want("read('granted')", b"granted")
    both.want("read('masked')", b"masked")
    both.want("os.open('masked', os.O_RDWR)", "EACCES")
    both.want("os.listdir('closed')", "EACCES")
    both.want("os.unlink('sticky/inside')", "EPERM")
    both.want("os.unlink('read-only/inside')", "EACCES")
    both.want("make('read-only/new')", "EACCES")
    both.want("os.link('secret', 'stolen')", "EPERM")
    both.want("os.chown('own', 0, -1)", "EPERM")
    both.want("os.chown('own', -1, 0)", "EPERM")
    both.want("os.chown('own', -1, %d)" % TEAM, None)
    both.want("os.chmod('readable', 0o666)", "EPERM")
    both.want("os.chmod('own', 0o6755)", None)
    both.do("about(os.stat('own'))")
    both.want("os.close(os.open('own', os.O_WRONLY | os.O_TRUNC))", None)
    both.want("about(os.stat('own'))[0]", "'-rwxr-xr-x'")
    both.want("os.utime('own', ns=(1, 981173106123456789))", None)
    both.want("os.stat('own').st_mtime_ns", 981173106123456789)
    both.want("os.utime('readable')", "EACCES")
    both.want("os.setxattr('own', 'user.colour', b'blue')", None)
    both.want("(os.listxattr('own'), os.getxattr('own', 'user.colour'))", (["user.colour"], b"blue"))
    both.want("os.setxattr('own', 'user.colour', b'red', os.XATTR_CREATE)", "EEXIST")
    both.want("os.removexattr('own', 'user.colour')", None)
    both.want("os.getxattr('own', 'user.colour')", "ENODATA")
    both.want("os.setxattr('own', 'trusted.colour', b'blue')", "EPERM")
    both.want("os.setxattr('own', 'system.posix_acl_access', %r)" % acl(
        ("user", None, 6), ("user:", OTHER, 4), ("group", None, 4), ("mask", None, 4), ("other", None, 0)), None)
    shown = [os.getxattr(top / "own", "system.posix_acl_access") for top in both.directories]
    check_equal(shown[1], shown[0], "an ACL that the client has set")
    both.machine(lambda top: own(top / "own", 0, 0, 0o600))
    both.want("read('own')", "EACCES")
    both.compare()


def allocation(both):
    both.want("v.update(fd=os.open('allocated', os.O_CREAT | os.O_RDWR, 0o644))", None)
    both.want("os.posix_fallocate(v['fd'], 0, 65536)", None)
    both.want("(os.fstat(v['fd']).st_size, os.fstat(v['fd']).st_blocks >= 128)", (65536, True))
    both.want("os.close(v['fd'])", None)


def contents(both):
    both.want("v.update(fd=os.open('data', os.O_CREAT | os.O_RDWR, 0o644))", None)
    both.want("os.pwrite(v['fd'], b'0123456789' * 50000, 0)", 500000)
    both.compare()
    both.want("(os.ftruncate(v['fd'], 1234567), os.fstat(v['fd']).st_size)", (None, 1234567))
    both.want("os.truncate('data', 10)", None)
    both.want("os.pread(v['fd'], 100, 5)", b"56789")
    both.want("(os.ftruncate(v['fd'], 1 << 20), os.pwrite(v['fd'], b'end', 1 << 20))", (None, 3))
    both.do("(os.lseek(v['fd'], 0, os.SEEK_END), os.lseek(v['fd'], 65536, os.SEEK_DATA), os.lseek(v['fd'], 0, os.SEEK_HOLE))")
    both.want("os.lseek(v['fd'], 1 << 30, os.SEEK_DATA)", "ENXIO")
    both.want("os.fsync(v['fd'])", None)
    both.want("v.update(to=os.open('copy', os.O_CREAT | os.O_WRONLY, 0o644))", None)
    both.want("[os.sendfile(v['to'], v['fd'], 0, 400000), os.copy_file_range(v['fd'], v['to'], 100000, 100)]", [400000, 100000])
    both.want("os.sendfile(os.memfd_create('here'), v['fd'], -5, 10)", "EINVAL")
    both.want("os.fstatvfs(v['fd']).f_blocks == os.statvfs('.').f_blocks > 0", True)
    both.want("(os.close(v['fd']), os.close(v['to']))", (None, None))
    both.want("(make('one', b'1'), make('two', b'2'), renameat2('one', 'two', %d), read('one'))" % EXCHANGE,
              (None, None, None, b"2"))
    both.want("renameat2('one', 'two', %d)" % NOREPLACE, "EEXIST")
    both.want("(renameat2('one', 'three', %d), read('three'))" % NOREPLACE, (None, b"2"))
    both.want("os.rename('three', 'folder')", "EISDIR")
    both.want("os.rmdir('file')", "ENOTDIR")
    both.compare()


def splices(both):
    both.do("splicing.outcomes()")


def mappings(both):
    """A private mapping is a copy of the file. A shared one is refused. Neither changes anything.
    """
    both.want("make('mapped', b'0123456789' * 1000)", None)
    both.want("v.update(fd=os.open('mapped', os.O_RDONLY))", None)
    for prot in ("mmap.PROT_READ", "mmap.PROT_READ | mmap.PROT_WRITE"):
        both.want(f"(lambda m: (m[:10], m[9990:], len(m)))(mmap.mmap(v['fd'], 10000, mmap.MAP_PRIVATE, {prot}))",
                  (b"0123456789", b"0123456789", 10000))
    both.want("mmap.mmap(v['fd'], 5000, mmap.MAP_PRIVATE, mmap.PROT_READ, offset=4096)[:4]", b"6789")
    both.want("(lambda m: (m.__setitem__(0, 65), m[:3]))(mmap.mmap(v['fd'], 10000, mmap.MAP_PRIVATE))", (None, b"A12"))
    both.want("os.pread(v['fd'], 3, 0)", b"012")
    both.want("os.close(v['fd'])", None)
    both.want("v.update(fd=os.open('mapped', os.O_WRONLY))", None)
    both.want("mmap.mmap(v['fd'], 10000, mmap.MAP_PRIVATE, mmap.PROT_READ)", "EACCES")
    both.want("os.close(v['fd'])", None)
    both.clients[1].ask("mmap.mmap(os.open('mapped', os.O_RDWR), 10000)")
    check_equal(both.clients[1].answer(), "ENODEV", "a shared mapping of a device's file")
    both.compare()


def machine_changes(both):
    """What the machine does shows at once, also to a process that holds the file."""
    def append(top):
        with open(top / "held", "a") as file:
            file.write("more")

    both.machine(lambda top: (top / "held").write_text("first"))
    both.want("v.update(fd=os.open('held', os.O_RDONLY))", None)
    both.want("(os.pread(v['fd'], 99, 0), os.fstat(v['fd']).st_size)", (b"first", 5))
    both.machine(append)
    both.want("(os.pread(v['fd'], 99, 0), os.fstat(v['fd']).st_size)", (b"firstmore", 9))
    both.want("os.lseek(v['fd'], 0, os.SEEK_END)", 9)
    both.machine(lambda top: (top / "held").write_text("FIRST"))
    both.want("(os.pread(v['fd'], 99, 0), os.stat('held').st_size)", (b"FIRST", 5))
    both.machine(lambda top: os.utime(top / "held", ns=(5, 6)))
    both.want("os.fstat(v['fd']).st_mtime_ns", 6)
    both.machine(lambda top: (top / "held").rename(top / "moved"))
    both.want("os.stat('held')", "ENOENT")
    both.want("os.path.samestat(os.stat('moved'), os.fstat(v['fd']))", True)
    both.machine(lambda top: (top / "held").write_text("another"))
    both.want("(read('held'), read('moved'), os.pread(v['fd'], 99, 0))", (b"another", b"FIRST", b"FIRST"))
    both.machine(lambda top: (top / "held").rename(top / "moved"))
    both.want("(read('moved'), os.pread(v['fd'], 99, 0), os.fstat(v['fd']).st_nlink)", (b"another", b"FIRST", 0))
    both.want("os.fchmod(v['fd'], 0o777)", "EPERM")
    both.want("os.close(v['fd'])", None)
    # A name that was not there, and a name that becomes another kind of file.
    both.want("os.stat('kind')", "ENOENT")
    both.machine(lambda top: (top / "kind").write_text("file"))
    both.want("(v.update(fd=os.open('kind', os.O_RDONLY)), read('kind'))", (None, b"file"))
    both.machine(lambda top: ((top / "kind").unlink(), (top / "kind").mkdir(), (top / "kind" / "in").write_text("in")))
    both.want("(os.listdir('kind'), read('kind/in'), os.pread(v['fd'], 9, 0), os.close(v['fd']))", (["in"], b"in", b"file", None))
    # A directory that is held open: it moves, and a symbolic link takes its place.
    both.want("v.update(dir=os.open('kind', os.O_RDONLY))", None)
    both.machine(lambda top: ((top / "kind").rename(top / "elsewhere"), (top / "kind").symlink_to("closed")))
    both.want("(read('in', v['dir']), os.stat('in', dir_fd=v['dir']).st_size, os.listdir(v['dir']))", (b"in", 2, ["in"]))
    both.machine(lambda top: ((top / "elsewhere" / "in").unlink(), (top / "elsewhere" / "out").write_text("out")))
    both.want("(os.listdir(v['dir']), read('out', v['dir']))", (["out"], b"out"))
    both.want("read('in', v['dir'])", "ENOENT")
    both.machine(lambda top: own(top / "elsewhere", USER, GROUP, 0o700))
    both.want("make('new', b'new', 0o644, v['dir'])", None)
    both.machine(lambda top: own(top / "elsewhere", 0, 0, 0o700))
    both.want("read('new', v['dir'])", "EACCES")
    both.machine(lambda top: own(top / "elsewhere", 0, 0, 0o755))
    both.want("(read('elsewhere/new'), os.close(v['dir']))", (b"new", None))
    both.want("os.listdir('kind')", "EACCES")
    # Many names, deleted while they are listed.
    both.machine(lambda top: [(top / "elsewhere" / f"name{i}").write_text("") for i in range(3000)])
    both.want("len(os.listdir('elsewhere'))", 3002)
    both.machine(lambda top: own(top / "elsewhere", USER, GROUP, 0o755))
    both.want("sum(os.unlink(one) is None for one in list(os.scandir('elsewhere')) if 'name' in one.name)", 3000)
    both.want("sorted(os.listdir('elsewhere'))", ["new", "out"])
    both.compare()


def client_changes(both):
    """The machine sees what a client does before the client's call returns."""
    both.machine(lambda top: (top / "log").write_text("machine\n"))
    both.machine(lambda top: own(top / "log", USER, GROUP, 0o644))
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(top / "log", "rb")) for top in both.directories]
        both.want("(v.update(fd=os.open('log', os.O_RDWR | os.O_APPEND)), os.write(v['fd'], b'client\\n'))", (None, 7))
        for file in files:
            check_equal(file.read(), b"machine\nclient\n", "what the machine reads of a file that it holds")
        both.want("os.lseek(v['fd'], 0, os.SEEK_CUR)", 15)
        both.want("(os.ftruncate(v['fd'], 3), os.rename('log', 'log.1'))", (None, None))
        for file, top in zip(files, both.directories):
            check_equal(os.fstat(file.fileno()).st_size, 3, "size after the client's ftruncate")
            check(os.path.samestat(os.fstat(file.fileno()), (top / "log.1").stat()), "the client's rename")
        both.want("(os.unlink('log.1'), os.write(v['fd'], b'last'), os.close(v['fd']))", (None, 4, None))
        for file in files:
            file.seek(0)
            check_equal((file.read(), os.fstat(file.fileno()).st_nlink), (b"maclast", 0), "an unlinked file")
    both.machine(lambda top: (top / "both").write_text(""))
    both.machine(lambda top: own(top / "both", USER, GROUP, 0o644))
    for one in both.clients:
        one.ask(f"append_lines('both', 'client', {APPENDS})")
    both.machine(lambda top: append_lines(top / "both", "machine", APPENDS))
    check_equal([one.answer() for one in both.clients], ["None", "None"], "appending beside the machine")
    for top in both.directories:
        lines = read(top / "both").decode().splitlines()
        want = [f"{tag} {i} {'x' * (i * 97 % 9000)}" for tag in ("client", "machine") for i in range(APPENDS)]
        check_equal(sorted(lines), sorted(want), "the lines that both have appended")
        (top / "both").unlink()


def locks(both):
    """flock and both kinds of fcntl locks hold between a client and a process of the machine."""
    both.machine(lambda top: (top / "locked").write_text("x" * 100))
    both.machine(lambda top: own(top / "locked", USER, GROUP, 0o600))
    both.want("v.update(fd=os.open('locked', os.O_RDWR), again=os.open('locked', os.O_RDWR))", None)
    kinds = (("fcntl.flock(v['fd'], fcntl.LOCK_EX%s)", " | fcntl.LOCK_NB", "fcntl.flock(v['fd'], fcntl.LOCK_UN)",
              lambda file: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB), lambda file: fcntl.flock(file, fcntl.LOCK_UN)),
             ("fcntl.fcntl(v['fd'], *posix_lock(fcntl.F_WRLCK, 10%s)) and None", "", None, None, None),
             ("fcntl.fcntl(v['fd'], *posix_lock(fcntl.F_WRLCK, 10, ofd=True%s)) and None", "", None, None, None))
    for take, nonblocking, release, machine_take, machine_release in kinds:
        ofd = ", ofd=True" if "ofd" in take else ""
        wait = take % "" if nonblocking else take % ", wait=True"
        take = take % nonblocking
        release = release or f"fcntl.fcntl(v['fd'], *posix_lock(fcntl.F_UNLCK{ofd})) and None"
        machine_take = machine_take or (lambda file: fcntl.fcntl(file, *posix_lock(fcntl.F_WRLCK, 5)))
        machine_release = machine_release or (lambda file: fcntl.fcntl(file, *posix_lock(fcntl.F_UNLCK)))
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(open(top / "locked", "r+b")) for top in both.directories]
            both.want(take, None)
            for file in files:
                try:
                    machine_take(file)
                    harness.fail(f"the machine has a lock that the client holds: {take}")
                except OSError as problem:
                    check(problem.errno in (errno.EAGAIN, errno.EACCES), f"{take}: {problem}")
            if "posix_lock" in take and not ofd:  # close() of any descriptor ends a process's locks
                both.want("(os.close(v['again']), v.update(again=os.open('locked', os.O_RDWR)))", (None, None))
            else:
                both.want(release, None)
            for file in files:
                machine_take(file)
            both.want(take, "EAGAIN")
            for one in both.clients:
                one.ask(wait)
            time.sleep(0.1)
            check(all(one.process.log().count("\n") == one.answers for one in both.clients), f"did not wait: {wait}")
            for file in files:
                machine_release(file)
            check_equal([one.answer() for one in both.clients], ["None", "None"], wait)
            both.want(release, None)
    both.want("(os.close(v['fd']), os.close(v['again']))", (None, None))


def symbolic_links(both, outside, beside):
    """Links lead where they would lead on the machine, and never out of what is served."""
    def prepare(top):
        (top / "links").mkdir()
        for name, target in (("near", "../one-file"), ("absolute", top / "one-file"), ("dangling", "nothing"),
                             ("directory", ".."), ("other", beside / "neighbour"), ("loop", "loop")):
            (top / "links" / name).symlink_to(target)
        (top / "one-file").write_text("one")

    (beside / "neighbour").write_text("neighbour")
    both.machine(prepare)
    both.want("(read('links/near'), read('links/absolute'), read('links/directory/one-file'), read('links/other'))",
              (b"one", b"one", b"one", b"neighbour"))
    both.want("read('links/dangling')", "ENOENT")
    both.want("read('links/loop')", "ELOOP")
    both.want("os.readlink('links/near')", repr("../one-file"))
    served = both.directories[1]
    client = both.clients[1]
    up = "../" * 20
    for number, target in enumerate((outside / "secret", up + str(outside / "secret")[1:], "/etc/passwd", "/root",
                                     "/dev/shm", "/proc/self/fd/0", "/proc/1/root/etc/passwd", outside)):
        (served / "links" / f"out{number}").symlink_to(target)
        client.ask(f"os.readlink('links/out{number}')")
        check_equal(client.answer(), repr(str(target)), "a link's text")
        client.ask(f"(read if not os.path.isdir('links/out{number}') else os.listdir)('links/out{number}')")
        got = client.answer()
        check(got in ("ENOENT", "EACCES", "ENXIO", "[]"), f"through a link to {target}: {got}")
        client.ask(f"make('links/out{number}/made')")
        check(client.answer().startswith("E"), f"a file made through a link to {target}")
    # A directory that is held open, and whose place is taken by a link out of it.
    (served / "swap").mkdir()
    (served / "swap" / "secret").write_text("harmless")
    client.ask("v.update(dir=os.open('swap', os.O_RDONLY))")
    check_equal(client.answer(), "None", "a directory held")
    (served / "swap").rename(served / "swapped")
    (served / "swap").symlink_to(outside)
    client.ask("(read('secret', v['dir']), os.close(v['dir']))")
    check_equal(client.answer(), "(b'harmless', None)", "a held directory, and a link in its place")
    client.ask("read('swap/secret')")
    check_equal(client.answer(), "ENOENT", "a link out, in the place of a directory")


def root_client(t, served):
    """Root may do what root may there, but no device nodes, nor reach the instance."""
    root = offloaded(t, served, 0, 0)
    for expression, answer in (("os.mknod('null', 0o666 | stat.S_IFCHR, os.makedev(1, 3))", "EPERM"),
                               ("make('of-root', b'root')", "None"),
                               ("os.chown('of-root', %d, %d)" % (USER, GROUP), "None"),
                               ("read('secret')", "b'secret'")):
        root.ask(expression)
        check_equal(root.answer(), answer, expression)
    found = (served / "of-root").stat()
    check_equal((found.st_uid, found.st_gid), (USER, GROUP), "a chown of root's")
    root.end()


def inherited_umask(t, served):
    """A program that makes a file has the umask with which it was started."""
    t.offloaded("sh", "-c", f"umask 026; exec touch {served}/inherited").ok()
    check_equal(oct((served / "inherited").stat().st_mode & 0o777), "0o640", "mode under umask 026")


def main(t):
    if t.native or os.environ.get("MINO_ENGINE") != "linux":
        harness.skip("the native engine's files are the machine's own")
    native, served, beside, outside = (t.scratch / name for name in ("native", "served", "beside", "outside"))
    for directory in (native, served, beside, outside):
        directory.mkdir()
        directory.chmod(0o777)
    (outside / "secret").write_text("secret")
    config = t.scratch / "config.toml"
    config.write_text(f'[policy]\npaths = ["{served}", "{beside}"]\n')
    t.device.up("--config", str(config))
    instance = t.device.status()["instances"][0]["pid"]

    def held():
        """The served files that the instance holds open: only the directories themselves."""
        files = (os.readlink(one) for one in pathlib.Path(f"/proc/{instance}/fd").iterdir())
        return sorted(file for file in files if file.startswith(str(t.scratch)) and "/run/" not in file)

    check_equal(held(), [str(beside), str(served)], "the files that the instance holds at first")
    both = Both(t, native, served)
    for step in (owners, rights, contents, splices, mappings, machine_changes, client_changes, locks):
        step(both)
        print(f"shared_directory: {step.__name__}")
    symbolic_links(both, outside, beside)
    allocation(both)
    both.end()
    root_client(t, served)
    inherited_umask(t, served)
    t.wait_no_sessions()
    check_equal(held(), [str(beside), str(served)], "the files that the instance holds")
    check_equal(t.device.status()["instances"][0]["pid"], instance, "the instance")
    said = (t.scratch / "run" / "minod.log").read_text()
    check(not re.search("kernel: .*(BUG|WARNING|Oops|panic|Call Trace)", said), f"the kernel complains:\n{said}")
    t.device.down()


if __name__ == "__main__":
    harness.run(main, own_device=True, roles={"client": client})
