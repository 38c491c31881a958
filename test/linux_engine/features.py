#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the lines of features.toml on the device, and makes doc/kernel-features.md of the results.

    features.py MINO [--write] [--only REGEX]

Started by with_device.sh, on a linux-engine device. Each line is a bash of its own under `mino
run`, in a new network namespace of the device, so that lines neither meet nor leave anything. It
fails if a feature fails that has no reason to, if one passes that has, or if the document is not
what this run gives. --write writes the document. Exit status 77: a tool is not installed.
"""

import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
DOCUMENT = HERE.parent.parent / "doc" / "kernel-features.md"
LINE_S, AT_A_TIME, SKIPPED = 20, 4, 77
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
TOOLS = ("arptables-legacy", "ebtables-legacy", "ip", "ipset", "iptables-legacy",
         "ipvsadm", "nfacct", "nfct", "nft", "ping", "sysctl", "tc", "teamnl", "wg")
BEFORE = HERE / "features.sh"
HEAD = """# Features of the linux engine's kernel

Made by `test/linux_engine/features.py` from `test/linux_engine/features.toml`; do not edit. The
test `linux_engine.features` runs each line and fails if this page is not what it gives.

Everything is built in; there are no modules. Interfaces that a module makes when it is loaded
(`tunl0`, `gre0`, `sit0`, `teql0` and their like) appear when they are first asked for, by their
names or with `ip tunnel add` and `tc qdisc add`. Bridged packets pass through iptables, as wherever
`br_netfilter` is loaded (`net.bridge.bridge-nf-call-iptables`).

Each line is run under `mino run`, in a new network namespace with two dummy interfaces `eth1` and
`eth2`. `two KIND` (`features.sh`) sends packets through a tunnel between two namespaces;
`sockets.py` makes the system calls that no Debian tool makes. ✓: works. –: is not there, for the
reason given.
"""


class Feature:
    def __init__(self, group, name, text, before="", lacks=""):
        self.group, self.name, self.text = group, name, text
        self.before, self.lacks = before, lacks

    def line(self):
        line = self.group.get("command", "{}").replace("{}", self.text, 1)
        return f"{self.before} && {line}" if self.before else line

    def run(self, mino):
        """Nothing if it passed, else what it said."""
        argv = [mino, "run", "--device", f"shm:{os.environ['MINO_DEVICE']}", "--",
                "unshare", "--net", "bash", "-c", f". {BEFORE}\n{self.line()}"]
        try:
            done = subprocess.run(argv, cwd=HERE, env={"PATH": PATH, "LC_ALL": "C"},
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, timeout=LINE_S, check=False)
        except subprocess.TimeoutExpired as late:
            return f"not done after {LINE_S} s: {(late.stdout or b'').decode(errors='replace')}"
        if done.returncode == 0:
            return None
        return f"exit status {done.returncode}: {done.stdout.decode(errors='replace')}"


def features():
    groups = tomllib.loads((HERE / "features.toml").read_text())["group"]
    return [Feature(group, *entry) for group in groups for entry in group["features"]]


def document(found):
    lines, group = [HEAD], None
    for feature in found:
        if feature.group is not group:
            group = feature.group
            lines.append(f"## {group['title']}\n")
            if "command" in group:
                lines.append(wrapped(f"`{group['command']}`, where `{{}}` is:", "") + "\n")
        mark = "–" if feature.lacks else "✓"
        before = f"`{feature.before}`, then " if feature.before else ""
        reason = f" ({feature.lacks})" if feature.lacks else ""
        lines.append(wrapped(f"- {mark} {feature.name}: {before}`{feature.text}`{reason}", "  "))
        if feature is found[-1] or found[found.index(feature) + 1].group is not group:
            lines[-1] += "\n"
    return "\n".join(lines).rstrip() + "\n"


def wrapped(text, indent):
    return textwrap.fill(text, 96, subsequent_indent=indent, break_long_words=False,
                         break_on_hyphens=False)


def main():
    mino, options = sys.argv[1], sys.argv[2:]
    missing = [tool for tool in TOOLS if not shutil.which(tool, path=PATH)]
    if missing:
        print(f"skipped: not installed: {' '.join(missing)} (test/linux_engine/packages.txt)")
        return SKIPPED
    found = features()
    only = options[options.index("--only") + 1] if "--only" in options else ""
    chosen = [feature for feature in found if re.search(only, feature.name + feature.line())]
    with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
        results = list(pool.map(lambda feature: feature.run(mino), chosen))
    wrong = 0
    for feature, said in zip(chosen, results):
        if bool(said) != bool(feature.lacks):
            wrong += 1
            print(f"{feature.group['title']}: {feature.name}: "
                  f"{said or 'works, and features.toml says that it does not'}\n"
                  f"    {feature.line()}")
    print(f"{len(chosen) - wrong} of {len(chosen)} features are as features.toml says")
    if "--write" in options:
        DOCUMENT.write_text(document(found))
    elif not only and DOCUMENT.read_text() != document(found):
        print(f"{DOCUMENT} is not what features.toml gives: run this with --write")
        wrong += 1
    return 1 if wrong else 0


sys.exit(main())
