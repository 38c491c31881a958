#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""CPython's own tests, natively and under `mino run`: the same results.

    cpython.py [BUILD_DIR]             BUILD_DIR holds mino; the default is build/ of this tree

The tests are from Debian's libpython3.11-testsuite. suites.py says what the environment may set,
what is expected, and where the counts go.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree

sys.dont_write_bytecode = True

import suites  # noqa: E402

PYTHON = "/usr/bin/python3.11"
# Hangs natively too, on a machine that has /dev/vsock and nobody at its other end.
IGNORED = "*ThreadedVSOCKSocketStreamTest*"


class CPython(suites.Suite):
    name, needs = "cpython", "libpython3.11-testsuite"
    modules = ("test_select test_epoll test_poll test_selectors test_socket test_socketserver test_httplib "
               "test_urllib2_localnet test_ftplib test_smtplib test_poplib test_ssl test_os test_subprocess "
               "test_threading").split()
    long_modules = "test_asyncio test_signal test_multiprocessing_fork test_multiprocessing_spawn".split()

    @staticmethod
    def present():
        return pathlib.Path("/usr/lib/python3.11/test/test_socket.py").exists()

    def a_program(self):
        return [PYTHON, "-c", ""]

    def results(self, label, prefix, module):
        folder = self.folder(label)
        report = folder / f"{module}.xml"
        report.unlink(missing_ok=True)
        # The network is only what the namespace has, so tests that want "the network" may run.
        argv = [*prefix, PYTHON, "-m", "test", "-v", "-u", "network", "--timeout",
                str(suites.MODULE_LIMIT_S - 60), "-i", IGNORED, "--tempdir", folder / "tmp",
                "--junit-xml", report, module]
        got = suites.execute(argv, self.environment(), timeout_s=suites.MODULE_LIMIT_S)
        (folder / f"{module}.log").write_text(got.text + got.error_text)
        found = {module: "ok" if got.status == 0 else "failed"}
        if report.exists():
            for case in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
                bad = case.find("failure") is not None or case.find("error") is not None
                found[case.get("name")] = ("failed" if bad else
                                           "skipped" if case.find("skipped") is not None else "ok")
        return found

    def said(self, label, module, test):
        log = (self.folder(label) / f"{module}.log").read_text(errors="replace")
        parts = re.split(r"^={70}$", log, flags=re.MULTILINE)
        name = test.rsplit(".", 1)[-1]
        return next((part for part in parts if re.match(rf"\s*(FAIL|ERROR): {re.escape(name)}\b", part)),
                    log[-1500:]).strip()


if __name__ == "__main__":
    suites.run(CPython)
