#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Prints doc/compatibility.md from the results in BUILD_DIR/test/suites and BUILD_DIR/test/apps.

    table.py [BUILD_DIR] > doc/compatibility.md

The drivers leave the results there. `ctest --preset release -L 'suites|apps'` leaves those of the
tier auto, every_tier.py those of the others, and MINO_NATIVE=1 with a driver of test/apps the
native ones.
"""

import fnmatch
import json
import pathlib
import sys
import textwrap

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
APPS = HERE.parent / "apps"
sys.path.insert(0, str(APPS))

from tiers import TIERS, entries  # noqa: E402

ENGINES = ("native", "linux")
PLACES = [(engine, tier) for engine in ENGINES for tier in TIERS]
SUITES = {"cpython": "CPython 3.11's own tests (Debian's libpython3.11-testsuite)",
          "go": "Go 1.19's own tests (Debian's golang-src), as static programs"}
WIDTH = 96
HEAD = """# Compatibility

Made by `test/suites/table.py` from runs of the drivers in `test/suites` and `test/apps`; do not
edit. Each program and each suite runs natively, which is without mino, and under `mino run` with
either engine and each tier of the hook, on the same machine. There is a table for each engine
(`mino up --engine`: native, linux), with a column for each tier (`mino run --hook`: auto, which is
the default, sud, patch, preload). mino's own programs (`test/syscalls`) must all pass, or be among
the differences that `mino syscalls` shows.

`ctest --preset release -L 'suites|apps'` runs all with the tier auto, `test/suites/every_tier.py`
with the others (some hours), `MINO_NATIVE=1 test/apps/NAME.py` natively.

✓ passes; – has not been run; = the driver chooses its tiers by itself; (1) is not served there, or
fails in just the way that is told under *Reasons* and that the drivers check; FAILS has no such
reason.
"""


def wrapped(text, mark=""):
    """Wraps text as the lines of a list's item, or of a paragraph."""
    return textwrap.fill(mark + text, WIDTH, subsequent_indent=" " * len(mark), break_long_words=False,
                         break_on_hyphens=False)


class Reasons:
    """Reasons, numbered in the order in which they come up."""

    def __init__(self):
        self.found = []

    def mark(self, reason):
        if reason not in self.found:
            self.found.append(reason)
        return f"({self.found.index(reason) + 1})"

    def print(self):
        print("## Reasons\n")
        lines = [wrapped(reason, f"{number}. ") for number, reason in enumerate(self.found, 1)]
        print("\n".join(lines) or "None is needed.")


def read(folder):
    """{name: {place: result}}; a place is "host" or (engine, tier)."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        name, *place = path.stem.split(".")
        if place == ["host"] or tuple(place) in PLACES:
            found.setdefault(name, {})["host" if place == ["host"] else tuple(place)] = json.loads(path.read_text())
    return found


def print_tables(first, alignment, rows):
    """One table for each engine. A row: (cells of the columns named first, {place: cell})."""
    for engine in ENGINES:
        print(f"### {engine} engine\n")
        print("| " + " | ".join([*first, *TIERS]) + " |")
        print("|" + "".join(f" {mark} |" for mark in [*alignment, *["---:"] * len(TIERS)]))
        for cells, places in rows:
            print("| " + " | ".join([*cells, *(places[engine, tier] for tier in TIERS)]) + " |")
        print()


def count_cell(suite, place, count, reasons):
    """What passed under mino, and why that is not everything."""
    if count is None:
        return "–"
    if "unserved" in count:
        return reasons.mark(count["unserved"])
    engine, tier = place
    marks = set()
    for test in count["differ"]:
        entry = next((entry for entry in entries(HERE / "differences.toml") if entry["suite"] == suite
                      and entry.get("engine", engine) == engine and entry.get("hook", tier) == tier
                      and fnmatch.fnmatch(test, entry["test"])), None)
        marks.add(reasons.mark(f"`{entry['test']}`: {entry['reason']}") if entry else "FAILS")
    return " ".join([str(count["mino"]), *sorted(marks)])


def print_suite(suite, title, results, reasons):
    rows = []
    for module in {module: None for result in results.values() for module in result}:
        counts = {place: result.get(module) for place, result in results.items()}
        first = next((count for count in counts.values() if count and "tests" in count), None)
        if first:
            rows.append(([module, str(first["tests"]), str(first["native"])],
                         {place: count_cell(suite, place, counts.get(place), reasons) for place in PLACES}))
    print_suite_rows(title, rows)


def print_suite_rows(title, rows):
    print(f"## {title}\n\nThe numbers are tests that passed; the rest were skipped or failed, natively too.\n")
    print_tables(["module", "tests", "natively"], ["---", "---:", "---:"], rows)


def program_cell(results, place, reasons):
    auto = results.get((place[0], TIERS[0])) if place != "host" else None
    if auto and auto["own_tiers"] and place[1] != TIERS[0]:
        return "="
    if place not in results:
        return "–"
    result = results[place]
    if result.get("differs"):
        return reasons.mark(result["differs"])
    return "✓" if result["passed"] else "FAILS"


def print_programs(found, reasons):
    titles, rows = {}, []
    for name, results in sorted(found.items()):
        titles[name] = next(iter(results.values()))["title"].rstrip(".")
        rows.append(([name, program_cell(results, "host", reasons)],
                     {place: program_cell(results, place, reasons) for place in PLACES}))
    print_program_rows(titles, rows)


def print_program_rows(titles, rows):
    print("## Programs (`test/apps`)\n")
    print(wrapped("Natively: in a network namespace behind a veth pair, where the driver can do without mino. Some are "
                  "about the linux engine alone, or about mino itself.") + "\n")
    print_tables(["test", "natively"], ["---", "---:"], rows)
    print("### What they do\n")
    print("\n".join(wrapped(f"{name}: {title}", "- ") for name, title in titles.items()) + "\n")


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent.parent / "build")
    suites, reasons = read(build / "test" / "suites"), Reasons()
    missing = [suite for suite in SUITES if not suites.get(suite)]
    if missing:
        sys.exit(f"{build}/test/suites has no results of {missing[0]}: run its driver first")
    print(HEAD)
    for suite, title in SUITES.items():
        print_suite(suite, title, suites[suite], reasons)
    print_programs(read(build / "test" / "apps"), reasons)
    reasons.print()


if __name__ == "__main__":
    main()
