# SPDX-License-Identifier: Apache-2.0
"""Checks with deadlines, and the programs that a test runs, with their output.

Used by the harness and the drivers. It must know nothing of devices. A program's output goes to a
file and never to a pipe, because a daemon that the program starts may keep a pipe open for ever.
"""

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import tempfile
import time

# Sizes on both sides of the usual sizes of buffers, pages and arenas.
CONTENT_SIZES = (1, 100, 4095, 4096, 4097, 65536, 1 << 20, 5_000_000)


class Failure(Exception):
    """The application or mino did something wrong."""


class Skip(Exception):
    """The test cannot run on this machine."""


def skip(reason):
    raise Skip(reason)


def fail(message):
    raise Failure(message)


def check(condition, message):
    if not condition:
        raise Failure(message)


def check_equal(got, want, what):
    if got != want:
        raise Failure(f"{what}: got {got!r}, want {want!r}")


def wait_for(what, predicate, timeout_s=15.0, interval_s=0.05):
    """Calls predicate until it is true, and returns its result; fails after timeout_s."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure(f"waited {timeout_s:g} s in vain for: {what}")
        time.sleep(interval_s)


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def content(size):
    """The same pseudo-random bytes for the same size, in every process of a test."""
    return random.Random(size).randbytes(size)


def nginx_config(folder, http, workers=1, error_log="stderr notice"):
    """Writes nginx's configuration, which keeps all files in folder, and returns its path.

    http: further lines of its http block.
    """
    temporary = "\n".join(f"  {kind}_temp_path {folder}/{kind};"
                          for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    path = folder / "nginx.conf"
    path.write_text(f"worker_processes {workers};\npid {folder}/nginx.pid;\nerror_log {error_log};\n"
                    "events { worker_connections 512; }\n"
                    f"http {{\n  access_log off;\n{temporary}\n{http}\n}}\n")
    return path


class Process:
    """A program beside the test, in its own process group, with its output in a file."""

    def __init__(self, argv, log_path, env, cwd=None, stdin=None):
        self.argv = [str(arg) for arg in argv]
        self.log_path = log_path
        with open(log_path, "wb") as log:
            self.popen = subprocess.Popen(
                self.argv, stdin=stdin or subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, env=env, cwd=cwd, start_new_session=True)
        self.pid = self.popen.pid

    def log(self):
        return self.log_path.read_text(errors="replace")

    def wait_log(self, text, timeout_s=15.0, interval_s=0.05):
        """Waits until the program has printed text; fails as soon as it no longer can."""
        def printed():
            alive = self.alive()  # before the log is read, so that the last words count
            if text in self.log():
                return True
            if not alive:
                raise Failure(f"ended with {self.popen.returncode} before it printed {text!r}: "
                              f"{' '.join(self.argv)[:300]}\n{self.log()[-2000:]}")
            return False

        wait_for(f"{text!r} from {' '.join(self.argv)[:300]}", printed, timeout_s, interval_s)

    def alive(self):
        return self.popen.poll() is None

    def wait(self, timeout_s=30.0):
        try:
            return self.popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise Failure(f"still runs after {timeout_s:g} s: {' '.join(self.argv)}") from None

    def send_signal(self, number):
        self.popen.send_signal(number)

    def stop(self, number=signal.SIGTERM, timeout_s=15.0):
        """Asks the program to end, and returns its exit status."""
        self.send_signal(number)
        return self.wait(timeout_s)

    def kill(self):
        """Ends the whole group by force, with the children that outlived their leader."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.popen.wait()


class Result:
    """How a program ended that was run to its end."""

    def __init__(self, argv, status, out, err):
        self.argv, self.status, self.out, self.err = argv, status, out, err

    @property
    def text(self):
        return self.out.decode(errors="replace")

    @property
    def error_text(self):
        return self.err.decode(errors="replace")

    def ok(self):
        """Returns standard output as text; fails unless the exit status is 0."""
        if self.status != 0:
            raise Failure(f"{' '.join(self.argv)}\n  exit status {self.status}, want 0\n"
                          f"{self.text[-2000:]}{self.error_text[-2000:]}")
        return self.text

    def json(self):
        text = self.ok()
        try:
            return json.loads(text)
        except ValueError as error:
            raise Failure(f"{' '.join(self.argv)}: no JSON ({error}):\n{text[-2000:]}") from None


def execute(argv, env, timeout_s=30.0, stdin=b"", cwd=None):
    """Runs a program to its end, in a process group of its own, and returns its Result."""
    argv = [str(arg) for arg in argv]
    with tempfile.TemporaryFile() as inp, tempfile.TemporaryFile() as out, \
            tempfile.TemporaryFile() as err:
        inp.write(stdin)
        inp.seek(0)
        popen = subprocess.Popen(argv, stdin=inp, stdout=out, stderr=err, env=env, cwd=cwd,
                                 start_new_session=True)
        status = None
        try:
            status = popen.wait(timeout_s)
        except subprocess.TimeoutExpired:
            pass
        finally:
            if status is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(popen.pid, signal.SIGKILL)
                popen.wait()
        out.seek(0)
        err.seek(0)
        result = Result(argv, status, out.read(), err.read())
    if status is None:
        raise Failure(f"did not end within {timeout_s:g} s: {' '.join(argv)}\n"
                      f"{result.text[-2000:]}{result.error_text[-2000:]}")
    return result
