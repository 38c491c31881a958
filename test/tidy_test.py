#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Shows tidy.py a small tree that is in order, then for each rule one that is not: exactly that rule must complain.

    tidy_test.py [-v] [NAME…]     as unittest does
"""
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

sys.dont_write_bytecode = True
TIDY = Path(__file__).resolve().parent / "tidy.py"
sys.path.insert(0, str(TIDY.parent))

import tidy  # noqa: E402
from samples import BAD, GOOD, more  # noqa: E402 (tidy.py has said where)
FORMATTER = "clang-format-19"
class Tidy(unittest.TestCase):
    def setUp(self):
        self.root = Path(tempfile.mkdtemp(prefix="mino-tidy."))
        self.addCleanup(shutil.rmtree, self.root)

    def lay(self, *overlays):
        """The good tree and what is laid over it."""
        tree = self.root / "tree"
        shutil.rmtree(tree, ignore_errors=True)
        for name, text in {name: text for files in (GOOD, *overlays) for name, text in files.items()}.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(text)
        for command in (["init", "-q"], ["add", "-A", "-f"]):
            subprocess.run(["git", "-C", tree, *command], check=True)
        return tree

    def run_tidy(self, *arguments, path=os.environ["PATH"]):
        """What it prints, as lines, and its exit status."""
        run = subprocess.run([sys.executable, TIDY, *arguments], capture_output=True, text=True,
                             env=os.environ | {"PATH": str(path)})
        self.assertEqual(run.stderr, "")
        return run.stdout.splitlines(), run.returncode

    def place(self, *tools):
        """A PATH with these programs of this machine alone."""
        folder = self.root / "bin"
        folder.mkdir()
        for tool in tools:
            (folder / tool).symlink_to(shutil.which(tool))
        return folder

    def test_good(self):
        lines, status = self.run_tidy(self.lay())
        lines = [line for line in lines if not line.startswith("skipped: ")]
        self.assertEqual((lines[:-1], status), ([], 0))
        self.assertRegex(lines[-1], rf"^tidy: {len(GOOD)} files, 0 findings, [0-2] rules skipped$")

    def test_each_rule_has_a_bad_sample(self):
        self.assertEqual(set(tidy.RULES), set(BAD))

    def test_without_the_formatter(self):
        lines, status = self.run_tidy(self.lay(more("base/fd.h", "int   one( );\n")), path=self.place("git"))
        self.assertIn(f"skipped: {FORMATTER} is not installed [format]", lines)
        self.assertRegex(lines[-1], r" 0 findings, [12] rules skipped$")
        self.assertEqual(status, 0)

    def test_without_git(self):
        lines, status = self.run_tidy(self.lay(), path=self.place())
        self.assertEqual(lines[0], "skipped: git is not installed")
        self.assertEqual(status, 0)

    def test_what_the_formatter_changes_twice(self):
        """A formatter that is never content."""
        folder = self.place("git", "sed")
        (folder / FORMATTER).write_text("""#!/bin/sh
if [ "$1" = -i ]; then exec sed -i '$a // and more' base/fd.h; fi
echo "base/fd.h:1:1: error: code should be clang-formatted" >&2
exit 1
""")
        (folder / FORMATTER).chmod(0o755)
        (folder / "sh").symlink_to("/bin/sh")
        lines, status = self.run_tidy(self.lay(), "format", path=folder)
        self.assertIn("base/fd.h:1: formatted twice, it differs from formatted once: write it another way [format]",
                      lines)
        self.assertEqual(status, 1)


def bad(rule, files, message):
    def test(self):
        lines, has_findings = tidy.check(self.lay(files), tidy.RULES)
        skipped = [line for line in lines if line.startswith("skipped: ") and line.endswith(f"[{rule}]")]
        if skipped:
            self.skipTest(skipped[0])
        findings = [line for line in lines[:-1] if not line.startswith("skipped: ")]
        self.assertEqual({line.rpartition(" ")[2] for line in findings}, {f"[{rule}]"}, "\n".join(lines))
        self.assertTrue(any(message in line for line in findings), "\n".join(lines))
        self.assertTrue(has_findings)
    return test


for rule, name, files, message in [(rule, *sample) for rule, samples in BAD.items() for sample in samples]:
    setattr(Tidy, f"test_{rule}_{name}", bad(rule, files, message))

if __name__ == "__main__":
    unittest.main()
