# SPDX-License-Identifier: Apache-2.0
"""Every .cc, .c and .S file is built: a build file or a driver, in its folder or above, names it.

It is named by its path, by its name, by a pattern or, in a list of programs, by its name without
the ending.
"""
import fnmatch
import re

from tree import folder

RULE = "built"
BUILDERS = ("CMakeLists.txt", "Makefile", "Kbuild")
WORD = re.compile(r"[\w.*?/+-]+")


def check(tree):
    builders = [Builder(name, tree.text(name)) for name in tree.names
                if name.split("/")[-1] in BUILDERS or name.endswith((".sh", ".py"))]
    for name in tree.sources():
        if not name.endswith(".h") and not any(builder.builds(name) for builder in builders):
            yield name, 1, "no CMakeLists.txt, Makefile or driver of its folder or above names it: who builds it?"


class Builder:
    def __init__(self, name, text):
        text = re.sub(r"(?m)(^|\s)#.*", "", text)
        self.home = folder(name) + "/" if folder(name) else ""
        self.is_list = name.endswith(BUILDERS)
        self.words = set(WORD.findall(text))
        self.names = {word.split("/")[-1] for word in self.words}
        # $(src)/x*.c in a Makefile is beside it.
        self.patterns = {word.lstrip("/") for word in self.words if "*" in word and self.is_list}
        self.wants_tests = "INCLUDE REGEX" in text

    def builds(self, source):
        if self.is_list and source in self.words:
            return True  # by its path from the root, as fuzz/ names what it tests
        if not source.startswith(self.home):
            return False
        path = source[len(self.home):]
        stem = path.rpartition(".")[0]
        if path in self.words or (not self.is_list and path.split("/")[-1] in self.names):
            return True
        if self.is_list and "/" not in path and (stem in self.words or re.sub("_fuzz$", "", stem) in self.words):
            return True
        # The * of a pattern stays in its folder. Tests are filtered out of patterns, unless a build
        # wants them.
        return any(pattern.count("/") == path.count("/") and fnmatch.fnmatchcase(path, pattern)
                   and (not stem.endswith("_test") or "_test" in pattern or self.wants_tests)
                   for pattern in self.patterns)
