# SPDX-License-Identifier: Apache-2.0
"""What the drivers of other people's suites share: native and mino runs, compared by module.

A driver makes a Suite of its own and calls run(). Environment:

    MINO_ENGINE=native|linux           the device's engine
    MINO_HOOK=auto|sud|patch|preload   how the programs are hooked; auto unless it is set
    MINO_SUITES="MODULE …"             only these modules
    MINO_LONG=1                        the long modules as well
    MINO_SUITES_KEEP=DIR               outputs and results stay in DIR

Natively they run in a network namespace of their own with only lo in it. A test that passes
natively must pass under mino, or be in differences.toml with its reason. A test that has failed
under mino gets a second try alone, because these tests watch the clock. If a tier does not support
a suite at all (`unserved` in differences.toml), mino must say so, and the suite is not run. The
counts go to BUILD_DIR/test/suites/SUITE.ENGINE.TIER.json, and are added to those of modules that
ran before. table.py makes doc/compatibility.md from them.

Exit status: 0 as expected, 1 not, 77 cannot run here.
"""

import concurrent.futures
import contextlib
import fnmatch
import json
import os
import pathlib
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "apps"))

import tiers  # noqa: E402
from device import MinoDevice  # noqa: E402
from programs import Failure, execute  # noqa: E402

MODULE_LIMIT_S = 300
NATIVE = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]


class Suite:
    """What a driver's own suite defines: these, and results(), said() and a_program()."""

    name, needs = "", ""  # "needs root and …"
    modules, long_modules = [], []

    def __init__(self, scratch):
        self.scratch = scratch

    @staticmethod
    def present():
        """Whether the suite is on this machine."""
        return True

    def prepare(self):
        """Once, before the first module."""

    def results(self, label, prefix, module):
        """{test: "ok", "failed" or "skipped"}; the result of the module itself is under its name.
        """
        raise NotImplementedError

    def said(self, label, module, test):
        """What the run printed about a failed test."""
        raise NotImplementedError

    def a_program(self):
        """The command line of one of the programs that hold the tests, to be run without effect."""
        raise NotImplementedError

    def folder(self, label):
        folder = self.scratch / label
        (folder / "tmp").mkdir(parents=True, exist_ok=True)
        return folder

    def environment(self):
        kept = {key: value for key, value in os.environ.items() if not key.startswith("MINO_")}
        return kept | {"LC_ALL": "C.UTF-8", "HOME": str(self.scratch), "TMPDIR": str(self.scratch),
                       "PYTHONDONTWRITEBYTECODE": "1",
                       "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def compare(suite, modules, prefix):
    """[(module, test, how)] of what passes only natively; and the counts."""
    different, counts = [], {}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        native = pool.map(lambda m: suite.results("native", NATIVE, m), modules)
        offloaded = pool.map(lambda m: suite.results("mino", prefix, m), modules)
        for module, here, there in zip(modules, native, offloaded):
            worse = [test for test in here if here[test] == "ok" and there.get(test) != "ok"]
            if worse:
                print(f"{module}: {len(worse)} again, alone")
                there = suite.results("mino", prefix, module)
            tests = [test for test in here if test != module]
            if not any(here[test] == "ok" for test in tests):
                raise Failure(f"{module}: no test passes natively, so nothing is compared:\n"
                              + suite.said("native", module, module))
            counts[module] = {
                "tests": len(tests),
                "native": sum(here[test] == "ok" for test in tests),
                "mino": sum(there.get(test) == "ok" for test in tests),
                "differ": [test for test in tests if here[test] == "ok" and there.get(test) != "ok"]}
            different += [(module, test, there.get(test, "not run")) for test in here
                          if here[test] == "ok" and there.get(test) != "ok"]
    return different, counts


def listed_here(suite, kind):
    return [entry for entry in tiers.here(tiers.entries(HERE / "differences.toml", kind))
            if entry["suite"] == suite.name]


def check_unserved(suite, entry, prefix):
    """Nothing is compared, but mino must say so, and why, as a user would see it."""
    got = execute([*prefix, *suite.a_program()], suite.environment())
    if not tiers.says(entry, got.error_text):
        raise Failure(f"differences.toml says that this tier does not serve it: {entry['reason']}. But mino does not "
                      f"say {entry['says']!r}:\n{got.error_text}")
    print(f"{suite.name}: not served, as differences.toml says: {entry['reason']}")


def judge(suite, different, modules):
    """Complaints: differences that are not listed, and listed ones that are gone."""
    listed = listed_here(suite, "difference")
    complaints, seen = [], set()
    for module, test, how in different:
        entry = next((entry for entry in listed if fnmatch.fnmatch(test, entry["test"])), None)
        if entry is None and test == module and any(m == module and t != m for m, t, _ in different):
            continue  # the module failed because of its tests
        text = suite.said("mino", module, test)
        if entry is None:
            complaints.append(f"{module}: {test}: ok natively, {how} under mino\n{text}")
        elif not tiers.says(entry, text):
            complaints.append(f"{test}: fails in another way than /{entry['says']}/\n{text}")
        else:
            seen.add(entry["test"])
    complaints += [f"{entry['test']}: passes now; take it off differences.toml" for entry in listed
                   if entry["test"] not in seen and entry["module"] in modules
                   and not entry.get("unsteady")]
    return complaints


def keep_counts(build, suite, counts):
    path = build / "test" / "suites" / f"{suite.name}.{tiers.engine()}.{tiers.tier()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    before = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(before | counts, indent=1))


def compare_all(suite, modules, prefix, build):
    """Complaints."""
    unserved = listed_here(suite, "unserved")
    if unserved:
        check_unserved(suite, unserved[0], prefix)
        keep_counts(build, suite, {module: {"unserved": unserved[0]["reason"]} for module in modules})
        return []
    different, counts = compare(suite, modules, prefix)
    keep_counts(build, suite, counts)
    print(f"{'module':24} {'tests':>6} {'native':>7} {'mino':>6}")
    for module, count in counts.items():
        print(f"{module:24} {count['tests']:6} {count['native']:7} {count['mino']:6}")
    return judge(suite, different, modules)


def main(suite_class):
    build = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else HERE.parent.parent / "build").resolve()
    if os.geteuid() != 0 or not suite_class.present():
        print(f"needs root and {suite_class.needs} (test/suites/packages.txt)")
        return 77
    flags = tiers.run_flags()
    modules = os.environ.get("MINO_SUITES", "").split() or (
        suite_class.modules + (suite_class.long_modules if "MINO_LONG" in os.environ else []))
    with contextlib.ExitStack() as stack:
        keep = os.environ.get("MINO_SUITES_KEEP")
        scratch = pathlib.Path(keep or stack.enter_context(
            tempfile.TemporaryDirectory(prefix=f"mino-{suite_class.name}-"))).resolve()
        scratch.mkdir(parents=True, exist_ok=True)
        scratch.chmod(0o755)
        suite = suite_class(scratch)
        suite.prepare()
        device = MinoDevice(build / "mino", scratch / "run", flags,
                            lambda argv, **options: execute(argv, suite.environment(), **options))
        device.up()
        try:
            complaints = compare_all(suite, modules, device.run_argv([]), build)
        finally:
            device.down()
        if complaints:
            print("\n\n".join(["not as expected:", *complaints]))
            return 1
    print(f"{suite_class.name}: as expected")
    return 0


def run(suite_class):
    try:
        sys.exit(main(suite_class))
    except Failure as failure:
        print(f"{suite_class.name}: {failure}", file=sys.stderr)
        sys.exit(1)
