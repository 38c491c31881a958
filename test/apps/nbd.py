#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""nbd-server under mino: a disk written and read back from either side, four connections at once.

Run by ctest as apps.nbd; see harness.py for the arguments. The server forks for each client and
sends with its own writev and sendfile.
"""

import os
import signal

import harness
from harness import check, check_equal, content, sha256, wait_for

SIZE = 16 << 20

CONFIG = """
[generic]
port = {port}
listenaddr = 0.0.0.0
allowlist = true
[disk]
exportname = {folder}/disk
"""


def main(t):
    port = t.port()
    disk, source = t.scratch / "disk", t.scratch / "source"
    config = t.scratch / "config"
    config.write_text(CONFIG.format(port=port, folder=t.scratch))
    t.offloaded("nbd-server", "-C", config, "-p", t.scratch / "pid").ok()
    t.wait_on_device(port)
    server = int((t.scratch / "pid").read_text())
    for number, (client, address) in enumerate(((t.offloaded, "127.0.0.1"), (t.host, t.device_address()))):
        disk.write_bytes(bytes(SIZE))
        url = f"nbd://{address}:{port}/disk"
        check_equal(client("nbdinfo", "--size", url).ok().strip(), str(SIZE), "size")
        check("disk" in client("nbdinfo", "--list", f"nbd://{address}:{port}/").ok(), "the list of exports")
        bytes_there = content(SIZE + number)[number:]
        source.write_bytes(bytes_there)
        client("nbdcopy", "--connections=4", source, url, timeout_s=60).ok()
        check_equal(sha256(disk.read_bytes()), sha256(bytes_there), "what the server has stored")
        back = t.scratch / "back"
        client("nbdcopy", "--connections=1", url, back, timeout_s=60).ok()
        check_equal(sha256(back.read_bytes()), sha256(bytes_there), "what came back")
    os.kill(server, signal.SIGTERM)
    wait_for("the server's end", lambda: not os.path.exists(f"/proc/{server}"))


if __name__ == "__main__":
    harness.run(main, needs=["nbd-server", "nbdcopy", "nbdinfo"])
