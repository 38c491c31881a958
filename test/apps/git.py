#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""git under mino: clone and push over http and ssh, server and client on either side.

Run by ctest as apps.git; see harness.py for the arguments. git is many programs that talk through
pipes. Over ssh one of them is ssh itself; over http it is git-remote-http and, at the other end, a
CGI program.
"""

import signal

import harness
from harness import check, check_equal, content
from ssh_server import SshServer

SERVER = """
import http.server, sys
class Handler(http.server.CGIHTTPRequestHandler):
    cgi_directories = ["/git"]
http.server.ThreadingHTTPServer(("0.0.0.0", int(sys.argv[1])), Handler).serve_forever()
"""
FILES = 60


class Repository:
    """A bare repository with a few commits, made on the host."""

    def __init__(self, t):
        self.t, self.bare = t, t.scratch / "project.git"
        self.env = {"HOME": str(t.scratch), "GIT_CONFIG_GLOBAL": str(t.scratch / "gitconfig"),
                    "GIT_CONFIG_NOSYSTEM": "1", "GIT_TERMINAL_PROMPT": "0"}
        (t.scratch / "gitconfig").write_text(
            "[user]\nname = Test\nemail = test@example.org\n[safe]\ndirectory = *\n"
            "[init]\ndefaultBranch = main\n[http]\nreceivepack = true\n")
        work = t.scratch / "work"
        self.git(t.host, "init", "-q", work)
        for number in range(FILES):
            (work / f"file{number}").write_bytes(content(number * 997))
            if number % 20 == 0:
                self.commit(t.host, work, f"commit {number}")
        self.commit(t.host, work, "the last one")
        self.git(t.host, "clone", "-q", "--bare", work, self.bare)

    def git(self, runner, *arguments, env=None):
        return runner("git", *arguments, env={**self.env, **(env or {})}, timeout_s=40).ok()

    def commit(self, runner, work, message):
        self.git(runner, "-C", work, "add", "-A")
        self.git(runner, "-C", work, "commit", "-q", "-m", message)

    def head(self, where):
        return self.git(self.t.host, "-C", where, "rev-parse", "main").strip()


def clone_and_push(t, repository, runner, url, label, env=None):
    copy = t.scratch / label
    repository.git(runner, "clone", "-q", url, copy, env=env)
    check_equal(repository.head(copy), repository.head(repository.bare), f"{label}: the commit cloned")
    repository.git(t.host, "-C", copy, "fsck", "--strict")
    check_equal((copy / f"file{FILES - 1}").read_bytes(), content((FILES - 1) * 997), f"{label}: a file")
    (copy / label).write_bytes(content(700_000))
    repository.commit(runner, copy, label)
    repository.git(runner, "-C", copy, "push", "-q", env=env)
    check_equal(repository.head(repository.bare), repository.head(copy), f"{label}: the commit pushed")
    repository.git(t.host, "-C", repository.bare, "fsck", "--strict")


def over_http(t, repository):
    root = t.scratch / "root"
    (root / "git").mkdir(parents=True)
    script = root / "git" / "backend"
    script.write_text(f"#!/bin/sh\nexport GIT_PROJECT_ROOT={t.scratch} GIT_HTTP_EXPORT_ALL=1 "
                      f"GIT_CONFIG_GLOBAL={repository.env['GIT_CONFIG_GLOBAL']}\n"
                      "exec git http-backend\n")
    script.chmod(0o755)
    (t.scratch / "server.py").write_text(SERVER)
    port = t.port()
    # The server runs CGI programs as `nobody`, who must be able to write what is pushed.
    t.host("chown", "-R", "nobody", repository.bare).ok()
    server = t.run_offloaded(harness.PYTHON, "-u", t.scratch / "server.py", port, cwd=root)
    t.wait_on_device(port)
    url = "http://{}:" + f"{port}/git/backend/project.git"
    clone_and_push(t, repository, t.host, url.format(t.device_address()), "http-from-host")
    clone_and_push(t, repository, t.offloaded, url.format("127.0.0.1"), "http-on-device")
    missing = t.offloaded("git", "clone", "-q", f"http://127.0.0.1:{port}/none", t.scratch / "none",
                          env=repository.env)
    check_equal(missing.status, 128, f"exit status of a clone of nothing: {missing.error_text}")
    check("not found" in missing.error_text, missing.error_text)
    server.stop(signal.SIGTERM)


def over_ssh(t, repository):
    server = SshServer(t, {"GIT_CONFIG_GLOBAL": repository.env["GIT_CONFIG_GLOBAL"]})
    t.host("chown", "-R", "root", repository.bare).ok()
    ssh = " ".join(map(str, ["ssh", *server.options("-p", server.port)]))
    for runner, address, label in ((t.host, t.device_address(), "ssh-from-host"),
                                   (t.offloaded, "127.0.0.1", "ssh-on-device")):
        clone_and_push(t, repository, runner, f"ssh://root@{address}{repository.bare}", label,
                       {"GIT_SSH_COMMAND": ssh})
    check_equal(server.process.stop(signal.SIGTERM), 0, "exit status of sshd")


def main(t):
    repository = Repository(t)
    over_http(t, repository)
    over_ssh(t, repository)


if __name__ == "__main__":
    harness.run(main, needs=["git", "ssh", "ssh-keygen", "sshd"], limit_s=150)
