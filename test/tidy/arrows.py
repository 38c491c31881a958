# SPDX-License-Identifier: Apache-2.0
"""Who may include whom: arrows only point down, between the folders, the rooms of hook/, and the
files of the driver.

Tests may include what they test. Code that only tests use is in folders named testing/.
"""
import re

from tree import folder

RULE = "arrows"
PARTS = {
    "base": {"base"},
    "abi": {"abi"},
    "channel": {"channel", "abi", "base"},
    "engine": {"engine", "channel", "abi", "base"},
    "hook": {"hook", "abi"},
    "daemon": {"daemon", "engine", "channel", "abi", "base"},
    "cli": {"cli", "daemon", "channel", "abi", "base"},
}
# From the ground up. preload/ stands beside them: it may include all but the top, and nobody
# includes it.
ROOMS = ("base", "state", "device", "catch", "start", "calls", "dispatch")
BESIDE = "preload"
# The head of this file lists the driver's files, from the top.
DRIVER = "kernel/usrcall.c"


def check(tree):
    for name in tree.sources():
        for number, included in tree.includes(name):
            for message in [*testing(name, included), *part(tree, name, included), *rooms(tree, name, included)]:
                yield name, number, message
        if name.startswith("hook/") and hook_room(name) not in (*ROOMS, BESIDE):
            yield name, 1, f"hook/ has the rooms {', '.join(ROOMS[:-1])} and {BESIDE}, and dispatch.cc on top"
    yield from cycles(tree)
    if DRIVER in tree.present:
        yield from driver(tree)


def is_test(name):
    return name.endswith(("_test.cc", "_test.c")) or name.split("/")[0] in ("fuzz", "test") or "/testing/" in name


def testing(name, included):
    if ("/testing/" in included or included.startswith("testing/")) and not is_test(name):
        yield f"{folder(included)}/ is test code, which no product source may include"


def part(tree, name, included):
    own, other = name.split("/")[0], included.split("/")[0]
    if own not in PARTS or is_test(name):
        return
    if other not in PARTS[own] and (other in PARTS or included in tree.present):
        yield f"{own}/ may not include {other}/"


def hook_room(name):
    """The second part of a path; for a file in hook/ itself, its name."""
    return name.split("/")[1].split(".")[0]


def rooms(tree, name, included):
    if not (name.startswith("hook/") and included.startswith("hook/")) or is_test(name):
        return
    own, other = hook_room(name), hook_room(included)
    if included not in tree.present and other not in (*ROOMS, BESIDE):
        return  # the build makes it
    if own == BESIDE:
        if other == ROOMS[-1]:
            yield f"{BESIDE}/ may not include {included}"
    elif other == BESIDE:
        yield f"hook/{own} may not include hook/{BESIDE}/"
    elif own in ROOMS and other in ROOMS and ROOMS.index(other) > ROOMS.index(own):
        yield f"hook/{own} may not include hook/{other}: it is above"


def driver(tree):
    order = re.findall(r"^ \*   (usrcall\w*)\.c ", tree.text(DRIVER), re.M)
    for name in tree.sources("kernel"):
        stem = unit(name).split("/")[-1]
        if not stem.startswith("usrcall"):
            continue
        if stem not in order:
            yield name, 1, f"not listed at the head of {DRIVER}"
            continue
        for number, included in tree.includes(name):
            if included.startswith("usrcall") and unit(included) not in order[order.index(stem):]:
                yield name, number, f"{name} may not include {included}: it is above"


def unit(name):
    """x.h and x.cc are one unit."""
    return name.rpartition(".")[0]


def cycles(tree):
    """Units of hook/ that include each other, reported once, where the first of them includes
    another.
    """
    edges = {}
    for name in tree.sources("hook"):
        for number, included in tree.includes(name):
            if not is_test(name) and included in tree.present and unit(included) != unit(name):
                edges.setdefault(unit(name), {}).setdefault(unit(included), (name, number))
    reach = {each: reachable(edges, each) for each in edges}
    said = set()
    for each in sorted(edges):
        if each in reach[each] and each not in said:
            circle = sorted(other for other in reach[each] if each in reach.get(other, ()))
            said.update(circle)
            name, number = next(edges[each][other] for other in circle if other in edges[each])
            yield name, number, f"these include each other: {', '.join(circle)}"


def reachable(edges, start):
    found, waiting = set(), list(edges.get(start, ()))
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += edges.get(each, ())
    return found
