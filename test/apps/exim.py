#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""exim under mino: mail in by SMTP from either side, into files, and on to a server on the host.

Run by ctest as apps.exim; see harness.py for the arguments. The daemon forks for each connection
and each delivery. deliver_drop_privilege, because exim4 is a set-uid program: where it executes
itself to be root again, the kernel lets no library into it, mino's neither.
"""

import email
import smtplib
import socketserver
import threading

import harness
from harness import check_equal, sha256, wait_for

CONFIG = """
primary_hostname = device.test
spool_directory = {folder}/spool
log_file_path = {folder}/spool/%slog
exim_user = Debian-exim
exim_group = Debian-exim
local_interfaces = 0.0.0.0.{port}
daemon_smtp_ports = {port}
keep_environment =
rfc1413_query_timeout = 0s
host_lookup =
never_users =
message_size_limit = 20M
deliver_drop_privilege
acl_smtp_rcpt = accept
acl_smtp_data = accept
begin acl
accept:
  accept
begin routers
far:
  driver = manualroute
  domains = far.test
  transport = smtp
  route_list = * {gateway}
  self = send
near:
  driver = accept
  local_parts = host : device
  transport = files
begin transports
files:
  driver = appendfile
  directory = {folder}/mail/$local_part_data
  maildir_format
  create_directory
smtp:
  driver = smtp
  port = {relay}
  hosts_avoid_tls = *
begin retry
* * F,1h,1s
"""


class Relay(socketserver.ThreadingTCPServer):
    """The smallest SMTP server: keeps what it is given, and who gave it."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, address):
        super().__init__((address, 0), self.Session)
        self.got = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    class Session(socketserver.StreamRequestHandler):
        def handle(self):
            self.wfile.write(b"220 host.test\r\n")
            while line := self.rfile.readline():
                word = line[:4].upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    lines = []
                    while (line := self.rfile.readline()) not in (b".\r\n", b""):
                        lines.append(line[1:] if line.startswith(b"..") else line)
                    self.server.got.append((self.client_address[0], b"".join(lines)))
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 yes\r\n")
                if word == b"QUIT":
                    return


def message(subject, size):
    lines = "".join(f"{number:060d}\n" for number in range(size // 61))
    return f"From: a@host.test\nTo: b@near.test\nSubject: {subject}\n\n{lines}"


def send(address, port, to, subject, size):
    with smtplib.SMTP(address, int(port), "client.test", timeout=20) as server:
        server.sendmail("a@host.test", to.split(","), message(subject, int(size)))


def body(raw):
    parsed = email.message_from_bytes(raw)
    return parsed["Subject"], sha256(parsed.get_payload().replace("\r\n", "\n").rstrip("\n").encode())


def expected(subject, size):
    return subject, sha256(message(subject, size).split("\n\n", 1)[1].rstrip("\n").encode())


def main(t):
    port, relay = t.port(), Relay(t.gateway_address())
    (t.scratch / "spool").mkdir()
    (t.scratch / "mail").mkdir()
    t.host("chown", "Debian-exim:Debian-exim", t.scratch / "spool", t.scratch / "mail").ok()
    config = t.scratch / "exim.conf"
    config.write_text(CONFIG.format(folder=t.scratch, port=port, gateway=t.gateway_address(),
                                    relay=relay.server_address[1]))
    server = t.run_offloaded("exim4", "-C", config, "-bdf", "-q1m")
    t.wait_on_device(port)

    def delivered(who):
        return {body(path.read_bytes()) for path in (t.scratch / "mail" / who / "new").glob("*")}

    for size in (100, 60000, 3_000_000):
        t.host(*t.role("send", t.device_address(), port, "host@near.test", f"from the host {size}", size)).ok()
        t.offloaded(*t.role("send", "127.0.0.1", port, "device@near.test,x@far.test", f"within {size}", size)).ok()
    sizes = (100, 60000, 3_000_000)
    for who, subject in (("host", "from the host"), ("device", "within")):
        wait_for(f"mail to {who}", lambda: delivered(who) == {expected(f"{subject} {size}", size) for size in sizes}, 20)
    wait_for("relayed mail", lambda: len(relay.got) == 3, 20)
    check_equal({address for address, _ in relay.got}, {t.device_address()}, "where relayed mail came from")
    check_equal({body(raw) for _, raw in relay.got}, {expected(f"within {size}", size) for size in sizes}, "relayed")
    got = t.offloaded("exim4", "-C", config, "-bpc").ok()
    check_equal(got.strip(), "0", "messages left in the queue")
    server.stop()


if __name__ == "__main__":
    harness.run(main, needs=["exim4"], roles={"send": send})
