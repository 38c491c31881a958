#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""haproxy under mino before two nginx, on the device and on the host: balance, failure, reload of 300 binds under load.

Run by ctest as apps.haproxy; see harness.py for the arguments. In its master-worker mode haproxy
executes itself anew at each reload and inherits its listening sockets. A second haproxy fetches
them from the first over its AF_UNIX socket.
"""

import os
import signal

import harness
from device import children
from harness import check_equal, content, nginx_config, sha256, wait_for
from load import CurlLoop

SIZE = 65536
FIRST, LAST = 14000, 14299  # 300 more sockets to listen at; below those of t.port(), and what the kernel gives out

HTTP = """
  server {{
    listen {address}:{port};
    root {folder};
    location /name {{ return 200 "{name}\\n"; }}
  }}
"""

HAPROXY = """
global
  stats socket {folder}/control.sock mode 600 level admin expose-fd listeners
defaults
  mode http
  retries 3
  option redispatch
  timeout connect 2s
  timeout check 2s
  timeout client 20s
  timeout server 20s
frontend front
  bind 0.0.0.0:{port}
  bind 127.0.0.1:{first}-{last}
  http-request return status 200 content-type text/plain string "{version}" if {{ path /version }}
  default_backend back
backend back
  balance roundrobin
  option httpchk GET /name
  default-server check inter 200ms fall 2 rise 1 on-marked-down shutdown-sessions
{servers}
"""


class Nginx:
    """One of the two servers behind haproxy; it runs wherever `start` starts it."""

    def __init__(self, t, name, address, start):
        self.t, self.name, self.address, self.port, self.start = t, name, address, t.port(), start
        self.folder = t.scratch / name
        self.folder.mkdir()
        (self.folder / "file").write_bytes(content(SIZE))
        self.config = nginx_config(self.folder, HTTP.format(
            folder=self.folder, address=address, port=self.port, name=name))
        self.up()

    def up(self):
        self.process = self.start("nginx", "-p", self.folder, "-e", "stderr", "-c",
                                  self.config, "-g", "daemon off;")
        self.process.wait_log("start worker processes")

    def down(self):
        check_equal(self.process.stop(signal.SIGTERM), 0, f"exit status of nginx {self.name}")


class Haproxy:
    def __init__(self, t, servers):
        self.t, self.servers, self.port = t, servers, t.port()
        self.config = t.scratch / "haproxy.cfg"
        self.base = f"http://{t.device_address()}:{self.port}"
        self.write_config(1)
        self.process = t.run_offloaded("haproxy", "-W", "-db", "-f", self.config)
        t.wait_on_device(self.port)

    def write_config(self, version):
        lines = [f"  server {server.name} {server.address}:{server.port}" for server in self.servers]
        self.config.write_text(HAPROXY.format(folder=self.t.scratch, port=self.port, version=version,
                                              first=FIRST, last=LAST, servers="\n".join(lines)))

    def master(self):
        """The pid of haproxy itself: `mino run` becomes the program, and so does `ip netns exec`.
        """
        return self.process.pid

    def get(self, path):
        return self.t.host("curl", "-sSf", "--max-time", "10", self.base + path)

    def names(self, count=6):
        """The servers that answered so many requests."""
        return {self.get("/name").text.strip() for _ in range(count)}


def all_listen(t):
    """Each of the 300 sockets listens, on the device."""
    want = {f"127.0.0.1:{port}" for port in range(FIRST, LAST + 1)}
    check_equal(want - {local for local, _ in t.device_sockets("-tl")}, set(), "ports at which nobody listens")
    check_equal(want & {local for local, _ in t.host_sockets("-tl")}, set(), "ports of the host's")


def balance(haproxy, both):
    wait_for("both servers to be asked", lambda: haproxy.names() == both)
    got = haproxy.get("/file")
    check_equal((got.status, sha256(got.out)), (0, sha256(content(SIZE))), "a file through haproxy")


def failure(haproxy, servers):
    """While one server is away the other answers everything; then it comes back."""
    for server in servers:
        server.down()
        others = {other.name for other in servers if other is not server}
        wait_for(f"{others} to answer alone", lambda: haproxy.names() == others)
        server.up()
        wait_for("both servers again", lambda: len(haproxy.names()) == 2)


def reload_under_load(haproxy):
    with CurlLoop(haproxy.t, haproxy.base + "/file", SIZE) as loop:
        for version in range(2, 5):
            before = set(children(haproxy.master()))
            haproxy.write_config(version)
            os.kill(haproxy.master(), signal.SIGUSR2)
            wait_for("a new worker and no old one", lambda: children(haproxy.master()) and
                     not before & set(children(haproxy.master())), 20)
            wait_for("the new configuration", lambda: haproxy.get("/version").text == str(version))
            loop.wait_more()
    loop.check_no_failures("reloads")
    all_listen(haproxy.t)


def take_over(t, haproxy):
    """A second haproxy gets the sockets of the first by SCM_RIGHTS, and tells it to finish."""
    with CurlLoop(t, haproxy.base + "/file", SIZE) as loop:
        haproxy.write_config(9)
        second = t.run_offloaded("haproxy", "-db", "-f", haproxy.config, "-x",
                                 t.scratch / "control.sock", "-sf", *children(haproxy.master()))
        wait_for("the second's configuration", lambda: haproxy.get("/version").text == "9")
        loop.wait_more()
    loop.check_no_failures("the take-over")
    all_listen(t)
    check_equal(second.stop(signal.SIGUSR1), 0, "exit status of the second haproxy")


def main(t):
    servers = [Nginx(t, "far", t.gateway_address(), t.start_host),
               Nginx(t, "near", "127.0.0.1", t.run_offloaded)]
    haproxy = Haproxy(t, servers)
    balance(haproxy, {server.name for server in servers})
    failure(haproxy, servers)
    reload_under_load(haproxy)
    take_over(t, haproxy)
    haproxy.process.wait(15)  # its worker was told to finish
    for server in servers:
        server.down()


if __name__ == "__main__":
    harness.run(main, needs=["haproxy", "nginx", "curl"], limit_s=150)
