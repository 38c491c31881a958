#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""php-fpm behind nginx, both under mino: pages, uploads, a reload, a script's own connection.

Run by ctest as apps.php_fpm; see harness.py for the arguments. php-fpm executes itself anew at a
reload and finds its listening socket by the number in an environment variable.
"""

import json
import os
import signal

import harness
from device import children
from harness import check, check_equal, content, nginx_config, sha256, wait_for
from load import CurlLoop
from peers import HostHttp

HTTP = """
  client_max_body_size 16m;
  server {{
    listen 0.0.0.0:{port};
    location / {{
      fastcgi_pass 127.0.0.1:{fpm};
      fastcgi_param SCRIPT_FILENAME {folder}$uri;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param REMOTE_ADDR $remote_addr;
    }}
  }}
"""

FPM = """
[global]
error_log = /dev/stderr
daemonize = no
process_control_timeout = 10
[www]
user = www-data
group = www-data
listen = 127.0.0.1:{fpm}
pm = static
pm.max_children = {workers}
clear_env = no
env[VERSION] = {version}
"""

WORKERS = 3

SCRIPTS = {
    "bytes.php": "<?php for ($i = 0; $i < 64; $i++) echo str_repeat(chr(65 + $i % 26), 1024);",
    "digest.php": "<?php echo hash('sha256', file_get_contents('php://input'));",
    "who.php": "<?php echo json_encode([$_SERVER['REMOTE_ADDR'], posix_getppid(), getenv('VERSION'), getmypid()]);",
    "fetch.php": "<?php echo hash('sha256', file_get_contents($_GET['url']));",
}


def main(t):
    port, fpm = t.port(), t.port()

    def configure(version):
        (t.scratch / "fpm.conf").write_text(FPM.format(fpm=fpm, version=version, workers=WORKERS))

    configure(1)
    config = nginx_config(t.scratch, HTTP.format(folder=t.scratch, port=port, fpm=fpm))
    for name, text in SCRIPTS.items():
        (t.scratch / name).write_text(text)
    process = t.run_offloaded("php-fpm8.2", "-n", "-d", "extension=posix", "-y", t.scratch / "fpm.conf")
    t.wait_on_device(fpm)
    nginx = t.run_offloaded("nginx", "-p", t.scratch, "-e", "stderr", "-c", config, "-g", "daemon off;")
    t.wait_on_device(port)
    base = f"http://{t.device_address()}:{port}"

    def get(path, *options):
        return t.host("curl", "-sSf", "--max-time", "20", *options, base + path)

    page = b"".join(bytes([65 + i % 26]) * 1024 for i in range(64))
    check_equal(sha256(get("/bytes.php").out), sha256(page), "a page of 64 KiB")
    body = t.scratch / "body"
    body.write_bytes(content(5_000_000))
    check_equal(get("/digest.php", "-T", body).text, sha256(content(5_000_000)), "an upload")

    def check_who(version):
        """Returns the worker that answered."""
        *who, worker = json.loads(get("/who.php").ok())
        check_equal(who, [t.gateway_address(), process.pid, version], "REMOTE_ADDR, parent and version")
        return worker

    check_who("1")
    with HostHttp(t.gateway_address()) as http:
        check_equal(get("/fetch.php?url=" + http.url("/bytes/65536")).text, sha256(content(65536)),
                    "what a script fetched from the host")
        check_equal(http.peers, {t.device_address()}, "where the script's connection came from")

    (t.scratch / "raw").write_bytes(content(65536))
    (t.scratch / "raw.php").write_text("<?php readfile(__DIR__ . '/raw');")
    with CurlLoop(t, base + "/raw.php", 65536) as loop:
        before = set(children(process.pid))
        configure(2)
        os.kill(process.pid, signal.SIGUSR2)
        wait_for("new workers and no old one", lambda: len(children(process.pid)) == WORKERS and
                 not before & set(children(process.pid)), 20)
        loop.wait_more()
        check(check_who("2") not in before, "an old worker answers")
    # What arrives while php-fpm executes itself waits in the listening socket. nginx answers 502 to
    # a request whose worker was told to end between accept and read: so it is without mino. There is
    # one such request for each worker at most.
    check_equal([failure for failure in loop.failures if b"502" in str(failure).encode()], loop.failures,
                "failures that are no 502")
    check(len(loop.failures) <= WORKERS, f"{len(loop.failures)} of {loop.done} requests failed: {loop.failures}")
    check_equal(sha256(get("/bytes.php").out), sha256(page), "the page of 64 KiB after the reload")
    check_equal(process.stop(signal.SIGQUIT), 0, "exit status of php-fpm")
    check_equal(nginx.stop(signal.SIGQUIT), 0, "exit status of nginx")


if __name__ == "__main__":
    harness.run(main, needs=["php-fpm8.2", "nginx", "curl"])
