#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Bytes that splice has moved from a memfd into a pipe still change with the file.
#
# splice hands the pages of the file to the pipe and copies nothing. What is written to the file
# before the pipe is read comes out of the pipe, although it was written later. So a file that is
# spliced piece by piece onto another place of itself repeats what it has just been given.
#
# Seen with Linux 6.18 (the running kernel is used). Needs python3 (3.10 or later, for os.splice).
# Exit status 0 if all is as said.
set -euo pipefail

exec python3 - <<'P'
import os
import sys

failed = False


def expect(what, got, wanted):
    global failed
    print(f"{what}: {got}")
    if got != wanted:
        print(f"   … and not {wanted}, as it was", file=sys.stderr)
        failed = True


def memfd():
    file = os.memfd_create("digits")
    os.write(file, b"0123456789")
    return file


file, (out, into) = memfd(), os.pipe()
print("kernel", os.uname().release)
os.splice(file, into, 3, offset_src=2)
os.pwrite(file, b"xyz", 2)
expect("spliced \"234\", then written \"xyz\" to the file; the pipe gives", os.read(out, 9).decode(), "xyz")

file = memfd()
os.lseek(file, 5, os.SEEK_SET)
for start, count in (2, 3), (7, 3), (0, 4):
    os.splice(file, into, count, offset_src=start)
    os.splice(out, file, count)
expect("pieces at 2, 7 and 0, spliced to 5 and on, give", os.pread(file, 99, 0).decode(), "012342344440123")
sys.exit(failed)
P
