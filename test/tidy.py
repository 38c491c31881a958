#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a script can enforce of the house style, with one rule per file in test/tidy/.

    tidy.py REPOSITORY [RULE…]

Run by ctest as tidy. It reads what git tracks. It prints each finding as file:line: message [rule],
and says when a rule cannot be checked because a tool is missing. Exit status 1 if there are
findings. tidy_test.py shows each rule a bad sample.
"""
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent / "tidy"))

import arrows  # noqa: E402
import bans  # noqa: E402
import built  # noqa: E402
import constants  # noqa: E402
import declarations  # noqa: E402
import documents  # noqa: E402
import format  # noqa: E402
import heads  # noqa: E402
import own_calls  # noqa: E402
import paths  # noqa: E402
import width  # noqa: E402
from tree import Skipped, Tree  # noqa: E402

RULES = {rule.RULE: rule for rule in
         (heads, width, bans, arrows, declarations, constants, own_calls, paths, documents, built, format)}


def check(root, wanted):
    """Returns [line to print], and whether there are findings."""
    lines, findings, skipped, files = [], 0, 0, 0
    try:
        tree = Tree(root)
        files = len(tree.names)
    except Skipped as reason:
        lines.append(f"skipped: {reason}")
        skipped, wanted = len(wanted), []
    for name in wanted:
        try:
            found = [f"{path}:{line}: {message} [{name}]" for path, line, message in RULES[name].check(tree)]
            findings += len(found)
            lines += found
        except Skipped as reason:
            skipped += 1
            lines.append(f"skipped: {reason} [{name}]")
    return [*lines, f"tidy: {files} files, {findings} findings, {skipped} rules skipped"], findings > 0


def main():
    wanted = sys.argv[2:] or list(RULES)
    if len(sys.argv) < 2 or not set(wanted) <= set(RULES):
        sys.exit(f"usage: tidy.py REPOSITORY [RULE…]; the rules are {', '.join(RULES)}")
    lines, has_findings = check(sys.argv[1], wanted)
    print("\n".join(lines))
    return has_findings


if __name__ == "__main__":
    sys.exit(main())
