# SPDX-License-Identifier: Apache-2.0
"""Each source begins with its licence, and is short enough to be about one noun."""

RULE = "heads"
MAX_LINES = 600


def check(tree):
    for name in tree.sources():
        lines = tree.lines(name)
        if "SPDX-License-Identifier" not in (lines[0] if lines else ""):
            yield name, 1, "the first line is the SPDX licence identifier"
        if len(lines) > MAX_LINES:
            yield name, len(lines), f"longer than {MAX_LINES} lines: is it one noun?"
