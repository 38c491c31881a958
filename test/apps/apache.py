#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Apache's prefork and event workers under mino: content, graceful restarts under load.

Run by ctest as apps.apache; see harness.py for the arguments. Prefork's children wait for each
other in accept, by a lock; event's hand connections from thread to thread, and pass them by epoll.
"""

import os
import signal

import harness
from device import children
from harness import CONTENT_SIZES, check, check_equal, content, sha256, wait_for
from load import CurlLoop

SIZE = 65536

CONFIG = """
ServerRoot {folder}
ServerName localhost
PidFile {folder}/pid
Mutex file:{folder}
DefaultRuntimeDir {folder}
Listen 0.0.0.0:{port}
LoadModule mpm_{workers}_module {modules}/mod_mpm_{workers}.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
User www-data
Group www-data
ErrorLog /dev/stderr
LogLevel notice
DocumentRoot {folder}/www
Redirect 307 /version http://localhost/{version}
StartServers 2
MaxRequestWorkers 50
GracefulShutdownTimeout 10
"""


class Apache:
    def __init__(self, t, workers):
        self.t, self.workers, self.port = t, workers, t.port()
        self.folder = t.scratch / workers
        (self.folder / "www").mkdir(parents=True)
        for size in CONTENT_SIZES:
            (self.folder / "www" / str(size)).write_bytes(content(size))
        self.base = f"http://{t.device_address()}:{self.port}"
        self.write_version(1)
        self.process = t.run_offloaded("apache2", "-f", self.folder / "conf", "-D", "FOREGROUND")
        t.wait_on_device(self.port)

    def write_version(self, version):
        (self.folder / "conf").write_text(CONFIG.format(
            folder=self.folder, port=self.port, workers=self.workers, version=version,
            modules="/usr/lib/apache2/modules"))

    def version(self):
        return self.t.host("curl", "-sS", "--max-time", "10", "-o", "/dev/null", "-w", "%{redirect_url}",
                           self.base + "/version").text.rsplit("/", 1)[-1]


def one_kind(t, workers):
    apache = Apache(t, workers)
    for size in CONTENT_SIZES:
        got = t.host("curl", "-sSf", "--max-time", "20", f"{apache.base}/{size}")
        check_equal((got.status, sha256(got.out)), (0, sha256(content(size))), f"{size} bytes by {workers}")
    with CurlLoop(t, f"{apache.base}/{SIZE}", SIZE) as loop:
        for version in (2, 3):
            before = set(children(apache.process.pid))
            apache.write_version(version)
            os.kill(apache.process.pid, signal.SIGUSR1)
            wait_for("the new configuration", lambda: apache.version() == str(version))
            loop.wait_more()
            wait_for("the old workers' end", lambda: not before & set(children(apache.process.pid)), 20)
    loop.check_no_failures(f"graceful restarts of {workers}")
    check_equal(apache.process.stop(signal.SIGWINCH), 0, f"exit status of {workers} after a graceful stop")
    check("caught SIGWINCH, shutting down gracefully" in apache.process.log(), "no graceful stop in the log")


def main(t):
    for workers in ("prefork", "event"):
        one_kind(t, workers)


if __name__ == "__main__":
    harness.run(main, needs=["apache2", "curl"])
