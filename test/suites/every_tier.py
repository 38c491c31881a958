#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the drivers of test/apps and test/suites with each tier of the hook, for table.py.

    every_tier.py [--missing] [--regex REGEX] [--tiers TIER,…] [BUILD_DIR]

ctest knows the drivers, their engines and their times, and runs them with the tier auto. This runs
them with the other tiers, in about two hours. --missing leaves out what has a good result already.
Exit status: 0 all as expected, 1 not. `./check --long` runs it, as suites.every_tier. (--if-long:
unless MINO_LONG is set, it only checks that each entry of both differences.toml names a driver, an
engine and a tier that exist.)
"""

import argparse
import fnmatch
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "apps"))

from tiers import TIERS, entries  # noqa: E402

ENGINES, SKIPPED = ("native", "linux"), 77


def drivers(build):
    """[(name, engine, command, timeout)] of ctest's drivers for which no tier is set."""
    listed = json.loads(subprocess.run(["ctest", "--show-only=json-v1"], cwd=build, check=True,
                                       capture_output=True).stdout)
    for test in listed["tests"]:
        found = {each["name"]: each["value"] for each in test.get("properties", [])}
        environment = dict(each.split("=", 1) for each in found.get("ENVIRONMENT", []))
        if list(environment) == ["MINO_ENGINE"]:
            yield test["name"], environment["MINO_ENGINE"], test["command"], found["TIMEOUT"]


def stray_entries():
    """Entries that no run would ever look at."""
    for folder, key, kind in ((HERE, "suite", "difference"), (HERE, "suite", "unserved"),
                              (HERE.parent / "apps", "test", "difference")):
        for entry in entries(folder / "differences.toml", kind):
            for wrong in ([] if (folder / f"{entry[key]}.py").exists() else [f'{key} = "{entry[key]}"'],
                          [] if entry.get("engine", "native") in ENGINES else [f'engine = "{entry["engine"]}"'],
                          [] if entry.get("hook", "auto") in TIERS else [f'hook = "{entry["hook"]}"']):
                yield from (f"{folder}/differences.toml: {each}: there is none of that name" for each in wrong)


def has_result(build, command, engine, tier):
    """Whether there is a result that is as expected; for a suite, of all modules that any run had.
    """
    driver = pathlib.Path(command[1])
    folder = build / "test" / driver.parent.name
    results = {path.name: json.loads(path.read_text()) for path in folder.glob(f"{driver.stem}.*.json")}
    got = results.get(f"{driver.stem}.{engine}.{tier}.json", {})
    if driver.parent == HERE:
        listed = [entry["test"] for entry in entries(HERE / "differences.toml") if entry["suite"] == driver.stem
                  and entry.get("engine", engine) == engine and entry.get("hook", tier) == tier]
        expected = all(any(fnmatch.fnmatch(test, each) for each in listed)
                       for count in got.values() for test in count.get("differ", []))
        return expected and set().union(*results.values()) == set(got) != set()
    return bool(got.get("passed") or got.get("differs"))


def run(command, environment, timeout_s):
    """Exit status and output. The driver ends itself in time, so that it can clean up. Otherwise,
    or when this ends, SIGTERM ends it.
    """
    with subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT) as process:
        try:
            out = process.communicate(timeout=timeout_s)[0]
        except subprocess.TimeoutExpired:
            process.terminate()
            out = process.communicate()[0]
        except BaseException:
            process.terminate()
            raise
    return process.returncode, out.decode(errors="replace")


def run_twice(name, command, environment, timeout_s):
    """As ctest does for `check`: what lost its race with the clock gets one more chance."""
    for _ in range(2):
        began = time.monotonic()
        status, out = run(command, environment, timeout_s)
        said = {0: "as expected", SKIPPED: "skipped"}.get(status, f"NOT as expected ({status})")
        print(f"{name}: {said}, {time.monotonic() - began:.0f} s", flush=True)
        if status in (0, SKIPPED):
            break
        print(out, flush=True)
    return status


def main():
    parser = argparse.ArgumentParser(description="Runs the drivers with each tier of the hook.")
    parser.add_argument("build", nargs="?", type=pathlib.Path, default=HERE.parent.parent / "build")
    parser.add_argument("--regex", default="", help="only the tests of ctest whose names match")
    parser.add_argument("--tiers", default=",".join(TIERS[1:]), help="only these, with commas (%(default)s)")
    parser.add_argument("--missing", action="store_true", help="only what has no good result yet")
    parser.add_argument("--if-long", action="store_true", help="nothing unless MINO_LONG is set")
    arguments = parser.parse_args()
    build, wanted = arguments.build.resolve(), arguments.tiers.split(",")
    if not set(wanted) <= set(TIERS):
        parser.error(f"--tiers {arguments.tiers}: there are {', '.join(TIERS)}")
    strays = list(stray_entries())
    if strays or (arguments.if_long and "MINO_LONG" not in os.environ):
        print("\n".join(strays) or "the lists are in order; ./check --long runs all tiers")
        return 1 if strays else 0
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it, and so would drivers
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MINO_")}
    bad = []
    for name, engine, command, timeout_s in drivers(build):
        if not re.search(arguments.regex, name):
            continue
        for tier in wanted:
            if arguments.missing and has_result(build, command, engine, tier):
                continue
            status = run_twice(f"{name}, {tier}", command, kept | {"MINO_ENGINE": engine, "MINO_HOOK": tier}, timeout_s)
            if status not in (0, SKIPPED):
                bad.append(f"{name}, {tier}")
    print(f"{len(bad)} not as expected: {'; '.join(bad)}" if bad else "all as expected")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
