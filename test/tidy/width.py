# SPDX-License-Identifier: Apache-2.0
"""Columns: 100 in C and C++, of which the formatter does not break comments; 120 in assembly.

Where the formatter is off, a table has one row a line, however long.
"""
RULE = "width"
MAX_COLUMNS = {".cc": 100, ".h": 100, ".c": 100, ".S": 120}


def check(tree):
    for name in tree.sources():
        most, by_hand = MAX_COLUMNS[name[name.rindex("."):]], False
        for number, line in enumerate(tree.lines(name), 1):
            if "clang-format o" in line:
                by_hand = "clang-format off" in line
            columns = len(line.expandtabs(8))
            if columns > most and not by_hand:
                yield name, number, f"{columns} columns; the most is {most}"
