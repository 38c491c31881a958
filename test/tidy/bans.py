# SPDX-License-Identifier: Apache-2.0
"""What must not be in a source, with the reason.

What is banned in the parts is banned in what they are made of. Their tests are programs, and
exempt.
"""
import re

RULE = "bans"
BANNED = {
    "hook": [
        (r"\bmalloc\(|\bfree\(|\bnew \w|\bthrow\b|\btry\b", "no heap and no exceptions in hook/"),
        (r"#include <(cstdio|cstdlib|string|vector|map|iostream|unistd\.h|sys/.*)>", "no libc in hook/"),
        (r"\bthread_local\b|\b__thread\b", "no thread-local storage in hook/"),
    ],
    "abi": [(r"\bthrow\b|\bvirtual\b", "plain data only in abi/")],
}
EVERYWHERE = [(r"\b(TODO|FIXME|XXX)\b", "finish it, or say where its user looks that it is not finished")]


def check(tree):
    for name in tree.sources():
        banned = [] if name.endswith("_test.cc") else BANNED.get(name.split("/")[0], [])
        for number, line in enumerate(tree.lines(name), 1):
            for pattern, message in EVERYWHERE:
                if re.search(pattern, line):
                    yield name, number, message
            for pattern, message in banned:
                if re.search(pattern, re.sub(r"//.*", "", line)):
                    yield name, number, message
