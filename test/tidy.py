#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a script can enforce of the house style: include arrows, file length, a ban list, headers, format.

Usage: tidy.py REPOSITORY. Prints each finding as file:line: message; exit status 1 if there are any.
"""
import re
import subprocess
import sys
from pathlib import Path

root = Path(sys.argv[1])
# Who may include whom: arrows only point down. Tests may include what they test.
ARROWS = {
    "base": {"base"},
    "abi": {"abi"},
    "channel": {"channel", "abi", "base"},
    "engine": {"engine", "channel", "abi", "base"},
    "hook": {"hook", "abi"},
    "daemon": {"daemon", "engine", "channel", "abi", "base"},
    "cli": {"cli", "daemon", "channel", "abi", "base"},
}
MAX_LINES = 600
BANNED = {
    "hook": [
        (r"\bmalloc\(|\bfree\(|\bnew \w|\bthrow\b|\btry\b", "no heap and no exceptions in hook/"),
        (r"#include <(cstdio|cstdlib|string|vector|map|iostream|unistd\.h|sys/.*)>", "no libc in hook/"),
        (r"\bthread_local\b|\b__thread\b", "no thread-local storage in hook/"),
    ],
    "abi": [(r"\bthrow\b|\bvirtual\b", "plain data only in abi/")],
    "": [(r"\b(TODO|FIXME|XXX)\b", "finish it, or say where its user looks that it is not finished")],
}
findings = []


def report(path, line, message):
    findings.append(f"{path.relative_to(root)}:{line}: {message}")


files = subprocess.run(["git", "-C", str(root), "ls-files"], capture_output=True, text=True, check=True)
sources = [root / name for name in files.stdout.split() if name.endswith((".cc", ".h", ".c", ".S"))]
for path in sources:
    if not path.exists():
        continue
    part = path.relative_to(root).parts[0]
    lines = path.read_text().splitlines()
    if "SPDX-License-Identifier" not in (lines[0] if lines else ""):
        report(path, 1, "the first line is the SPDX licence identifier")
    if len(lines) > MAX_LINES:
        report(path, len(lines), f"longer than {MAX_LINES} lines: is it one noun?")
    for number, line in enumerate(lines, 1):
        include = re.match(r'\s*#include "([^"]+)"', line)
        if include and part in ARROWS and not path.name.endswith("_test.cc"):
            name = include.group(1)
            top = name.split("/")[0]
            if top in ARROWS and top not in ARROWS[part] and name not in ARROWS[part]:
                report(path, number, f"{part}/ may not include {top}/")
        # What is banned in the parts is banned from what they are made of; their tests are programs.
        for where in ("",) if path.name.endswith("_test.cc") else (part, ""):
            for pattern, message in BANNED.get(where, []):
                if re.search(pattern, re.sub(r"//.*", "", line) if where else line):
                    report(path, number, message)
# The driver's files are listed at the head of kernel/usrcall.c, from the top; arrows point down there, too.
driver = root / "kernel" / "usrcall.c"
order = re.findall(r"^ \*   (usrcall\w*)\.c ", driver.read_text(), re.MULTILINE)
for path in [p for p in sources if p.exists() and p.parent == driver.parent and p.stem.startswith("usrcall")]:
    if path.stem not in order:
        report(path, 1, "not listed at the head of kernel/usrcall.c")
        continue
    for number, line in enumerate(path.read_text().splitlines(), 1):
        include = re.match(r'#include "(usrcall\w*)\.h"', line)
        if include and include.group(1) not in order[order.index(path.stem):]:
            report(path, number, f"{path.name} may not include {include.group(1)}.h, which is above it")
# kernel/ and the C headers of abi/, whose first line is a C comment, have the kernel's style
# (scripts/checkpatch.pl of its tree).
cpp = [str(p) for p in sources if p.suffix in (".cc", ".h") and p.exists()
       and p.relative_to(root).parts[0] != "kernel" and not p.read_text().startswith("/*")]
formatter = subprocess.run(["clang-format-19", "--dry-run", "--Werror", "-style=file", *cpp],
                           capture_output=True, text=True, cwd=root)
findings += [l for l in formatter.stderr.splitlines() if "error:" in l][:50]
for finding in findings:
    print(finding)
print(f"tidy: {len(sources)} files, {len(findings)} findings")
sys.exit(1 if findings else 0)
