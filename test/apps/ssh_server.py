# SPDX-License-Identifier: Apache-2.0
"""OpenSSH's server under mino, with keys of its own, and how a client reaches it."""

import os

CONFIG = """
Port {port}
HostKey {folder}/host
AuthorizedKeysFile {folder}/user.pub
PidFile none
PermitRootLogin yes
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
"""


class SshServer:
    def __init__(self, t, env=None):
        self.t, self.port, self.folder = t, t.port(), t.scratch / "ssh"
        self.folder.mkdir(mode=0o700)
        for key in ("host", "user"):
            t.host("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / key).ok()
        (self.folder / "config").write_text(CONFIG.format(port=self.port, folder=self.folder))
        os.makedirs("/run/sshd", exist_ok=True)
        self.process = t.run_offloaded("/usr/sbin/sshd", "-D", "-e", "-f", self.folder / "config", env=env)
        t.wait_on_device(self.port)

    def options(self, *more):
        return ["-i", self.folder / "user", "-F", "none", "-o", "BatchMode=yes", "-o",
                "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={self.folder}/known", *more]

    def ssh(self, runner, address, *command, port=None, options=()):
        return runner("ssh", *self.options("-p", port or self.port, *options), f"root@{address}",
                      *command)
