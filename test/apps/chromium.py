#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Chromium, headless, under mino: pages of the host and of the device, with script and fetch.

Run by ctest as apps.chromium; see harness.py for the arguments. The browser's network service is a
process of its own; its processes pass each other descriptors and shared memory.
"""

import json
import re
import signal

import harness
from harness import check_equal, content
from peers import Handler, HostHttp

PAGE = """<!doctype html><title>t</title><body><p id=out>not yet</p><script>
(async () => {
  const sums = [];
  for (const size of SIZES) {
    const bytes = await (await fetch("/bytes/" + size)).arrayBuffer();
    sums.push([bytes.byteLength, new Uint8Array(bytes).reduce((a, b) => (a * 31 + b) % 1000003, 0)]);
  }
  document.getElementById("out").textContent = JSON.stringify(sums);
})();
</script>"""

SIZES = (1, 65536, 1 << 20)


class Pages(Handler):
    def do_GET(self):
        if self.path == "/page":
            self.answer(PAGE.replace("SIZES", str(list(SIZES))).encode())
        else:
            super().do_GET()


def serve(port):
    with HostHttp("0.0.0.0", int(port)) as server:
        server.RequestHandlerClass = Pages
        print("ready", flush=True)
        signal.pause()


def checksum(data):
    value = 0
    for byte in data:
        value = (value * 31 + byte) % 1000003
    return value


def browse(t, url):
    """What the page shows when its script has run, and what mino says."""
    got = t.offloaded("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                      "--disable-background-networking", "--disable-component-update", "--disable-sync",
                      "--disable-dev-shm-usage", f"--user-data-dir={t.scratch}/profile", "--virtual-time-budget=20000",
                      "--dump-dom", url, timeout_s=80, env={"HOME": str(t.scratch)})
    found = re.search(r"<p id=\"?out\"?>(.*?)</p>", got.text)
    if got.status != 0 or not found:
        harness.fail(f"status {got.status}, page:\n{got.text[-500:]}\n{got.error_text[-1500:]}")
    return json.loads(found.group(1)), re.findall(r"^mino: .*", got.error_text, re.M)


def main(t):
    want = [[size, checksum(content(size))] for size in SIZES]
    with HostHttp(t.gateway_address()) as server:
        server.RequestHandlerClass = Pages
        shown, said = browse(t, server.url("/page"))
        check_equal(shown, want, "a page of the host's")
        check_equal(server.peers, {t.device_address()}, f"where the browser's connections came from {said}")
    port = t.port()
    t.run_offloaded(*t.role("serve", port)).wait_log("ready")
    check_equal(browse(t, f"http://127.0.0.1:{port}/page")[0], want, "a page of the device's")


if __name__ == "__main__":
    harness.run(main, needs=["chromium"], roles={"serve": serve}, limit_s=180)
