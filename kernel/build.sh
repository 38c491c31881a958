#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
#
# Builds the device's kernel: Debian's linux-source-6.12 as ARCH=um, with the patches, the driver,
# the configuration and the init of this folder. Called by `mino up --engine linux`, by the tests,
# and by hand. Progress goes to stderr; the last line of stdout is the path of the kernel, beside
# which lies vmlinux, the same with symbols.
#
# Theory of operation. A result is kept under a hash of all its inputs, so that a second call costs
# nothing. A result that is missing is built in one work tree, incrementally: a changed driver or
# patch touches only the files that it changes, and make does the rest. A lock keeps concurrent
# builds apart. Nothing is ever written into the repository.
set -euo pipefail

usage() {
  cat <<'USAGE'
usage: kernel/build.sh [--output DIR] [--clean]

  --output DIR  put linux and vmlinux into DIR as well, and print that path
  --clean       forget the work tree and this result first

Environment:
  XDG_CACHE_HOME       results are in $XDG_CACHE_HOME/mino (default ~/.cache/mino)
  MINO_KERNEL_DEBUG=1  with debug information and symbol names in messages
  MINO_KERNEL_INIT=F   F instead of kernel/init.c
USAGE
}

say() { echo "kernel: $*" >&2; }
die() { echo "kernel: $*" >&2; exit 1; }

output='' clean=''
while [ $# -gt 0 ]; do
  case $1 in
    --output) [ $# -gt 1 ] || die '--output needs a directory'; output=$2; shift ;;
    --clean) clean=1 ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
  shift
done

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(dirname "$here")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/mino
work=$cache/kernel-work
package=linux-source-6.12
tarball=/usr/src/$package.tar.xz
debug=${MINO_KERNEL_DEBUG:-0}
init_source=${MINO_KERNEL_INIT:-$here/init.c}

# The caller's make, cross-compiler and locale must not reach the kernel's make.
unset MAKEFLAGS MAKELEVEL MFLAGS ARCH SUBARCH CROSS_COMPILE CC LD CFLAGS CXXFLAGS LDFLAGS KBUILD_OUTPUT LLVM
export LC_ALL=C

# --- What is needed -----------------------------------------------------------------------------

[ "$(uname -m)" = x86_64 ] || die "User Mode Linux runs on x86-64 only (this is $(uname -m)); use --engine native"
missing=()
need() { [ -e "$1" ] || command -v "$1" > /dev/null || missing+=("$2"); }
need "$tarball" $package
need gcc gcc
need ld binutils
need make make
need flex flex
need bison bison
need bc bc
need perl perl
need patch patch
need xz xz-utils
need flock util-linux
need /usr/include/x86_64-linux-gnu/sys/types.h libc6-dev
need /usr/include/linux/if_tun.h linux-libc-dev
[ ${#missing[@]} = 0 ] || die "missing: ${missing[*]}; run: apt-get install ${missing[*]}"

version=$(dpkg-query -W -f '${Version}' $package)

# --- What goes in, and its hash -----------------------------------------------------------------

shopt -s nullglob
patches=("$here"/patches/[0-9]*.patch)
driver=("$here"/usrcall*.[ch])
contracts=("$repository"/abi/{patience,stats,usrcall}.h)
inputs=("$here"/{build.sh,config,Kconfig,Makefile} "${patches[@]}" "${driver[@]}")
inputs+=("${contracts[@]}")
[ ! -e "$init_source" ] || inputs+=("$init_source")
shopt -u nullglob
hash=$({
  echo "$version $debug"
  gcc --version
  ld --version
  for file in "${inputs[@]}"; do
    echo "${file##*/}"
    sha256sum < "$file"
  done
} | sha256sum | cut -c1-16)
result=$cache/kernel-$hash

finish() {
  touch "$result"
  if [ -n "$output" ]; then
    mkdir -p "$output"
    cp --reflink=auto "$result/vmlinux" "$output/vmlinux"
    cp --reflink=auto "$result/linux" "$output/linux.new"
    mv "$output/linux.new" "$output/linux"
    result=$(cd "$output" && pwd)
  fi
  echo "$result/linux"
  exit 0
}

[ -n "$clean" ] || [ ! -x "$result/linux" ] || finish

mkdir -p "$cache"
exec 9> "$cache/kernel.lock"
flock -n 9 || { say 'another build is running; waiting for it'; flock 9; }
if [ -n "$clean" ]; then
  rm -rf "$work" "$result"
elif [ -x "$result/linux" ]; then
  finish
fi
started=$SECONDS

# --- The source tree ----------------------------------------------------------------------------
# Other architectures are left out, and the drivers that no UML has, but not their Kconfig files:
# kconfig reads all of those.

unpack() {
  say "unpacking $package $version"
  rm -rf "$work"
  mkdir -p "$work/unpack"
  local arch folder pattern
  {
    for arch in alpha arc arm arm64 csky hexagon loongarch m68k microblaze mips nios2 openrisc parisc powerpc riscv \
      s390 sh sparc xtensa; do
      printf '%s\n' "arch/$arch/[!c]*" "arch/$arch/co*"
    done
    for folder in accel clk crypto gpu iio infiniband media net/ethernet net/wireless pinctrl scsi staging usb; do
      echo "drivers/$folder/*.[ch]"
    done
    for pattern in dts json png rst svg txt yaml; do
      echo "Documentation/*.$pattern"
    done
    printf '%s\n' 'samples/*.[chS]' 'sound/*.[chS]' 'tools/perf/*' 'tools/power/*'
  } | sed "s|^|$package/|" > "$work/exclude"
  xz -T0 -dc "$tarball" |
    tar -x -C "$work/unpack" --strip-components=1 --wildcards --wildcards-match-slash -X "$work/exclude"
  mv "$work/unpack" "$work/src"
  mkdir -p "$work/original"
  : > "$work/touched"
  echo "$version" > "$work/version"
}

[ "$(cat "$work/version" 2> /dev/null)" = "$version" ] || unpack
src=$work/src

# Copies a file if it differs, so that make sees only what has changed.
update() {
  cmp -s "$1" "$2" && return
  mkdir -p "$(dirname "$2")"
  cp "$1" "$2"
}

# --- Patches ------------------------------------------------------------------------------------
# original/ keeps the pristine form of every file that a patch has ever touched. A file that is
# listed in `touched` but is not in original/ is one that a patch creates. The patches are applied
# to a copy of those files, and only the files that then differ go into the tree.

apply_patches() {
  local file patch staging=$work/staging
  [ ${#patches[@]} = 0 ] || sed -nE 's#^(---|\+\+\+) [ab]/([^[:space:]]+).*#\2#p' "${patches[@]}" | sort -u |
    while read -r file; do
      ! grep -qxF -e "$file" "$work/touched" || continue
      if [ -e "$src/$file" ]; then
        mkdir -p "$work/original/$(dirname "$file")"
        cp -p "$src/$file" "$work/original/$file"
      fi
      echo "$file" >> "$work/touched"
    done
  rm -rf "$staging"
  cp -a "$work/original" "$staging"
  for patch in "${patches[@]}"; do
    patch -d "$staging" -p1 --no-backup-if-mismatch -s -f < "$patch" > "$work/patch.log" 2>&1 ||
      { cat "$work/patch.log" >&2; die "${patch##*/} does not apply to $package $version"; }
  done
  while read -r file; do
    if [ -e "$staging/$file" ]; then
      update "$staging/$file" "$src/$file"
    else
      rm -f "$src/$file"
    fi
  done < "$work/touched"
  say "${#patches[@]} patches applied"
}

apply_patches

# --- The driver's folder ------------------------------------------------------------------------

folder=$src/arch/um/usrcall
mkdir -p "$folder/abi"
for file in "$folder"/*.[ch]; do
  [ -e "$here/${file##*/}" ] || rm -f "$file"
done
for file in "$here"/{Kconfig,Makefile} "${driver[@]}"; do
  update "$file" "$folder/${file##*/}"
done
for file in "${contracts[@]}"; do
  update "$file" "$folder/abi/${file##*/}"
done

# --- Configuration ------------------------------------------------------------------------------

obj=$src/obj
[ "$debug" = 0 ] || obj=$src/obj-debug
mkdir -p "$obj"

# Everything is fixed that would make two builds of the same inputs differ.
stamp=$(date -u -d "@$(stat -c %Y "$tarball")" '+%Y-%m-%d %H:%M:%S UTC')
export KBUILD_BUILD_TIMESTAMP=$stamp KBUILD_BUILD_USER=mino KBUILD_BUILD_HOST=mino KBUILD_BUILD_VERSION=1
compiler=gcc
if command -v ccache > /dev/null; then
  compiler='ccache gcc'
  export CCACHE_BASEDIR=$work
fi
kmake() {
  make -C "$src" ARCH=um O="${obj##*/}" CC="$compiler" HOSTCC="$compiler" LOCALVERSION="-${version#*-}-mino" "$@"
}
run_logged() {
  "$@" > "$work/build.log" 2>&1 && return
  grep -E -B2 -A8 'error:|Error [0-9]|undefined reference|\*\*\*' "$work/build.log" | head -60 >&2 || true
  die "the build failed; all of it is in $work/build.log"
}

cp "$here/config" "$obj/fragment"
if [ ! -e "$here/usrcall.c" ]; then
  say 'kernel/usrcall.c is not there: building without the driver'
  sed -i 's/^CONFIG_USRCALL=y/# CONFIG_USRCALL is not set/' "$obj/fragment"
fi
if [ "$debug" != 0 ]; then
  sed -i '/CONFIG_KALLSYMS/d' "$obj/fragment"
  printf '%s\n' CONFIG_KALLSYMS=y CONFIG_DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT=y CONFIG_FRAME_POINTER=y >> "$obj/fragment"
fi
# allnoconfig does not rewrite the file if nothing in it changes. olddefconfig would bring back the
# options that are on by default.
run_logged kmake KCONFIG_ALLCONFIG=fragment allnoconfig
wrong=$(awk '
  /^CONFIG_[A-Z0-9_]+=/ { name = $0; sub(/=.*/, "", name); value = $0; sub(/^[^=]*=/, "", value) }
  /^# CONFIG_[A-Z0-9_]+ is not set$/ { name = $2; value = "n" }
  name == "" { next }
  FNR == NR { want[name] = value; name = ""; next }
  { have[name] = value; name = "" }
  END { for (n in want) if (want[n] != (n in have ? have[n] : "n")) print n "=" want[n] }' \
  "$obj/fragment" "$obj/.config" | sort)
[ -z "$wrong" ] || die "kernel/config asks for what this kernel does not give (a dependency?):"$'\n'"$wrong"

# --- init, the only program of the initramfs ----------------------------------------------------

{
  for directory in dev proc sys run tmp root; do
    echo "dir /$directory 0755 0 0"
  done
  echo 'nod /dev/console 0600 0 0 c 5 1'
  [ ! -e "$init_source" ] || echo 'file /init initramfs/init 0755 0 0'
} > "$work/initramfs.list"
update "$work/initramfs.list" "$obj/initramfs/list"
if [ -e "$init_source" ]; then
  run_logged gcc -static -nostdlib -Os -Wall -Wextra -s -fno-asynchronous-unwind-tables -fno-ident \
    -I "$repository" -include "$src/tools/include/nolibc/nolibc.h" -o "$work/init" "$init_source" -lgcc
  update "$work/init" "$obj/initramfs/init"
else
  say 'kernel/init.c is not there: this kernel will have no /init'
fi

# --- Build --------------------------------------------------------------------------------------

say "compiling; log in $work/build.log"
run_logged kmake -j"$(nproc)" linux

rm -rf "$work/result"
mkdir "$work/result"
cp "$obj/vmlinux" "$work/result/vmlinux"
strip -o "$work/result/linux" "$obj/vmlinux"
cp "$obj/.config" "$work/result/config"
cp "$obj/include/config/kernel.release" "$work/result/release"
rm -rf "$result"
mv "$work/result" "$result"
say "$(cat "$result/release") built in $((SECONDS - started)) s"

# The results of the latest inputs are kept, so that going back costs nothing; older ones are
# removed.
find "$cache" -mindepth 1 -maxdepth 1 -type d -name 'kernel-????????????????' -printf '%T@ %p\n' |
  sort -rn | tail -n +9 | cut -d' ' -f2- | xargs -r rm -rf
finish
