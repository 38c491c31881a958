# SPDX-License-Identifier: Apache-2.0
"""The tier by which the programs of a driver are hooked, and what is known to differ with it.

Used by harness.py, the drivers of test/suites and what runs them. A differences.toml says what
works natively and not under mino, and why. It must never excuse anything that fails in another way
than its entry says.
"""

import os
import re
import sys
import tomllib

TIERS = ("auto", "sud", "patch", "preload")  # as `mino run --hook` names them


def engine():
    return os.environ.get("MINO_ENGINE", "native")


def tier():
    name = os.environ.get("MINO_HOOK") or "auto"
    if name not in TIERS:
        sys.exit(f"MINO_HOOK={name}: there is no such tier; say one of {', '.join(TIERS)}")
    return name


def run_flags():
    """The options of each `mino run`: none for the tier that it takes by itself."""
    return [] if tier() == "auto" else ["--hook", tier()]


def entries(path, kind="difference"):
    with open(path, "rb") as file:
        return tomllib.load(file).get(kind, [])


def here(found):
    """Those entries that are about this engine and this tier."""
    return [entry for entry in found
            if entry.get("engine", engine()) == engine() and entry.get("hook", tier()) == tier()]


def says(entry, text):
    return re.search(entry["says"], text, re.DOTALL)
