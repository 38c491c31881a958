# SPDX-License-Identifier: Apache-2.0
"""Each source begins with its licence, and is short enough to be about one noun. Scripts can be executed."""

RULE = "heads"
MAX_LINES = 600


def check(tree):
    yield from scripts(tree)
    for name in tree.sources():
        lines = tree.lines(name)
        if "SPDX-License-Identifier" not in (lines[0] if lines else ""):
            yield name, 1, "the first line is the SPDX licence identifier"
        if len(lines) > MAX_LINES:
            yield name, len(lines), f"longer than {MAX_LINES} lines: is it one noun?"


def scripts(tree):
    """What begins with #! can be executed."""
    for name in tree.names:
        path = tree.root / name
        with open(path, "rb") as file:
            if file.read(2) == b"#!" and not path.stat().st_mode & 0o100:
                yield name, 1, "it has a #! line and cannot be executed: chmod +x"
