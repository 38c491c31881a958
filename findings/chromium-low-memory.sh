#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Chromium takes all addresses from 64 KiB to 4 GiB before constructors of preloaded libraries run.
#
# Tools that rewrite code put their jump tables at low addresses, where a short instruction with an
# absolute 32-bit address reaches them. A library of LD_PRELOAD that maps such a page from its
# constructor gets it in other programs. In Chromium it does not: the program's own allocator is
# called while ld.so still runs earlier constructors, and its first act is to reserve, with
# PROT_NONE, everything from 0x10000 to 0x100100000, so that no 32-bit value is a valid pointer.
#
# Seen with Debian's chromium 156.0.8078.108-1~deb12u1. Needs gcc and the libraries that the package
# depends on (test/apps/packages.txt installs them); the program is fetched into a temporary folder.
# Exit status 0 if all is as said, 1 if not, 2 if that version cannot be had any more.
set -euo pipefail

version=156.0.8078.108-1~deb12u1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
if ! said=$(apt-get download -qq "chromium=$version" 2>&1); then
  if apt-cache madison chromium | grep -qF " $version " && [[ $said != *404* ]]; then
    echo "chromium $version could not be fetched: $said" >&2
  else
    echo "chromium $version is gone from the package sources, so this shows nothing. They have" \
      "$(apt-cache madison chromium | cut -d'|' -f2 | sort -u | xargs). Try one of them in its place." >&2
  fi
  exit 2
fi
dpkg-deb -x chromium_*.deb root

cat > probe.c <<'C'
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

__attribute__((constructor)) static void probe(void) {
  void* const at = (void*)0x20000;
  const void* got = mmap(at, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  fprintf(stderr, "probe: %s\n", got == at ? "mapped" : strerrorname_np(errno));
  char line[256];
  FILE* maps = fopen("/proc/self/maps", "r");
  if (got != at && fgets(line, sizeof line, maps)) fprintf(stderr, "first: %.23s\n", line);
}
C
gcc -shared -fPIC -D_GNU_SOURCE -o probe.so probe.c

status=0
expect() {  # what, got, wanted
  echo "$1: $2"
  [ "$2" = "$3" ] || { echo "   … and not $3, as it was" >&2; status=1; }
}
said() { HOME=$folder LD_PRELOAD=$folder/probe.so "$@" 2>&1 > /dev/null | grep -m1 "^$what: " | cut -d' ' -f2- || true; }
what=probe
expect "the page at 0x20000 in /bin/true" "$(said /bin/true)" mapped
expect "the same in Chromium" "$(said root/usr/lib/chromium/chromium --version)" EEXIST
what=first
expect "Chromium's lowest mapping" "$(said root/usr/lib/chromium/chromium --version)" "00010000-100100000 ---p"
exit $status
