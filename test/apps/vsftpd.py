#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""vsftpd with its default limits under mino: lists, fetches and stores, passive and active.

Run by ctest as apps.vsftpd; see harness.py for the arguments. Each connection gets processes of its
own, which limit their address space to 200 MB, leave root behind, and go into an empty chroot. The
anonymous user (ftp, of the package) is the only one.
"""

import concurrent.futures

import harness
from harness import CONTENT_SIZES, check, check_equal, content, sha256

LOW, HIGH = 14000, 14099  # below what the kernel gives out by itself, and below t.port()

CONFIG = """
background=NO
listen=YES
listen_port={port}
anonymous_enable=YES
local_enable=NO
write_enable=YES
anon_upload_enable=YES
anon_umask=022
anon_root={folder}/root
ftp_username=ftp
secure_chroot_dir={folder}/empty
nopriv_user=nobody
ftp_data_port=0
connect_from_port_20=NO
pasv_min_port={low}
pasv_max_port={high}
xferlog_enable=NO
use_localtime=YES
"""


def main(t):
    port = t.port()
    root, incoming, empty = t.scratch / "root", t.scratch / "root" / "incoming", t.scratch / "empty"
    incoming.mkdir(parents=True)
    empty.mkdir()
    incoming.chmod(0o777)
    for size in CONTENT_SIZES:
        (root / str(size)).write_bytes(content(size))
    (t.scratch / "vsftpd.conf").write_text(CONFIG.format(port=port, folder=t.scratch, low=LOW, high=HIGH))
    server = t.run_offloaded("vsftpd", t.scratch / "vsftpd.conf")
    t.wait_on_device(port)
    for client, address, own in ((t.host, t.device_address(), t.gateway_address()),
                                 (t.offloaded, "127.0.0.1", "127.0.0.1")):
        base = f"ftp://{address}:{port}/"

        def curl(path, *options):
            return client("curl", "-sSf", "--max-time", "25", *options, base + path)

        listing = curl("").ok()
        check(all(f" {size}\n" in listing.replace("\r", "") for size in CONTENT_SIZES), f"the listing:\n{listing}")
        for size in CONTENT_SIZES:
            got = curl(str(size))
            check_equal((got.status, sha256(got.out)), (0, sha256(content(size))), f"{size} bytes, passive")
        got = curl("1048576", "--ftp-port", own)
        check_equal((got.status, sha256(got.out)), (0, sha256(content(1 << 20))), f"active: {got.error_text}")
        name = f"from-{address}"
        source = t.scratch / "source"
        source.write_bytes(content(3_000_000))
        curl(f"incoming/{name}", "-T", source).ok()
        check_equal(sha256((incoming / name).read_bytes()), sha256(content(3_000_000)), "what was stored")
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            for got in pool.map(lambda _: curl("5000000"), range(8)):
                check_equal((got.status, sha256(got.out)), (0, sha256(content(5_000_000))), "four at once")
    server.stop()


if __name__ == "__main__":
    harness.run(main, needs=["vsftpd", "curl"])
