#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The kernel's own network selftests, under `mino run` and in that kernel itself: the same results.

    selftests.py [BUILD_DIR]      BUILD_DIR holds mino and kernel/linux; the default is build/
    MINO_SELFTESTS="tls tun"      only these (then the differences of others are not checked)
    MINO_RUN_FLAGS="--no-windows" more options for each `mino run`
    MINO_SELFTESTS_KEEP=DIR       results, logs and every output stay in DIR

build.sh makes the programs, unmodified, from the kernel's source package. runner.py runs the steps
of plan.py twice: here with the prefix `mino run` on a device with the linux engine, and in a second
instance of the same kernel, in its own userland, with the host's files as its root (guest.sh). The
results must be equal, test by test, except for differences.toml, which says how each known
difference shows, and why. A difference that is gone, or shows otherwise, is an error too.

Exit status: 0 as expected, 1 not, 77 cannot run here.
"""

import collections
import contextlib
import fnmatch
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "apps"))

from device import MinoDevice  # noqa: E402
from programs import Failure, Skip, execute  # noqa: E402
import plan  # noqa: E402

LIMIT_S = 840
PASSED = ("ok", "skip")


def environment():
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MINO_")}
    if "MINO_SELFTESTS" in os.environ:
        kept["MINO_SELFTESTS"] = os.environ["MINO_SELFTESTS"]
    return kept | {"LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1",
                   "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def build():
    made = subprocess.run([HERE / "build.sh"], stdout=subprocess.PIPE, text=True, check=False)
    if made.returncode == 77:
        raise Skip("the selftests cannot be built here")
    if made.returncode != 0:
        raise Failure("build.sh failed")
    return pathlib.Path(made.stdout.split()[-1])


@contextlib.contextmanager
def group(argv, log, **options):
    """Runs a program in a process group of its own, of which nothing is left afterwards."""
    with open(log, "wb") as out:
        popen = subprocess.Popen([str(arg) for arg in argv], stdin=subprocess.DEVNULL, stdout=out,
                                 stderr=subprocess.STDOUT, start_new_session=True, **options)
    try:
        yield popen
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(popen.pid, signal.SIGKILL)
        popen.wait()


def read_results(path):
    """Returns {test: record} and the seconds by selftest."""
    tests, seconds = {}, collections.Counter()
    for line in path.read_text().splitlines():
        record = json.loads(line)
        if "test" in record:
            tests[record["test"]] = record
        else:
            seconds[record["step"]] += record["seconds"]
    return tests, seconds


def run_inside(kernel, programs, results):
    """The reference: the kernel as a process, its root the files of the host (kernel/README.md)."""
    names = os.environ.get("MINO_SELFTESTS", "")
    argv = ["setarch", "-R", kernel, "mem=512M", "con=null", "con0=fd:0,fd:1", "dummy.numdummies=0",
            "ifb.numifbs=0", "bonding.max_bonds=0", "fb_tunnels=none",
            "rdinit=/none", "root=hostfs", "rootfstype=hostfs", "rootflags=/", "ro",
            f"init={HERE}/guest.sh", f"here={HERE}", f"programs={programs}", f"results={results}",
            *([f'MINO_SELFTESTS="{names}"'] if names else [])]
    with group(argv, results / "console.log", env=environment()) as popen:
        try:
            popen.wait(LIMIT_S / 2)
        except subprocess.TimeoutExpired:
            raise Failure("the kernel did not end by itself") from None
    status = results / "inside.status"
    if not status.exists() or status.read_text().strip() != "0":
        raise Failure("the run inside the kernel failed; console:\n"
                      + (results / "console.log").read_text(errors="replace")[-1500:])
    return read_results(results / "inside.json")


def run_under_mino(device, programs, results):
    prefix = device.run_argv([])
    argv = ["/usr/bin/python3", HERE / "runner.py", programs, results / "mino.json", *prefix]
    with group(argv, results / "mino.log", env=environment()) as popen:
        popen.wait(LIMIT_S)
    if popen.returncode != 0:
        raise Failure("the run under mino failed:\n" + (results / "mino.log").read_text())
    return read_results(results / "mino.json")


# The comparison ----------------------------------------------------------------------------------


def known_differences():
    entries = plan.known_differences()
    wanted = os.environ.get("MINO_SELFTESTS", "").split()
    return [entry for entry in entries if not wanted or entry["test"].partition("/")[0] in wanted]


def shows(entry, inside, mino):
    """Whether a difference shows in exactly the way that its entry says."""
    text = "\n".join(mino["says"])
    return (inside["result"] == entry["inside"] and mino["result"] == entry["mino"]
            and re.search(entry.get("says", ""), text) is not None)


def compare(inside, mino):
    """(differences by selftest: [(test, reason)], errors)"""
    known, found, errors = known_differences(), collections.defaultdict(list), []
    seen = set()
    for test in [*inside, *(test for test in mino if test not in inside)]:
        nothing = {"result": "not run", "says": []}
        one, other = inside.get(test, nothing), mino.get(test, nothing)
        entry = next((e for e in known if fnmatch.fnmatchcase(test, e["test"])), None)
        if entry:
            seen.add(entry["test"])
            if entry.get("unsteady") and one["result"] == other["result"]:
                continue
            if shows(entry, one, other):
                found[test.partition("/")[0]].append((test, entry["reason"]))
                continue
        elif one["result"] == other["result"]:
            continue
        said = "\n      ".join(other["says"][-8:] if other["result"] != "ok" else one["says"][-8:])
        want = f" (differences.toml: {entry['inside']}, {entry['mino']} /{entry.get('says', '')}/)" if entry else ""
        errors.append(f"{test}: inside {one['result']}, under mino {other['result']}{want}\n      {said}")
    errors += [f"{entry['test']} in differences.toml is no test that was run" for entry in known
               if entry["test"] not in seen]
    return found, errors


def print_table(inside, mino, found):
    rows = [("selftest", "tests", "passed inside the kernel", "passed under mino", "differences")]
    for name in dict.fromkeys(test.partition("/")[0] for test in [*inside, *mino]):
        def count(results):
            own = [r["result"] for t, r in results.items() if t.partition("/")[0] == name]
            skipped = own.count("skip")
            return len(own), f"{own.count('ok')}" + (f" (+{skipped} skipped)" if skipped else "")
        rows.append((name, str(count(inside)[0]), count(inside)[1], count(mino)[1],
                     str(len(found.get(name, [])) or "")))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def report(inside, mino, found, errors, seconds):
    for name, kind in ((inside, "inside the kernel"), (mino, "under mino")):
        failed = [test for test, record in name.items() if record["result"] not in PASSED]
        repeated = [test for test, record in name.items() if record["tries"] > 1]
        print(f"{kind}: {len(name)} tests in {sum(seconds[kind].values()):.0f} s, {len(failed)} failed"
              + (f"; repeated as races: {', '.join(repeated)}" if repeated else ""))
    print("\nfail in both, so are no difference:")
    for test, record in inside.items():
        if record["result"] not in PASSED and mino.get(test, {}).get("result") == record["result"]:
            print(f"  {test}: {record['result']}: {(record['says'] or [''])[-1][:150]}")
    print("\nleft out of both:")
    for name, reason in plan.LEFT_OUT.items():
        print(f"  {name}: {reason}")
    print("\nknown differences:")
    reasons = collections.defaultdict(list)
    for tests in found.values():
        for test, reason in tests:
            reasons[reason].append(test)
    for reason, tests in reasons.items():
        print(f"  {reason}")
        print("    " + ", ".join(tests[:4]) + (f", … ({len(tests)} tests)" if len(tests) > 4 else ""))
    if errors:
        print("\nnot as expected:")
        for error in errors:
            print(f"  {error}")
    print()
    print_table(inside, mino, found)


def work(build_dir, results):
    mino_path, kernel = build_dir / "mino", build_dir / "kernel" / "linux"
    for path in mino_path, kernel:
        if not os.access(path, os.X_OK):
            raise Skip(f"{path} is not built")
    programs = build()
    seconds = {}
    inside, seconds["inside the kernel"] = run_inside(kernel, programs, results)
    os.environ["MINO_ENGINE"] = "linux"
    # The paths of macvtaps to come. They are not in minod's policy: there, a path is a host
    # directory.
    paths = ["/dev/net", *(f"/dev/tap{index}" for index in range(2, 20))]
    (results / "policy.toml").write_text(f"[policy]\npaths = {json.dumps(paths)}\n")
    flags = ["--policy", results / "policy.toml", *os.environ.get("MINO_RUN_FLAGS", "").split()]
    with tempfile.TemporaryDirectory(prefix="mino-selftests-") as scratch:
        device = MinoDevice(mino_path, pathlib.Path(scratch) / "run", flags,
                            lambda argv: execute(argv, environment()))
        try:
            device.up("--config", HERE / "minod.toml")
            mino, seconds["under mino"] = run_under_mino(device, programs, results)
            device.down()
        finally:
            device.down(forced=True)
            for log in pathlib.Path(scratch).glob("run/*.log"):
                (results / log.name).write_bytes(log.read_bytes())
    found, errors = compare(inside, mino)
    report(inside, mino, found, errors, seconds)
    return not errors


def main():
    build_dir = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent.parent / "build").resolve()
    keep = os.environ.get("MINO_SELFTESTS_KEEP")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"not done after {LIMIT_S} s"))
    signal.alarm(LIMIT_S)
    try:
        if os.geteuid() != 0:
            raise Skip("needs root")
        if keep:
            pathlib.Path(keep).mkdir(parents=True, exist_ok=True)
            good = work(build_dir, pathlib.Path(keep).resolve())
        else:
            with tempfile.TemporaryDirectory(prefix="mino-selftests-results-") as results:
                good = work(build_dir, pathlib.Path(results))
    except Skip as reason:
        print(f"selftests: skipped: {reason}")
        sys.exit(77)
    except Failure as failure:
        print(f"selftests: FAILED: {failure}", file=sys.stderr)
        sys.exit(1)
    print(f"\nselftests: {'as expected' if good else 'NOT as expected'}")
    sys.exit(0 if good else 1)


main()
