#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that every test that hard_cases.toml names exists, and prints the cases.

    hard_cases.py [TREE]      exit status 0, or 1 with what is missing
"""

import pathlib
import re
import sys
import tomllib

TREE = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()


def exists(test):
    kind, _, name = test.partition(".")
    if kind in ("apps", "suites"):
        return re.search(rf"\b{re.escape(name)}\b", (TREE / "test" / kind / "CMakeLists.txt").read_text())
    program, _, name = test.partition("/")
    source = TREE / "test" / "syscalls" / f"{program}.cc"
    return source.exists() and re.search(rf"\bTEST\({re.escape(name)}\)", source.read_text())


def main():
    cases = tomllib.loads((TREE / "test" / "hard_cases.toml").read_text())
    missing = [f"{case}: no test {test}" for group in cases.values() for case, tests in group.items()
               for test in tests if not exists(test)]
    missing += [f"{case}: no tests" for group in cases.values() for case, tests in group.items() if not tests]
    for line in missing:
        print(f"hard_cases: {line}", file=sys.stderr)
    print(f"hard_cases: {sum(len(group) for group in cases.values())} cases, {len(missing)} without their test")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
