#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""PostgreSQL under mino: pgbench over TCP from either side, TLS, COPY, cancelled and killed backends.

Run by ctest as apps.postgres; see harness.py for the arguments. Each connection is a process that
the server forks. A backend waits with epoll, a latch and signals, and pgbench's books must balance.
"""

import os
import pathlib
import re
import signal

import harness
from harness import check, check_equal, sha256, wait_for

SETTINGS = """
listen_addresses = '*'
port = {port}
unix_socket_directories = '{scratch}'
shared_buffers = 16MB
fsync = off
max_connections = 20
log_line_prefix = '%p '
ssl = on
ssl_cert_file = '{scratch}/server.crt'
ssl_key_file = '{scratch}/server.key'
"""
ACCESS = """
local all all trust
host all all 127.0.0.1/32 trust
hostssl all all samenet trust
"""
BALANCES = ("select (select sum(abalance) from pgbench_accounts), (select sum(bbalance) from pgbench_branches), "
            "(select sum(tbalance) from pgbench_tellers), (select sum(delta) from pgbench_history), "
            "(select count(*) from pgbench_history)")


def binaries():
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        harness.skip("postgres is not installed (test/apps/packages.txt names the packages)")
    return found[-1].parent


class Server:
    def __init__(self, t):
        self.t, self.port, self.bin = t, t.port(), binaries()
        self.data = t.scratch / "data"
        self.as_user = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--clear-groups"]
        self.data.mkdir()
        t.scratch.chmod(0o777)  # its AF_UNIX socket goes there
        t.host("openssl", "req", "-new", "-x509", "-nodes", "-days", "2", "-subj", "/CN=device", "-keyout",
               t.scratch / "server.key", "-out", t.scratch / "server.crt").ok()
        t.host("chown", "postgres", self.data, t.scratch / "server.key").ok()
        t.host(*self.as_user, self.bin / "initdb", "-D", self.data, "-A", "trust", "-E", "UTF8",
               "--locale=C", "-N", timeout_s=60).ok()
        with open(self.data / "postgresql.conf", "a", encoding="utf-8") as config:
            config.write(SETTINGS.format(port=self.port, scratch=t.scratch))
        (self.data / "pg_hba.conf").write_text(ACCESS)
        self.process = t.run_offloaded(*self.as_user, self.bin / "postgres", "-D", self.data)
        t.wait_on_device(self.port)
        self.process.wait_log("ready to accept connections")

    def psql(self, runner, address, *arguments, **options):
        return runner(self.bin / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", address, "-p",
                      self.port, "-U", "postgres", *arguments, **options)

    def ask(self, query):
        return self.psql(self.t.host, self.t.device_address(), "-c", query).ok().strip()


def bench(t, server):
    """pgbench, natively from the host over TLS and under mino on the device's loopback, at once."""
    common = ["-U", "postgres", "-p", server.port]
    t.offloaded(server.bin / "pgbench", "-i", "-q", "-h", "127.0.0.1", *common, "postgres", timeout_s=60).ok()
    clients = {
        "host": t.start_host(server.bin / "pgbench", "-n", "-c", "4", "-j", "2", "-t", "150", "-h",
                             t.device_address(), *common, "postgres"),
        "device": t.run_offloaded(server.bin / "pgbench", "-n", "-c", "4", "-j", "2", "-t", "150", "-h",
                                  "127.0.0.1", *common, "postgres")}
    for name, client in clients.items():
        check_equal(client.wait(60), 0, f"exit status of pgbench on the {name}: {client.log()}")
        check("transactions actually processed: 600/600" in client.log(), client.log())
    accounts, branches, tellers, history, count = server.ask(BALANCES).split("|")
    check_equal(count, "1200", "transactions in the history")
    check_equal((branches, tellers, history), (accounts,) * 3, "the books")


def connections(t, server):
    address = t.device_address()
    got = server.psql(t.host, address, "-c", "select ssl, client_addr from pg_stat_ssl join pg_stat_activity "
                      "using (pid) where pid = pg_backend_pid()").ok().strip()
    check_equal(got, f"t|{t.gateway_address()}", "TLS and the client's address as the server sees them")
    refused = server.psql(t.host, address, "-c", "select 1", env={"PGSSLMODE": "disable"})
    check(refused.status == 2 and "no pg_hba.conf entry" in refused.error_text, refused.error_text)
    rows = "".join(f"{i}\t{sha256(str(i).encode())}\n" for i in range(100_000)).encode()
    server.ask("create table copied (i int, t text)")
    server.psql(t.host, address, "-c", "copy copied from stdin", stdin=rows, timeout_s=60).ok()
    back = server.psql(t.offloaded, "127.0.0.1", "-c", "copy (select * from copied order by i) to stdout",
                       timeout_s=60)
    check_equal((back.status, sha256(back.out)), (0, sha256(rows)), "7 MB by COPY there and back")
    notified = server.psql(t.host, address, "-c", "listen news", "-c", "notify news, 'x'").text
    check('notification "news" with payload "x"' in notified, notified)


def interrupted(t, server):
    """Cancelled by a timer, by a request on another connection, by the administrator."""
    late = server.psql(t.host, t.device_address(), "-c", "set statement_timeout = 300", "-c", "select pg_sleep(30)")
    check("canceling statement due to statement timeout" in late.error_text, late.error_text)
    for stop, words in ((signal.SIGINT, "canceling statement due to user request"), (None, "terminating connection")):
        client = server.psql(t.start_host, t.device_address(), "-c", "select pg_sleep(30)")
        sleeper = "select pid from pg_stat_activity where query = 'select pg_sleep(30)'"
        wait_for("the backend to sleep", lambda: server.ask(sleeper))
        if stop:
            client.send_signal(stop)
        else:
            server.ask(f"select pg_terminate_backend(pid) from pg_stat_activity where pid in ({sleeper})")
        check(client.wait(10) != 0 and words in client.log(), client.log())


def killed(t, server):
    """A backend that is killed takes its siblings with it; the server recovers."""
    client = server.psql(t.start_host, t.device_address(), "-c", "select pg_sleep(40)")
    sleeper = "select pid from pg_stat_activity where query = 'select pg_sleep(40)'"
    pid = int(wait_for("the backend to sleep", lambda: server.ask(sleeper)))
    os.kill(pid, signal.SIGKILL)
    check(client.wait(10) != 0, client.log())
    wait_for("the server to recover", lambda: len(re.findall(
        "ready to accept connections", server.process.log())) == 2)
    check_equal(server.ask("select count(*) from pgbench_history"), "1200", "the history after a crash")


def main(t):
    server = Server(t)
    bench(t, server)
    connections(t, server)
    interrupted(t, server)
    killed(t, server)
    check_equal(server.process.stop(signal.SIGINT), 0, "exit status of postgres after SIGINT")


if __name__ == "__main__":
    harness.run(main, needs=["pgbench", "psql", "openssl", "setpriv"], limit_s=150)
