# SPDX-License-Identifier: Apache-2.0
"""Documents are read in a terminal, and ARCHITECTURE.md in one sitting."""

RULE = "documents"
MAX_COLUMNS = 100
MAX_WORDS = {"ARCHITECTURE.md": 1200}


def check(tree):
    for name in tree.names:
        if not name.endswith(".md"):
            continue
        for number, line in enumerate(tree.lines(name), 1):
            # A link may be longer than a line.
            if len(line) > MAX_COLUMNS and max(map(len, line.split())) < MAX_COLUMNS - 20:
                yield name, number, f"{len(line)} columns; the most is {MAX_COLUMNS}"
        words = len(tree.text(name).split())
        if words > MAX_WORDS.get(name, words):
            yield name, len(tree.lines(name)), f"{words} words; the most is {MAX_WORDS[name]}"
