#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""nginx with two workers under mino: content, wrk, proxying, reload and binary upgrade under load.

Run by ctest as apps.nginx; see harness.py for the arguments. The workers run as www-data, as Debian
ships nginx, so their proxies must have changed credentials too.
"""

import contextlib
import os
import re
import signal
import time

import harness
from device import children
from harness import check, check_equal, content, nginx_config, sha256, wait_for
from load import CurlLoop
from peers import HostHttp

HTTP = """
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 30;
  client_max_body_size 16m;
  server {{
    listen 0.0.0.0:{port};
    root {scratch}/www;
    location /slow/ {{ alias {scratch}/www/; limit_rate 2m; }}
    location /copied/ {{ alias {scratch}/www/; sendfile off; }}
    location /upstream/ {{ proxy_pass http://{gateway}:{upstream}/; }}
    location /version {{ return 200 "{version}\\n"; }}
  }}
"""


class Nginx:
    def __init__(self, t, upstream, daemon=False):
        self.t, self.port, self.upstream = t, t.port(), upstream
        self.write_config(1)
        self.base = f"http://{t.device_address()}:{self.port}"
        if daemon:
            t.offloaded(*self.argv()).ok()
        else:
            self.process = t.run_offloaded(*self.argv(), "-g", "daemon off;")
        t.wait_on_device(self.port)
        self.pid = int(wait_for("nginx's pid file", self.read_pid))

    def read_pid(self):
        path = self.t.scratch / "nginx.pid"
        return path.read_text().strip() if path.exists() else ""

    def argv(self):
        return ["/usr/sbin/nginx", "-p", self.t.scratch, "-e", "stderr", "-c", self.config]

    def write_config(self, version):
        self.config = nginx_config(self.t.scratch, HTTP.format(
            scratch=self.t.scratch, port=self.port, gateway=self.t.gateway_address(),
            upstream=self.upstream, version=version), workers=2)

    def workers(self):
        return set(children(self.pid))


def served_content(t, nginx):
    for prefix in ("", "/copied"):
        for size in harness.CONTENT_SIZES:
            got = t.host("curl", "-sSf", f"{nginx.base}{prefix}/{size}")
            check_equal((got.status, sha256(got.out)), (0, sha256(content(size))),
                        f"{prefix}/{size}: {got.error_text}")
    got = t.host("curl", "-sSf", "-r", "1000000-1999999", f"{nginx.base}/5000000")
    check_equal(sha256(got.out), sha256(content(5_000_000)[1_000_000:2_000_000]), "a range of 1 MB")
    check_equal(t.host("curl", "-sSf", f"{nginx.base}/none").status, 22, "a file that is not there")
    got = t.offloaded("curl", "-sSf", f"http://127.0.0.1:{nginx.port}/65536")
    check_equal(sha256(got.out), sha256(content(65536)), "fetched by curl under mino")


def proxying(t, nginx, server):
    for size in (1, 65536, 5_000_000):
        got = t.host("curl", "-sSf", f"{nginx.base}/upstream/bytes/{size}")
        check_equal(sha256(got.out), sha256(content(size)), f"{size} bytes through proxy_pass")
    body = content(3_000_000)
    got = t.host("curl", "-sSf", "--data-binary", "@-", f"{nginx.base}/upstream/up", stdin=body)
    want = {"sha256": sha256(body), "length": len(body)}
    check_equal(got.json(), want, "POST through proxy_pass")
    check_equal(server.peers, {t.device_address()}, "addresses that the upstream server saw")


def wrk(t, nginx):
    for path in ("/4096", "/65536"):
        out = t.host("wrk", "-t1", "-c32", "-d3s", "--timeout", "5s", nginx.base + path).ok()
        requests = int(re.search(r"(\d+) requests in", out).group(1))
        check(requests > 100, f"wrk made {requests} requests in 3 s:\n{out}")
        check("Socket errors" not in out and "Non-2xx" not in out, f"wrk met errors:\n{out}")


def reload_under_load(t, nginx):
    with CurlLoop(t, nginx.base + "/65536", 65536) as loop:
        for number in range(2, 6):
            before = nginx.workers()
            nginx.write_config(number)
            # As a user would: by signal, and by nginx itself, natively and under mino.
            if number == 2:
                nginx.t.host("kill", "-HUP", nginx.pid).ok()
            elif number == 3:
                t.host(*nginx.argv(), "-s", "reload").ok()
            else:
                t.offloaded(*nginx.argv(), "-s", "reload").ok()
            wait_for(f"two new workers and no old one after reload {number - 1}", lambda: len(
                nginx.workers()) == 2 and not nginx.workers() & before, 20)
            loop.wait_more()
            got = t.host("curl", "-sSf", nginx.base + "/version").ok()
            check_equal(got, f"{number}\n", "the configuration in force")
    loop.check_no_failures("reloads")
    t.wait_on_device(nginx.port)


def graceful_quit(t, nginx):
    client = t.start_host("curl", "-sSf", "-o", t.scratch / "slow", nginx.base + "/slow/5000000")
    wait_for("the slow download's first bytes", lambda: (t.scratch / "slow").exists())
    time.sleep(0.2)
    os.kill(nginx.pid, signal.SIGQUIT)
    wait_for("the listening socket to go", lambda: t.host(
        "curl", "-s", nginx.base + "/1").status == 7, 10, 0.1)
    check(client.alive(), "the slow download ended before nginx could drain it")
    check_equal(client.wait(20), 0, "exit status of the slow download")
    check_equal(sha256((t.scratch / "slow").read_bytes()), sha256(content(5_000_000)),
                "slow download over a graceful quit")
    check_equal(nginx.process.wait(15), 0, "exit status of nginx after SIGQUIT")


def binary_upgrade(t, upstream):
    """USR2: the old master executes the new binary, which takes the listening sockets over."""
    nginx = Nginx(t, upstream, daemon=True)
    try:
        upgrade(nginx)
    except Exception:  # a daemon with an environment of its own would stay for ever
        for pid in {nginx.pid, int(nginx.read_pid() or nginx.pid)}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        raise


def upgrade(nginx):
    old = nginx.pid
    with CurlLoop(nginx.t, nginx.base + "/65536", 65536) as loop:
        os.kill(old, signal.SIGUSR2)
        new = wait_for("the new master", lambda: [
            pid for pid in children(old) if len(children(pid)) == 2], 20)[0]
        loop.wait_more()
        for number in (signal.SIGWINCH, signal.SIGQUIT):  # the old workers go, then the old master
            os.kill(old, number)
            wait_for("the old workers to go", lambda: not [
                pid for pid in children(old) if pid != new], 20)
        wait_for("the old nginx to end", lambda: not os.path.exists(f"/proc/{old}"))
        loop.wait_more()
    loop.check_no_failures("the upgrade")
    check_equal(int(nginx.read_pid()), new, "the pid in force")
    os.kill(new, signal.SIGQUIT)
    wait_for("the new nginx to end", lambda: not os.path.exists(f"/proc/{new}"))


def main(t):
    (t.scratch / "www").mkdir()
    for size in harness.CONTENT_SIZES:
        (t.scratch / "www" / str(size)).write_bytes(content(size))
    with HostHttp(t.gateway_address()) as server:
        nginx = Nginx(t, server.port)
        served_content(t, nginx)
        proxying(t, nginx, server)
        wrk(t, nginx)
        reload_under_load(t, nginx)
        graceful_quit(t, nginx)
        binary_upgrade(t, server.port)


if __name__ == "__main__":
    harness.run(main, needs=["nginx", "wrk", "curl"], limit_s=150)
