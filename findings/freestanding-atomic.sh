#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# <atomic> of libstdc++ 12 is not freestanding from C++20 on.
#
# The C++ standard lists <atomic> among the headers of a freestanding implementation, and with
# -ffreestanding one expects it to need no operating system. In C++17 mode libstdc++ 12 does so. In
# C++20 mode its support for atomic waiting is included without a look at __STDC_HOSTED__, and with
# it <pthread.h>, <time.h> and <sched.h>. So code without libc that includes the kernel's headers
# for programs (<linux/time.h>, <linux/signal.h>) beside <atomic> does not compile: struct timeval
# and struct itimerspec are defined twice.
#
# Seen with libstdc++-12-dev 12.2.0-14+deb12u1, g++ 12.2.0, glibc 2.36. Needs g++-12, libc6-dev and
# linux-libc-dev; the library's headers are fetched into a temporary folder. Exit status 0 if all is
# as said.
set -euo pipefail

version=12.2.0-14+deb12u1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq "libstdc++-12-dev=$version" > /dev/null 2>&1
dpkg-deb -x libstdc++-12-dev_*.deb root
library=(-nostdinc++ -isystem root/usr/include/c++/12 -isystem root/usr/include/x86_64-linux-gnu/c++/12)

echo '#include <atomic>' > alone.cc
printf '#include <linux/time.h>\n#include <atomic>\n' > beside.cc
status=0
expect() {  # what, got, wanted
  echo "$1: $2"
  [ "$2" = "$3" ] || { echo "   … and not $3, as it was" >&2; status=1; }
}
for standard in 17 20; do
  compiler=(g++-12 "-std=c++$standard" -ffreestanding "${library[@]}")
  posix=$("${compiler[@]}" -M alone.cc | tr ' ' '\n' | grep -oE '/(pthread|time|sched)\.h$' | sort -u | tr -d '/\n' || true)
  compiles=yes
  "${compiler[@]}" -fsyntax-only beside.cc 2> errors || compiles=no
  case $standard in
    17) expect "C++17, POSIX headers that <atomic> includes" "${posix:-none}" none
        expect "C++17, <linux/time.h> and <atomic>: compiles" "$compiles" yes ;;
    20) expect "C++20, POSIX headers that <atomic> includes" "${posix:-none}" pthread.hsched.htime.h
        expect "C++20, <linux/time.h> and <atomic>: compiles" "$compiles" no
        expect "C++20, the first error" "$(grep -m1 -oE "redefinition of .struct timeval." errors | tr -d '‘’' || true)" \
          "redefinition of struct timeval" ;;
  esac
done
exit $status
