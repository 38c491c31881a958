#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""sccache's server and clients under mino: Rust's tokio, whose epoll set is duplicated at the start.

Run by ctest as apps.sccache; see harness.py for the arguments. Server and clients meet on the
device's loopback. The compiler runs as the server's child.
"""

import concurrent.futures

import harness
from harness import check, check_equal, wait_for

FILES = 8


def main(t):
    port = t.port()
    env = {"SCCACHE_DIR": str(t.scratch / "cache"), "SCCACHE_SERVER_PORT": str(port), "SCCACHE_IDLE_TIMEOUT": "0",
           "SCCACHE_CONF": str(t.scratch / "none"), "HOME": str(t.scratch)}
    (t.scratch / "cache").mkdir()
    server = t.run_offloaded("sccache", env={**env, "SCCACHE_START_SERVER": "1", "SCCACHE_NO_DAEMON": "1"})
    t.wait_on_device(port)
    check(not any(local.endswith(f":{port}") for local, _ in t.host_sockets("-tln")), "the server listens on the host")

    sources = [t.scratch / f"unit{i}.c" for i in range(FILES)]
    for number, source in enumerate(sources):
        source.write_text(f"int unit{number}(void) {{ return {number}; }}\n")

    def compile_one(source):
        compiled = source.with_suffix(".o")
        compiled.unlink(missing_ok=True)
        t.offloaded("sccache", "gcc", "-c", source, "-o", compiled, env=env, timeout_s=40).ok()
        return compiled.read_bytes()[:4]

    for _ in range(2):  # into the cache, and out of it
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            check_equal(list(pool.map(compile_one, sources)), [b"\x7fELF"] * FILES, "what was compiled")

    def stats():
        text = t.offloaded("sccache", "--show-stats", env=env).ok()
        return {words[0].strip(): words[1].strip() for line in text.splitlines()
                if len(words := line.strip().rsplit("  ", 1)) == 2}

    # A miss is counted when the cache has been written, which is after the answer.
    wait_for("the misses to be counted", lambda: stats().get("Cache misses") == str(FILES))
    check_equal(stats()["Cache hits"], str(FILES), "cache hits")
    t.offloaded("sccache", "--stop-server", env=env).ok()
    check_equal(server.wait(), 0, "exit status of the server")


if __name__ == "__main__":
    harness.run(main, needs=["sccache", "gcc"])
