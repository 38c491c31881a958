#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that each test of differences.toml differs under `mino run` in exactly the way described.

    differences.py BUILD_DIR MINO ENGINE      BUILD_DIR: the programs and the device's run directory

Each such test must pass natively, and fail under mino as its entry says. Run by ctest as
syscalls.differences.ENGINE. Exit status: 0 as expected, 1 not.
"""

import concurrent.futures
import pathlib
import re
import sys
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "apps"))

from programs import execute  # noqa: E402

# As in run_both.sh: a network of its own, like that of the device.
FRESH = ["unshare", "--net", "--mount", "sh", "-c",
         'mount -t sysfs sysfs /sys && ip link set lo up && exec "$@"', "sh"]
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


def mistakes(entry, build, mino):
    program, _, name = entry["test"].partition("/")
    words = [build / program, "--timeout", "8", name]  # longer than a test waits for an event
    native = execute([*FRESH, *words], ENVIRONMENT)
    if native.status != 0 or native.text != f"ok {name}\n":
        yield f"natively it must pass, and prints (status {native.status}):\n{native.text}"
    got = execute([*mino, "run", "--hook", entry.get("hook", "auto"), "--", *words], ENVIRONMENT)
    if got.status == 0:
        yield "it passes under mino: take it off differences.toml, and what doc/limitations.md says of it"
    elif got.status != 1 or f"FAIL {name}" not in got.text or not re.search(entry["says"], got.text):
        yield (f"it must fail under mino with {entry['says']!r}, and prints (status {got.status}):\n"
               f"{got.text}{got.error_text}")


def main():
    build, mino, engine = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    with open(HERE / "differences.toml", "rb") as file:
        entries = tomllib.load(file)["difference"]
    entries = [entry for entry in entries if entry.get("engine", engine) == engine]
    mino = [mino, "--run-dir", build / f"device-{engine}"]
    failed = False
    # Most of them wait for what does not come.
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda entry: list(mistakes(entry, build, mino)), entries)
        for entry, found in zip(entries, results):
            failed |= bool(found)
            print(f"{entry['test']}: {'; '.join(found) or 'fails as expected: ' + entry['reason']}")
    sys.exit(1 if failed else 0)


main()
