#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prints doc/compatibility.md from the results that the suites' drivers left in BUILD_DIR/test/suites.

    table.py [BUILD_DIR] > doc/compatibility.md
"""

import json
import pathlib
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
SUITES = {"cpython": "CPython 3.11's own tests (Debian's libpython3.11-testsuite)",
          "go": "Go 1.19's own tests (Debian's golang-src), as static programs"}
HEAD = """# Compatibility

Made by `test/suites/table.py` from runs of `ctest -L suites`; do not edit. Each suite runs natively and under
`mino run` (tier `auto`) on the same machine. The numbers are tests that passed; the rest were skipped or failed, natively too.
mino's own programs (`test/syscalls`) must all pass, or be among the differences that `mino syscalls` shows.
"""
PLACES = {"host": "natively", "native": "engine native", "linux": "engine linux"}


def print_programs(folder):
    """The drivers of test/apps. Natively: MINO_NATIVE=1, in a network namespace behind a veth pair."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        name, place = path.stem.split(".")
        found.setdefault(name, {})[place] = json.loads(path.read_text())
    if not found:
        return
    print("## Programs (`test/apps`)\n\n| test | what it does | " + " | ".join(PLACES.values()) + " |")
    print("| --- | --- |" + " --- |" * len(PLACES))
    for name, results in sorted(found.items()):
        title = next(iter(results.values()))["title"].rstrip(".")
        cells = [("passes" if results[place]["passed"] else "FAILS") if place in results else "–"
                 for place in PLACES]
        print(f"| {name} | {title} | " + " | ".join(cells) + " |")
    print()


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent.parent / "build")
    print(HEAD)
    for suite, title in SUITES.items():
        results = {path.stem.split(".")[1]: json.loads(path.read_text())
                   for path in sorted((build / "test" / "suites").glob(f"{suite}.*.json"))}
        if not results:
            sys.exit(f"{build}/test/suites has no results of {suite}: run its driver first")
        engines = sorted(results, key=lambda engine: engine != "native")
        print(f"## {title}\n\n| module | tests | natively | "
              + " | ".join(f"engine {engine}" for engine in engines) + " |")
        print("| --- |" + " ---: |" * (2 + len(engines)))
        modules = {module: None for engine in engines for module in results[engine]}
        for module in modules:
            counts = [results[engine].get(module) for engine in engines]
            first = next(count for count in counts if count)
            print(f"| {module} | {first['tests']} | {first['native']} | "
                  + " | ".join(str(count["mino"]) if count else "not run" for count in counts) + " |")
        print()
    print_programs(build / "test" / "apps")
    entries = tomllib.loads((HERE / "differences.toml").read_text()).get("difference", [])
    print("## What passes natively only\n")
    print("\n".join(f"- `{entry['test']}`{' (engine ' + entry['engine'] + ')' if 'engine' in entry else ''}: "
                    f"{entry['reason']}" for entry in entries) or "Nothing.")


if __name__ == "__main__":
    main()
