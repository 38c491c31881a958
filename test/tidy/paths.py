# SPDX-License-Identifier: Apache-2.0
"""The files that comments and documents name exist.

A path is from the top of the tree, or from the folder (or the room) of the file that names it. A
name alone may also be one that only one file has. Files of other trees are left alone: those of the
kernel, of libc, and what the build makes.
"""
import posixpath
import re

from tree import folder, room

RULE = "paths"
READ = (".cc", ".h", ".c", ".S", ".py", ".sh", ".md", ".cmake", ".toml", "CMakeLists.txt", "Makefile", "Kconfig",
        "check", "quickstart", ".ci/run", ".in", ".yml")
ENDINGS = "cc|h|S|c|py|sh|md|cmake"
UNIT = (".h", ".cc", ".c", ".S", ".py")
PLACEHOLDER = re.compile(r"\b(NAME|DRIVER|NNNN|foo|x)(_|\b)")
URL = re.compile(r"\w+://\S+")
PATH = re.compile(r"(?<![\w./~$}>*<-])((?:\.\.?/)*(?:[\w.+-]+/)+(?:[\w+-]+(?:\.[\w+-]+)*)?)(?![\w*{<$\[])")
NAME = re.compile(rf"(?<![\w./~$}}>*<-])([\w+-]+(?:\.[\w+-]+)*\.(?:{ENDINGS}))(?![\w*{{<$(/-]|\.\w)")
# Paths that look like ours but are not, each with the reason.
FOREIGN = {
    "kernel/seccomp.c": "Linux's, which has a kernel/ too",
    "net.h": "Linux's include/linux/net.h",
}
# Folders whose names are also words that may stand before a slash.
WORDS = ("base", "engine", "kernel", "test")


def check(tree):
    names = {}
    for name in tree.names:
        names.setdefault(name.split("/")[-1], []).append(name)
    tops = {name.split("/")[0] for name in tree.names if "/" in name}
    # What a build file mentions either exists, or is made by the build.
    made = {word for name in tree.names if name.endswith("CMakeLists.txt")
            for word in re.findall(r"[\w.-]+", tree.text(name))}
    for name in tree.names:
        if not name.endswith(READ):
            continue
        for number, text in tree.comments(name):
            text = URL.sub(lambda m: " " * len(m.group()), text)
            for match in PATH.finditer(text):
                yield from ((name, number, message) for message in path(tree, tops, name, match.group(1)))
            for match in NAME.finditer(text):
                yield from ((name, number, message) for message in bare(tree, names, made, name, match.group(1)))


def exists(tree, path):
    """As a file, a folder, or a unit: x for x.h and x.cc."""
    path = posixpath.normpath(path)
    return path in tree.present or path in tree.folders or any(path + ending in tree.present for ending in UNIT)


def places(name):
    """The folders from which a name in this file may be meant: its own, those above it, and the
    top.
    """
    here = folder(name)
    found = [here, room(name)]
    while here:
        here = folder(here)
        found.append(here)
    return found


def path(tree, tops, name, told):
    told = told.rstrip("/")
    if told.startswith("."):
        if not exists(tree, posixpath.join(folder(name), told)) and not exists(tree, told):
            yield f"{told} does not exist"
        return
    if told in FOREIGN or any(exists(tree, posixpath.join(place, told)) for place in places(name)):
        return
    top = told.split("/")[0]
    if top not in tops or PLACEHOLDER.search(told):
        return
    if top not in WORDS or re.search(rf"\.({ENDINGS})$", told):
        yield f"{told} does not exist"


def bare(tree, names, made, name, told):
    if told in FOREIGN or PLACEHOLDER.search(told):
        return
    if any(exists(tree, posixpath.join(place, told)) for place in places(name)):
        return
    if told in made or any(included.endswith("/" + told) for _, included in tree.includes(name)):
        return
    found = names.get(told, [])
    if not found:
        yield f"there is no file {told}"
    elif len(found) > 1:
        yield f"{told} may be {' or '.join(found)}"
