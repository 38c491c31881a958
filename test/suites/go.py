#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Go's own tests of what talks to the kernel, natively and under `mino run`: the same results.

    go.py [BUILD_DIR]             BUILD_DIR holds mino; the default is build/ of this tree

The tests are from Debian's golang-src. The test programs are static and make their own system
calls. They run with -test.short, which leaves out what needs the internet. PACKAGE:long runs what
is left out only because it takes long. suites.py says what the environment may set, what is
expected, and where the counts go.
"""

import json
import os
import pathlib
import sys

sys.dont_write_bytecode = True

import suites  # noqa: E402

ROOT = pathlib.Path("/usr/lib/go")
LONG = {
    "net": "TestCancelAfterDial|TestTCPSpuriousConnSetupCompletion|TestVariousDeadlines.*",
    "net/http": "TestHTTP2.*|TestRequestBody.*|TestTimeoutHandler.*|TestServer.*|TestDisableKeepAliveUpgrade|"
                "TestStressSurpriseServerCloses|TestTransport.*|TestCancelRequestWithChannel|TestHandlerBodyClose",
    "crypto/tls": "TestHandshakeRace|TestDowngradeCanary|TestDialTimeout|TestDeadlineOnWrite|"
                  "TestConnReadNonzeroAndEOF",
}
VERDICTS = {"pass": "ok", "fail": "failed", "skip": "skipped"}


class Go(suites.Suite):
    name, needs = "go", "golang-go and golang-src"
    modules = "net net/http crypto/tls os/exec syscall".split()
    long_modules = [f"{package}:long" for package in LONG]

    @staticmethod
    def present():
        return (ROOT / "bin" / "go").exists() and (ROOT / "src" / "net" / "net_test.go").exists()

    def environment(self):
        cache = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")) + "/mino/go"
        kept = {key: value for key, value in super().environment().items()
                if not key.startswith("GO") and not key.lower().endswith("_proxy")}
        return kept | {"CGO_ENABLED": "0", "GO111MODULE": "on", "GOTOOLCHAIN": "local", "GOPROXY": "off",
                       "GOCACHE": cache}

    def program(self, package):
        return self.scratch / (package.replace("/", "_") + ".test")

    def a_program(self):
        return [self.program(self.modules[0]), "-test.list=^$"]

    def prepare(self):
        for package in self.modules:
            suites.execute(["go", "test", "-c", "-o", self.program(package), package], self.environment(),
                           timeout_s=300).ok()

    def results(self, label, prefix, module):
        package, _, long = module.partition(":")
        folder = self.folder(label)
        argv = [*prefix, self.program(package), "-test.v", f"-test.timeout={suites.MODULE_LIMIT_S - 60}s"]
        argv.append(f"-test.run=^({LONG[package]})$" if long else "-test.short")
        source = ROOT / "src" / package  # with its testdata
        environment = self.environment() | {"TMPDIR": str(folder / "tmp"), "PWD": str(source)}
        got = suites.execute(argv, environment, timeout_s=suites.MODULE_LIMIT_S, cwd=source)
        events = suites.execute(["go", "tool", "test2json"], self.environment(), stdin=got.out).ok()
        log = folder / (module.replace("/", "_") + ".json")
        log.write_text(events)
        log.with_suffix(".err").write_bytes(got.err)
        found = {module: "ok" if got.status == 0 else "failed"}
        for event in map(json.loads, events.splitlines()):
            if "Test" in event and event["Action"] in VERDICTS:
                found[event["Test"]] = VERDICTS[event["Action"]]
        return found

    def said(self, label, module, test):
        log = self.folder(label) / (module.replace("/", "_") + ".json")
        events = [json.loads(line) for line in log.read_text().splitlines()]
        wanted = None if test == module else test
        printed = "".join(event.get("Output", "") for event in events if event.get("Test") == wanted)
        if any(event.get("Test") == wanted and event["Action"] in VERDICTS for event in events) and wanted:
            return printed[:3000].strip()
        return (printed[-1500:] + log.with_suffix(".err").read_text(errors="replace")[:3000]).strip()


if __name__ == "__main__":
    suites.run(Go)
