#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""curl under mino against a server on the host: downloads, uploads, parallel transfers, errors.

Run by ctest as apps.curl; see harness.py for the arguments.
"""


import harness
from harness import check, check_equal, content, sha256, wait_for
from peers import HostHttp

UPLOAD = content(5_000_000)


def downloads(t, server):
    target = t.scratch / "got"
    for size in harness.CONTENT_SIZES:
        out = t.offloaded("curl", "-sS", "-o", target, "-w",
                          "%{http_code} %{local_ip} %{remote_ip}",
                          server.url(f"/bytes/{size}")).ok()
        check_equal(out, f"200 {t.device_address()} {t.gateway_address()}",
                    f"curl -w, {size} bytes")
        check_equal(sha256(target.read_bytes()), sha256(content(size)), f"{size} bytes downloaded")
    check_equal(server.peers, {t.device_address()}, "the addresses that the server saw")
    piped = t.offloaded("curl", "-sS", server.url("/bytes/1048576"))
    check_equal(sha256(piped.out), sha256(content(1 << 20)), "1 MiB downloaded to standard output")
    check_equal(t.offloaded("curl", "-sSfI", server.url("/bytes/10")).status, 0, "curl -I")


def uploads(t, server):
    (t.scratch / "upload").write_bytes(UPLOAD)
    want = {"sha256": sha256(UPLOAD), "length": len(UPLOAD)}
    url = server.url("/upload")
    got = t.offloaded("curl", "-sS", "--data-binary", f"@{t.scratch}/upload", url).json()
    check_equal(got, want, "POST of 5 MB")
    got = t.offloaded("curl", "-sS", "-T", t.scratch / "upload", url).json()
    check_equal(got, want, "PUT of 5 MB")
    got = t.offloaded("curl", "-sS", "-T", "-", url, stdin=UPLOAD).json()
    check_equal(got, want, "chunked PUT of 5 MB from standard input")


def parallel(t, server):
    sizes = range(100_000, 100_016)
    t.offloaded("curl", "-sS", "-Z", "--parallel-max", "8", "-o", f"{t.scratch}/par-#1",
                server.url(f"/bytes/[{sizes[0]}-{sizes[-1]}]")).ok()
    for size in sizes:
        check_equal(sha256((t.scratch / f"par-{size}").read_bytes()), sha256(content(size)),
                    f"parallel transfer of {size} bytes")


def socket_is_on_device(t, server):
    client = t.run_offloaded("curl", "-sS", server.url("/hold"))
    wait_for("curl's request", server.held.is_set)
    locals_ = t.check_connected(f"{t.gateway_address()}:{server.port}")
    check(any(local.startswith(t.device_address() + ":") for local in locals_),
          f"curl's socket has another address than the device's: {locals_}")
    server.release.set()
    check_equal(client.wait(), 0, "exit status of the held curl")
    check_equal(client.log(), "held", "output of the held curl")


def ipv6_to_host(t):
    if not t.device.gateway6:
        print("curl: IPv6 to the host not tried: the uplink has no IPv6 address")
        return
    with HostHttp(t.device.gateway6) as server:
        # A fresh address cannot be used until the kernel has looked for a duplicate.
        wait_for("the uplink's IPv6 addresses", lambda: t.offloaded(
            "curl", "-s", "--max-time", "2", server.url("/bytes/1")).status == 0)
        got = t.offloaded("curl", "-sS", server.url("/bytes/70000"))
        check_equal(sha256(got.out), sha256(content(70_000)), "70 kB over IPv6 from the host")
        got = t.offloaded("curl", "-sS", "--data-binary", "@-", server.url("/up"), stdin=UPLOAD)
        check_equal(got.json()["sha256"], sha256(UPLOAD), "POST of 5 MB over IPv6")
        check(t.device.gateway6 not in server.peers, "the IPv6 client has the host's address")


def ipv6_on_loopback(t):
    """On the device's own loopback, where an IPv6 address needs no uplink."""
    loopback = t.offloaded("ip", "-6", "-j", "addr", "show", "dev", "lo").json()
    if not any(address.get("local") == "::1" for interface in loopback
               for address in interface.get("addr_info", [])):
        print("curl: IPv6 not tried: the device's loopback has no ::1")
        return
    directory = t.scratch / "v6"
    directory.mkdir()
    (directory / "file").write_bytes(content(70_000))
    port, server = t.offloaded_http(directory, "::1")
    got = t.offloaded("curl", "-sS", "-6", f"http://[::1]:{port}/file")
    check_equal(sha256(got.out), sha256(content(70_000)), "70 kB over IPv6")
    server.kill()


def same_as_native(t, what, want, *arguments):
    argv = ("curl", "-sS", "--max-time", "10", *arguments)
    native, got = t.host(*argv), t.offloaded(*argv)
    check_equal(native.status, want, f"exit status of native curl: {what}")
    check_equal(got.status, want, f"exit status of curl under mino: {what}: {got.error_text}")
    if native.error_text:
        # Everything but the milliseconds that some messages carry.
        check_equal(got.error_text.split()[:4], native.error_text.split()[:4], f"message: {what}")


def errors(t, server):
    closed = t.port()
    same_as_native(t, "refused", 7, f"http://{t.gateway_address()}:{closed}/")
    same_as_native(t, "no such name", 6, "http://no-such-name.invalid/")
    same_as_native(t, "HTTP 404 with -f", 22, "-f", server.url("/nothing"))
    server.release.clear()
    same_as_native(t, "no answer in time", 28, "--max-time", "1", server.url("/hold"))
    server.release.set()
    # 127.0.0.1 is the device's loopback: a server on the host's loopback is not there.
    with HostHttp("127.0.0.1") as local:
        check_equal(t.host("curl", "-sSf", local.url("/bytes/1")).status, 0, "native, loopback")
        check_equal(t.offloaded("curl", "-sSf", local.url("/bytes/1")).status, 7,
                    "exit status of curl to the host's loopback port on the device's loopback")


def main(t):
    with HostHttp(t.gateway_address()) as server:
        downloads(t, server)
        uploads(t, server)
        parallel(t, server)
        socket_is_on_device(t, server)
        ipv6_to_host(t)
        ipv6_on_loopback(t)
        errors(t, server)


if __name__ == "__main__":
    harness.run(main, needs=["curl"])
