#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""TLS in the device's kernel (kTLS): nginx with SSL_sendfile, openssl and python3, both directions.

Run by ctest as apps.ktls.linux; see harness.py for the arguments. /proc/net/tls_stat, read through
mino, proves that the device's kernel encrypts. nginx's debug log proves that SSL_sendfile carried
every byte. mino's own counter shows whether the bytes crossed: those of a directory that the device
serves (policy.paths) must not, those of host files must. OpenSSL 3.0 gives the kernel both
directions of TLS 1.2, but of TLS 1.3 only what it sends. A newer one may give it both.
"""

import contextlib
import hashlib
import json
import os
import re
import socket
import ssl
import struct
import threading

import harness
from harness import check, check_equal, content, nginx_config, sha256, skip, wait_for

SIZES = (*harness.CONTENT_SIZES, 8 << 20)
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
ENABLE_KTLS = 1 << 3  # SSL_OP_ENABLE_KTLS; python3.11 has no name for it

HTTP = """
  sendfile on;
  keepalive_timeout 30;
  client_max_body_size 16m;
  ssl_certificate {scratch}/cert.pem;
  ssl_certificate_key {scratch}/key.pem;
  ssl_protocols TLSv1.2 TLSv1.3;
  server {{
    listen 0.0.0.0:{port} ssl http2;
    ssl_conf_command Options KTLS;
    location /device/ {{ alias {scratch}/device/; }}
    location /host/ {{ alias {scratch}/host/; }}
    location /copied/ {{ alias {scratch}/host/; sendfile off; }}
    location /upload/ {{ alias {scratch}/uploads/; dav_methods PUT; }}
  }}
  server {{
    listen 0.0.0.0:{plain_port} ssl;
    location / {{ alias {scratch}/device/; }}
  }}
"""

# Any program that makes a context from OpenSSL's defaults has kTLS by this file, also s_client.
OPENSSL_CONFIG = """openssl_conf = top
[top]
ssl_conf = contexts
[contexts]
system_default = every
[every]
Options = KTLS
"""


class TlsStat:
    """What the device's kernel has counted since this was made, as {"TxSw": 1, ...}."""

    def __init__(self, t):
        self.t, self.before = t, self.read(t)

    @staticmethod
    def read(t):
        lines = t.offloaded("cat", "/proc/net/tls_stat").ok().splitlines()
        return {name.removeprefix("Tls"): int(value) for name, value in map(str.split, lines)}

    def since(self):
        now = self.read(self.t)
        return {name: now[name] - value for name, value in self.before.items()}

    def check(self, what, version, sent, received):
        """sent and received: the kernel side of connections, according to OpenSSL 3.0's rules."""
        got = self.since()
        check_equal(got["TxSw"], sent, f"{what}: connections that the kernel encrypted")
        if version == "1.2":
            check_equal(got["RxSw"], received, f"{what}: connections that the kernel decrypted")
        else:
            check(0 <= got["RxSw"] <= received, f"{what}: {got}")
        check_equal(got["DecryptError"], 0, f"{what}: TlsDecryptError")


def bytes_in(t):
    return t.device.status()["counters"]["bytes_in"]


class Nginx:
    def __init__(self, t):
        self.t, self.port, self.plain_port = t, t.port(), t.port()
        self.log_path = t.scratch / "error.log"
        config = nginx_config(t.scratch, HTTP.format(scratch=t.scratch, port=self.port, plain_port=self.plain_port),
                              workers=2, error_log=f"{self.log_path} debug")
        self.base = f"https://{t.device_address()}:{self.port}"
        self.process = t.run_offloaded("nginx", "-p", t.scratch, "-e", "stderr", "-c", config,
                                       "-g", "daemon off;")
        t.wait_on_device(self.port)
        t.wait_on_device(self.plain_port)
        self.seen = 0

    def sent_by_sendfile(self):
        """The bytes that SSL_sendfile took since the last time, by nginx's debug log."""
        with open(self.log_path, "rb") as log:
            log.seek(self.seen)
            news = log.read()
        self.seen += len(news)
        return sum(int(count) for count in re.findall(rb"SSL_sendfile: (\d+)", news))


def curl(t, *arguments, version=None, **options):
    versions = ["--tlsv" + version, "--tls-max", version] if version else []
    return t.host("curl", "-sSf", "--http1.1", "--max-time", "25", "--cacert",
                  t.scratch / "cert.pem", *versions, *arguments, **options)


def served(t, nginx, version, place):
    """One connection for each size: its content, and who encrypted, sent and carried it."""
    stat, before = TlsStat(t), bytes_in(t)
    nginx.sent_by_sendfile()
    for size in SIZES:
        got = curl(t, f"{nginx.base}/{place}/{size}", version=version)
        check_equal((got.status, sha256(got.out)), (0, sha256(content(size))),
                    f"/{place}/{size} over TLS {version}: {got.error_text}")
    payload, what = sum(SIZES), f"TLS {version}, /{place}/"
    if place != "device":
        # A call is counted when it has ended. Its last bytes may be at curl before that.
        wait_for(f"{what}: the {payload} bytes to be counted", lambda: bytes_in(t) - before >= payload)
    crossed = bytes_in(t) - before
    stat.check(what, version, len(SIZES), len(SIZES))
    check_equal(nginx.sent_by_sendfile(), 0 if place == "copied" else payload,
                f"{what}: bytes that SSL_sendfile sent")
    if place == "device":
        check(crossed < payload / 100, f"{what}: {crossed} bytes crossed for {payload} on the "
              "device")
    print(f"ktls: {what}: {payload} bytes served, {crossed} crossed; "
          f"{ {name: value for name, value in stat.since().items() if value} }")


def without_ktls(t, nginx):
    """The control: without the option, the same nginx and OpenSSL do not use the kernel."""
    stat = TlsStat(t)
    nginx.sent_by_sendfile()
    got = curl(t, f"https://{t.device_address()}:{nginx.plain_port}/65536")
    check_equal(sha256(got.out), sha256(content(65536)), "a server without kTLS")
    check(not any(stat.since().values()), f"a server without kTLS moved {stat.since()}")
    check_equal(nginx.sent_by_sendfile(), 0, "SSL_sendfile of a server without kTLS")


def parts_and_connections(t, nginx):
    for place in ("device", "host"):
        got = curl(t, "-r", "1000001-1999999", f"{nginx.base}/{place}/5000000")
        check_equal(sha256(got.out), sha256(content(5_000_000)[1_000_001:2_000_000]),
                    f"a range of a file on the {place}")
        for protocol in ("--http1.1", "--http2"):
            stat = TlsStat(t)
            urls = [f"{nginx.base}/{place}/{size}" for size in SIZES[:-1]]
            got = curl(t, protocol, *urls)
            check_equal(sha256(got.out), sha256(b"".join(content(size) for size in SIZES[:-1])),
                        f"all files of the {place} on one connection, {protocol}")
            check_equal(stat.since()["TxSw"], 1, f"connections used by {protocol}")
        targets = [argument for number in range(8) for argument in
                   ("-o", t.scratch / f"parallel{number}", f"{nginx.base}/{place}/8388608")]
        curl(t, "--parallel", "--parallel-immediate", "--parallel-max", "8", *targets).ok()
        for number in range(8):
            check_equal(sha256((t.scratch / f"parallel{number}").read_bytes()),
                        sha256(content(8 << 20)), f"download {number} of 8 at once, {place}")


def ciphers(t, nginx):
    """The device's ss shows the kernel's name of each cipher. The end on the host has no kTLS."""
    for name, shown in (("ECDHE-ECDSA-AES128-GCM-SHA256", "aes-gcm-128"),
                        ("ECDHE-ECDSA-AES256-GCM-SHA384", "aes-gcm-256"),
                        ("ECDHE-ECDSA-CHACHA20-POLY1305", None)):  # ss 6.1 does not know it
        stat, path = TlsStat(t), t.scratch / f"slow-{name}"
        client = t.start_host("curl", "-sSf", "--max-time", "25", "--http1.1", "--cacert",
                              t.scratch / "cert.pem", "--tls-max", "1.2", "--ciphers", name,
                              "--limit-rate", "4M", "-o", path, f"{nginx.base}/device/8388608")
        cipher = f"cipher: {shown} " if shown else "(?:cipher: [^ ]* )?"
        want = re.compile(f"tcp-ulp-tls version: 1.2 {cipher}rxconf: sw txconf: sw")
        wait_for(f"{want.pattern} in the device's ss", lambda: want.search(
            t.device.ss(t, "-tie", "state", "connected", f"sport = :{nginx.port}")))
        on_host = t.host("ss", "-tie", "state", "connected", f"dport = :{nginx.port}").ok()
        check("tcp-ulp" not in on_host, f"a TLS socket in the host's kernel:\n{on_host}")
        check_equal(client.wait(25), 0, f"exit status of curl with {name}")
        check_equal(sha256(path.read_bytes()), sha256(content(8 << 20)), f"download with {name}")
        stat.check(name, "1.2", 1, 1)


def uploads(t, nginx):
    """nginx receives: the kernel decrypts (TLS 1.2); the workers, www-data, write host files."""
    for version in VERSIONS:
        stat, body = TlsStat(t), content(3_000_000)
        curl(t, "-T", "-", f"{nginx.base}/upload/{version}", stdin=body, version=version).ok()
        got = (t.scratch / "uploads" / version).read_bytes()
        check_equal(sha256(got), sha256(body), f"a file put over TLS {version}")
        stat.check(f"PUT over TLS {version}", version, 1, 1)


def changed_file(t, nginx):
    """What the host writes into a served directory, the device serves."""
    path = t.scratch / "device" / "changing"
    for body in (b"one", b"two", b"and much longer", b""):
        path.write_bytes(body)
        check_equal(curl(t, f"{nginx.base}/device/changing").out, body, "a file just rewritten")
    path.unlink()
    check_equal(curl(t, f"{nginx.base}/device/changing").status, 22, "a file just removed")


class HostTls:
    """A TLS server on the host: reads a length and so many bytes; answers with sha256, bytes."""

    def __init__(self, t, size):
        self.size = size
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(t.scratch / "cert.pem", t.scratch / "key.pem")
        self.listener = socket.create_server((t.gateway_address(), 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.work, daemon=True).start()

    def work(self):
        with contextlib.suppress(OSError):  # the listener is closed at the end
            while True:
                connection, _ = self.listener.accept()
                connection.settimeout(20)
                with contextlib.suppress(OSError), connection:  # the client will report it
                    self.serve(self.context.wrap_socket(connection, server_side=True))

    def serve(self, connection):
        with connection, connection.makefile("rb") as stream:
            length = struct.unpack("!I", stream.read(4))[0]
            connection.sendall(hashlib.sha256(stream.read(length)).digest() + content(self.size))
            connection.unwrap()


def client_role(address, port, version, certificate, size):
    """Sends and receives size bytes; prints the checksums that the two ends saw."""
    context = ssl.create_default_context(cafile=certificate)
    context.minimum_version = context.maximum_version = VERSIONS[version]
    context.options |= ENABLE_KTLS
    with socket.create_connection((address, int(port)), timeout=20) as plain, \
            context.wrap_socket(plain, server_hostname=address) as connection:
        spoken = connection.version()
        connection.sendall(struct.pack("!I", int(size)) + content(int(size)))
        got = bytearray()
        while data := connection.recv(1 << 20):
            got += data
    print(json.dumps([got[:32].hex(), sha256(got[32:]), spoken]))


def python_client(t):
    size = 3_000_000
    server = HostTls(t, size)
    for version in VERSIONS:
        stat = TlsStat(t)
        got = t.offloaded(*t.role("client", t.gateway_address(), server.port, version,
                                  t.scratch / "cert.pem", size)).json()
        check_equal(got, [sha256(content(size))] * 2 + ["TLSv" + version],
                    f"what a python3 client sent and received over TLS {version}")
        stat.check(f"python3 client, TLS {version}", version, 1, 1)
    server.listener.close()


def openssl_programs(t):
    """s_client and s_server, with kTLS by their configuration; each says so itself."""
    option = {"OPENSSL_CONF": t.scratch / "openssl.cnf"}
    keys = ["-cert", t.scratch / "cert.pem", "-key", t.scratch / "key.pem"]
    port, device_port = t.port(), t.port()
    t.start_host("openssl", "s_server", "-accept", f"{t.gateway_address()}:{port}", "-WWW", *keys,
                 cwd=t.scratch / "host")
    wait_for("openssl s_server on the host", lambda: any(
        local.endswith(f":{port}") for local, _ in t.host_sockets("-t", "-l")))
    server = t.run_offloaded("openssl", "s_server", "-accept", device_port, "-WWW", "-sendfile",
                             *keys, cwd=t.scratch / "device", env=option)
    t.wait_on_device(device_port)
    for version in VERSIONS:
        stat = TlsStat(t)
        got = t.offloaded("openssl", "s_client", "-connect", f"{t.gateway_address()}:{port}",
                          "-tls" + version.replace(".", "_"), "-CAfile", t.scratch / "cert.pem",
                          "-quiet", stdin=b"GET /1048576 HTTP/1.0\r\n\r\n", env=option)
        check_equal(sha256(got.out.partition(b"\r\n\r\n")[2]), sha256(content(1 << 20)),
                    f"fetched by s_client over TLS {version}: {got.error_text}")
        check("Using Kernel TLS for sending" in got.error_text, got.error_text)
        stat.check(f"s_client, TLS {version}", version, 1, 1)
        stat = TlsStat(t)
        got = curl(t, f"https://{t.device_address()}:{device_port}/5000000", version=version)
        check_equal(sha256(got.out), sha256(content(5_000_000)),
                    f"served by s_server over TLS {version}: {got.error_text}\n{server.log()}")
        stat.check(f"s_server, TLS {version}", version, 1, 1)
    check_equal(server.log().count("KTLS SENDFILE '5000000' OK"), len(VERSIONS),
                f"files that s_server sent by SSL_sendfile:\n{server.log()}")


def setup(t):
    if t.native or os.environ.get("MINO_ENGINE") != "linux":
        skip("only the linux engine's kernel is known to have kTLS")
    for name in ("device", "host", "uploads"):
        (t.scratch / name).mkdir()
    (t.scratch / "uploads").chmod(0o777)  # nginx's workers are www-data
    for size in SIZES:
        (t.scratch / "device" / str(size)).write_bytes(content(size))
        (t.scratch / "host" / str(size)).write_bytes(content(size))
    (t.scratch / "openssl.cnf").write_text(OPENSSL_CONFIG)
    config = t.scratch / "minod.toml"
    config.write_text(f'[policy]\npaths = ["{t.scratch}/device"]\n')
    up = t.device.up
    t.device.up = lambda: up("--config", config)


def make_certificate(t):
    names = ",".join(f"IP:{address}" for address in (t.device_address(), t.gateway_address()))
    t.host("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
           "-nodes", "-days", "2", "-subj", "/CN=mino.test", "-addext", f"subjectAltName={names}",
           "-keyout", t.scratch / "key.pem", "-out", t.scratch / "cert.pem").ok()


def main(t):
    make_certificate(t)
    nginx = Nginx(t)
    for version in VERSIONS:
        for place in ("device", "host", "copied"):
            served(t, nginx, version, place)
    without_ktls(t, nginx)
    parts_and_connections(t, nginx)
    ciphers(t, nginx)
    uploads(t, nginx)
    changed_file(t, nginx)
    check_equal(nginx.process.stop(), 0, "exit status of nginx")
    python_client(t)
    openssl_programs(t)
    t.stop_all()
    wait_for("no TLS socket left in the device's kernel", lambda: not {
        name for name, value in TlsStat.read(t).items() if name.startswith("Curr") and value}, 10)
    check_equal(TlsStat.read(t)["DecryptError"], 0, "records that the kernel could not decrypt")


if __name__ == "__main__":
    harness.run(main, needs=["nginx", "curl", "openssl"], limit_s=120, setup=setup,
                roles={"client": client_role})
