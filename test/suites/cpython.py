#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""CPython's own tests, from Debian's libpython3.11-testsuite, natively and under `mino run`: the same results.

    cpython.py [BUILD_DIR]             BUILD_DIR holds mino; the default is build/ of this tree
    MINO_ENGINE=native|linux           the device's engine
    MINO_SUITES="test_ssl test_os"     only these modules
    MINO_LONG=1                        the long modules as well
    MINO_SUITES_KEEP=DIR               outputs and results stay in DIR

Natively they run in a network namespace of their own with only lo in it. A test that passes natively
must pass under mino, or be in differences.toml with its reason. What failed under mino gets a second
try alone, because these tests watch the clock. The counts go to BUILD_DIR/test/suites/cpython.ENGINE.json,
from which table.py makes doc/compatibility.md.

Exit status: 0 as expected, 1 not, 77 cannot run here.
"""

import concurrent.futures
import contextlib
import fnmatch
import json
import os
import pathlib
import re
import sys
import tempfile
import tomllib
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "apps"))

from device import MinoDevice  # noqa: E402
from programs import Failure, execute  # noqa: E402

PYTHON = "/usr/bin/python3.11"
MODULES = ("test_select test_epoll test_poll test_selectors test_socket test_socketserver test_httplib "
           "test_urllib2_localnet test_ftplib test_smtplib test_poplib test_ssl test_os test_subprocess "
           "test_threading").split()
LONG_MODULES = "test_asyncio test_signal test_multiprocessing_fork test_multiprocessing_spawn".split()
MODULE_LIMIT_S = 300
# Hangs natively, too, on a machine that has /dev/vsock and nobody at its other end.
IGNORED = "*ThreadedVSOCKSocketStreamTest*"


def environment(scratch):
    kept = {key: value for key, value in os.environ.items() if not key.startswith("MINO_")}
    return kept | {"LC_ALL": "C.UTF-8", "HOME": str(scratch), "TMPDIR": str(scratch),
                   "PYTHONDONTWRITEBYTECODE": "1",
                   "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


class Suite:
    def __init__(self, scratch):
        self.scratch = scratch

    def results(self, label, prefix, module):
        """{test: "ok", "failed" or "skipped"}; what the module itself did is under its name."""
        folder = self.scratch / label
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        report = folder / f"{module}.xml"
        report.unlink(missing_ok=True)
        # The network is what the namespace has, so what wants "the network" may run.
        argv = [*prefix, PYTHON, "-m", "test", "-v", "-u", "network", "--timeout",
                str(MODULE_LIMIT_S - 60), "-i", IGNORED, "--tempdir", folder / "tmp", "--junit-xml", report, module]
        got = execute(argv, environment(self.scratch), timeout_s=MODULE_LIMIT_S)
        (folder / f"{module}.log").write_text(got.text + got.error_text)
        found = {module: "ok" if got.status == 0 else "failed"}
        if report.exists():
            for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
                bad = case.find("failure") is not None or case.find("error") is not None
                found[case.get("name")] = ("failed" if bad else
                                           "skipped" if case.find("skipped") is not None else "ok")
        return found

    def log(self, label, module):
        return (self.scratch / label / f"{module}.log").read_text(errors="replace")


def native_prefix():
    return ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


def said(log, test):
    """What the log has of a failed test, or its end."""
    parts = re.split(r"^={70}$", log, flags=re.MULTILINE)
    name = test.rsplit(".", 1)[-1]
    return next((part for part in parts if re.match(rf"\s*(FAIL|ERROR): {re.escape(name)}\b", part)),
                log[-1500:]).strip()


def compare(suite, modules, prefix):
    """[(module, test, native, mino)] of what passes natively only; and the counts."""
    different, counts = [], {}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        native = pool.map(lambda m: suite.results("native", native_prefix(), m), modules)
        offloaded = pool.map(lambda m: suite.results("mino", prefix, m), modules)
        for module, here, there in zip(modules, native, offloaded):
            worse = [test for test in here if here[test] == "ok" and there.get(test) != "ok"]
            if worse:
                print(f"{module}: {len(worse)} again, alone")
                there = suite.results("mino", prefix, module)
            tests = [test for test in here if test != module]
            counts[module] = {
                "tests": len(tests),
                "native": sum(here[test] == "ok" for test in tests),
                "mino": sum(there.get(test) == "ok" for test in tests)}
            different += [(module, test, there.get(test, "not run")) for test in here
                          if here[test] == "ok" and there.get(test) != "ok"]
    return different, counts


def judge(suite, different, modules, engine):
    """Complaints: differences that are not listed, and listed ones that are gone."""
    listed = [entry for entry in tomllib.loads((HERE / "differences.toml").read_text()).get(
        "difference", []) if entry["suite"] == "cpython" and entry.get("engine", engine) == engine]
    complaints, seen = [], set()
    for module, test, how in different:
        entry = next((entry for entry in listed if fnmatch.fnmatch(test, entry["test"])), None)
        if entry is None and test == module and any(m == module and t != m for m, t, _ in different):
            continue  # the module failed because of its tests
        text = said(suite.log("mino", module), test)
        if entry is None:
            complaints.append(f"{module}: {test}: ok natively, {how} under mino\n{text}")
        elif not re.search(entry["says"], text, re.DOTALL):
            complaints.append(f"{test}: fails in another way than /{entry['says']}/\n{text}")
        else:
            seen.add(entry["test"])
    complaints += [f"{entry['test']}: passes now; take it off differences.toml" for entry in listed
                   if entry["test"] not in seen and entry["module"] in modules
                   and not entry.get("unsteady")]
    return complaints


def main():
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent.parent / "build").resolve()
    engine = os.environ.get("MINO_ENGINE", "native")
    if os.geteuid() != 0 or not pathlib.Path("/usr/lib/python3.11/test/test_socket.py").exists():
        print("needs root and libpython3.11-testsuite (test/suites/packages.txt)")
        return 77
    modules = os.environ.get("MINO_SUITES", "").split() or (
        MODULES + (LONG_MODULES if "MINO_LONG" in os.environ else []))
    with contextlib.ExitStack() as stack:
        keep = os.environ.get("MINO_SUITES_KEEP")
        scratch = pathlib.Path(keep or stack.enter_context(
            tempfile.TemporaryDirectory(prefix="mino-cpython-"))).resolve()
        scratch.mkdir(parents=True, exist_ok=True)
        scratch.chmod(0o755)
        device = MinoDevice(build / "mino", scratch / "run", [],
                            lambda argv, **options: execute(argv, environment(scratch), **options))
        device.up()
        try:
            suite = Suite(scratch)
            different, counts = compare(suite, modules, device.run_argv([]))
            complaints = judge(suite, different, modules, engine)
        finally:
            device.down()
        if not os.environ.get("MINO_SUITES"):
            out = build / "test" / "suites" / f"cpython.{engine}.json"
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps(counts, indent=1))
        print(f"{'module':24} {'tests':>6} {'native':>7} {'mino':>6}")
        for module, count in counts.items():
            print(f"{module:24} {count['tests']:6} {count['native']:7} {count['mino']:6}")
        if complaints:
            print("\n\n".join(["not as expected:", *complaints]))
            return 1
    print("cpython: as expected")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as failure:
        print(f"cpython: {failure}", file=sys.stderr)
        sys.exit(1)
