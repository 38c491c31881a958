# SPDX-License-Identifier: Apache-2.0
"""Clients that keep sending requests while a driver does something else, and count failures. Used
by the haproxy and nginx drivers.
"""

import subprocess
import threading

from programs import check, content, sha256, wait_for


class CurlLoop:
    """One curl after another for content(size), in three threads on the host."""

    def __init__(self, t, url, size):
        self.t, self.url, self.want, self.done, self.failures = t, url, sha256(content(size)), 0, []
        self.stopped = threading.Event()
        self.threads = [threading.Thread(target=self.work, daemon=True) for _ in range(3)]

    def work(self):
        while not self.stopped.is_set():
            got = subprocess.run(["curl", "-sSf", "--max-time", "10", self.url],
                                 capture_output=True, env=self.t.env, check=False)
            if got.returncode != 0 or sha256(got.stdout) != self.want:
                self.failures.append((got.returncode, len(got.stdout), got.stderr.decode()))
            self.done += 1

    def wait_more(self, count=20):
        done = self.done
        wait_for(f"{count} more requests", lambda: self.done > done + count)

    def check_no_failures(self, what):
        check(not self.failures, f"{len(self.failures)} of {self.done} requests failed during "
              f"{what}: {self.failures[:3]}")

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join(15)
