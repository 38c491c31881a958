#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`make -j2` under mino: hundreds of processes, and the output of a native run to the byte.

Run by ctest as apps.make; see harness.py for the arguments. The project compiles, archives, links
and runs what it has made. make's jobserver is a pipe; gcc starts its parts by vfork.
"""

import random

import harness
from harness import check, check_equal, sha256

FILES = 40

MAKEFILE = """
OBJECTS := $(patsubst %.c,%.o,$(wildcard part*.c))
all: program.out
%.o: %.c parts.h
\t$(CC) -O1 -Wall -c -o $@ $<
libparts.a: $(OBJECTS)
\t$(AR) rcD $@ $(sort $^)
program: main.o libparts.a
\t$(CC) -o $@ main.o -L. -lparts -Wl,--build-id=none
program.out: program
\t./program > $@
\tsort -rn $@ | head -3
\t@for i in 1 2 3 4 5; do expr $$i + $$(wc -l < $@) > count.$$i & done; wait; cat count.[1-5]
clean:
\trm -f *.o libparts.a program program.out count.*
broken: part1.o
\t@sh -c 'kill -TERM $$$$'
.PHONY: all clean broken
"""


def project(folder):
    """The same sources in every folder."""
    folder.mkdir()
    numbers = random.Random(1)
    declared = "".join(f"int part{i}(int);\n" for i in range(FILES))
    (folder / "parts.h").write_text(declared)
    for i in range(FILES):
        body = "".join(f"  x = x * {numbers.randrange(3, 99)} + {numbers.randrange(999)};\n"
                       for _ in range(20))
        (folder / f"part{i}.c").write_text(
            f'#include <stdio.h>\n#include "parts.h"\nint part{i}(int x) {{\n{body}  return x & 0xffff;\n}}\n')
    calls = "".join(f'  printf("%d\\n", part{i}({i}));\n' for i in range(FILES))
    (folder / "main.c").write_text(
        f'#include <stdio.h>\n#include "parts.h"\nint main(void) {{\n{calls}  return 0;\n}}\n')
    (folder / "Makefile").write_text(MAKEFILE)


def made(folder):
    return {path.name: sha256(path.read_bytes()) for path in folder.iterdir()}


def make(runner, folder, *arguments):
    # The output is in order, whichever job ends first.
    return runner("make", "-C", folder, "-Otarget", "--no-print-directory", *arguments, timeout_s=90)


def main(t):
    # The folders' names have equal length, so that neither output nor objects tell them apart.
    runs = {}
    for label, runner in (("native", t.host), ("device", t.offloaded)):
        folder = t.scratch / label
        project(folder)
        first = make(runner, folder, "-j2")
        again = make(runner, folder, "-j2")
        broken = make(runner, folder, "broken")
        runs[label] = {
            "status": (first.status, again.status, broken.status),
            "lines": sorted(first.text.splitlines()),
            "errors": (first.error_text, again.text, again.error_text, broken.text, broken.error_text),
            "files": made(folder)}
        if label == "device":
            make(runner, folder, "clean")
            check_equal(sorted(made(folder)), sorted(
                ["Makefile", "parts.h", "main.c", *(f"part{i}.c" for i in range(FILES))]), "after make clean")
    native, offloaded = runs["native"], runs["device"]
    check_equal(native["status"], (0, 0, 2), f"make natively: {native['errors']}")
    check(len(native["files"]) > 2 * FILES, f"make made {len(native['files'])} files")
    for what in native:
        got, want = offloaded[what], native[what]
        check_equal(str(got).replace(str(t.scratch / "device"), "F"),
                    str(want).replace(str(t.scratch / "native"), "F"), f"make -j2 under mino: {what}")


if __name__ == "__main__":
    harness.run(main, needs=["make", "gcc", "ar", "sort"], limit_s=150)
