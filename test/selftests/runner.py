#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the steps of plan.py in this network, and writes each test's result as JSON.

    runner.py PROGRAMS RESULTS [PREFIX…]

PREFIX, if there is one, is `mino … run --`. selftests.py starts this on the host; guest.sh starts
it in the kernel itself, without a prefix. It must judge nothing. RESULTS is written as it goes, one
line for each test: {"test": "tls/tls_basic.base_base", "result": "ok", "says": […],
"seconds": 0.1}.
"""

import fnmatch
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import plan

TAP_RESULT = re.compile(r"(not ok|ok) \d+ (?:- )?(.*)")
SKIPPED = 4  # kselftest's exit status
TRIES = 6  # of a race, on a machine that is busy with other work


def execute(prefix, step, script, cwd):
    """Exit status (None: not in time) and output."""
    with tempfile.TemporaryFile() as out:
        popen = subprocess.Popen([*prefix, "sh", "-c", script], cwd=cwd, stdin=subprocess.DEVNULL,
                                 stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        try:
            status = popen.wait(step.timeout_s)
        except subprocess.TimeoutExpired:
            status = None
        try:  # what it left in its group, too
            os.killpg(popen.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        popen.wait()
        out.seek(0)
        return status, out.read().decode(errors="replace")


def parse_tap(text):
    """[(name, result, what it said)] of a kselftest_harness suite."""
    found, says = [], []
    for line in text.splitlines():
        match = TAP_RESULT.match(line)
        if not match:
            if line.startswith("#  RUN"):
                says = []
            else:
                says.append(line)
            continue
        name, _, directive = match[2].partition(" # ")
        name = name.strip()
        if name.startswith("# SKIP"):
            directive, name = name[2:], ""
        # "ok 3 # SKIP reason" has its name only in the line before.
        if not name and says:
            name = says[-1].split()[-1]
        result = "skip" if directive.startswith("SKIP") else match[1]
        found.append((name, result, says if result != "ok" else []))
        says = []
    return found, says


def run_step(prefix, step, cwd):
    """[(test, result, what it said, status)]"""
    script = step.command
    if step.before or step.after:
        script = (f"{{ {step.before or ':'}; }} || {{ echo setup failed; {step.after or ':'}; exit 99; }}\n"
                  f"{script}\nstatus=$?\n{step.after}\nexit $status")
    status, text = execute(prefix, step, script, cwd)
    if "TAP version" in text:
        tests, rest = parse_tap(text)
        tests = [(f"{step.selftest}/{name}", result, says) for name, result, says in tests]
        if status is None or status > 1:  # 1: a test failed
            how = "timeout" if status is None else f"status {status}"
            tests.append((f"{step.selftest}/(end)", how, rest))
        return tests
    says = text.splitlines()
    if status is None:
        result = "timeout"
    elif status == SKIPPED:
        result = "skip"
    elif status == 99:
        result = "no setup"
    else:
        result = "ok" if (status != 0) == step.fails else "not ok"
    name = f"{step.selftest}/{step.label}" if step.label else step.selftest
    return [(name, result, says if result != "ok" else says[-3:])]


def patterns_to_repeat(under_mino):
    """(tests that are races, those of them that are known to fail under mino)"""
    if not under_mino:
        return plan.RACES, []
    return plan.RACES, [entry["test"] for entry in plan.known_differences()]


def race(test, patterns):
    races, known = patterns
    return (any(fnmatch.fnmatchcase(test, pattern) for pattern in races)
            and not any(fnmatch.fnmatchcase(test, pattern) for pattern in known))


def run_again(prefix, step, test, cwd):
    """Runs one test of a step once more; of a TAP suite only this test."""
    if step.label:
        return run_step(prefix, step, cwd)[0]
    program = step.command.split()[0]
    again = plan.Step(step.selftest, f"{program} -r {test.partition('/')[2]}", before=step.before,
                      after=step.after)
    return next(iter(run_step(prefix, again, cwd)), (test, "not ok", ["no result"]))


def main():
    cwd, results, prefix = sys.argv[1], sys.argv[2], sys.argv[3:]
    patterns = patterns_to_repeat(bool(prefix))
    wanted = os.environ.get("MINO_SELFTESTS", "").split()
    with open(results, "w", encoding="utf-8") as out:
        for step in plan.steps():
            if wanted and step.selftest not in wanted:
                continue
            start = time.monotonic()
            tests = run_step(prefix, step, cwd)
            for test, result, says in tests:
                tries = 1
                while result == "not ok" and race(test, patterns) and tries < TRIES:
                    _, result, says = run_again(prefix, step, test, cwd)
                    tries += 1
                json.dump({"test": test, "result": result, "says": says[-30:], "tries": tries}, out)
                out.write("\n")
            json.dump({"step": step.command, "seconds": round(time.monotonic() - start, 2)}, out)
            out.write("\n")
            out.flush()


main()
