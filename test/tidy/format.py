# SPDX-License-Identifier: Apache-2.0
"""Sources are as clang-format-19 writes them, and a second run would not change them again.

kernel/ and the C headers of abi/, whose first line is a C comment, have the kernel's style
(scripts/checkpatch.pl in its tree).
"""
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tree import Skipped

RULE = "format"
FORMATTER = "clang-format-19"
MAX_FINDINGS = 50


def check(tree):
    if not shutil.which(FORMATTER):
        raise Skipped(f"{FORMATTER} is not installed")
    names = [name for name in tree.sources() if name.endswith((".cc", ".h")) and not name.startswith("kernel/")
             and not tree.text(name).startswith("/*")]
    if not names:
        return
    found = complaints(tree.root, names)
    yield from ((name, line, message) for name, line, message in found[:MAX_FINDINGS])
    # Only what the first pass changes can change in a second one.
    changed = sorted({name for name, _, _ in found})
    if changed:
        with tempfile.TemporaryDirectory() as copy:
            for name in [*changed, *(name for name in tree.names if name.split("/")[-1] == ".clang-format")]:
                to = Path(copy) / name
                to.parent.mkdir(parents=True, exist_ok=True)
                to.write_text(tree.text(name))
            subprocess.run([FORMATTER, "-i", "-style=file", *changed], cwd=copy, check=True)
            for name, line, _ in complaints(copy, changed)[:MAX_FINDINGS]:
                yield name, line, "formatted twice, it differs from formatted once: write it another way"


def complaints(root, names):
    """[(name, line, message)]"""
    run = subprocess.run([FORMATTER, "--dry-run", "--Werror", "-style=file", *names], capture_output=True, text=True,
                         cwd=root)
    found = [re.match(r"([^:\n]+):(\d+):\d+: error: (.*)", line) for line in run.stderr.splitlines()]
    found = [(match.group(1), int(match.group(2)), match.group(3)) for match in found if match]
    if run.returncode and not found:
        raise SystemExit(f"tidy: {FORMATTER}: {run.stderr.strip()}")
    return found
