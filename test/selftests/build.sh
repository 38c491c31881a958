#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Builds the kernel's own network selftests, from the source package from which the device's kernel
# is built. Called by selftests.py. Progress goes to stderr; the last line of stdout is the folder
# that holds the programs, with the scripts beside them.
#
# Theory of operation. The folders of the selftests, and what `make headers` needs, come from the
# package. The selftests' own Makefile builds the programs against the headers of that kernel,
# because the system's headers are older. No source may be changed. Results are kept under a hash of
# all inputs, so that a second call costs nothing.
set -euo pipefail

say() { echo "selftests: $*" >&2; }
die() { echo "selftests: $*" >&2; exit 1; }

# 77: cannot be built here (ctest counts it as skipped).
package=linux-source-6.12
tarball=/usr/src/$package.tar.xz
for need in "$tarball:$package" /usr/include/sys/capability.h:libcap-dev /usr/include/openssl/ssl.h:libssl-dev; do
  [ -e "${need%%:*}" ] || { say "missing: apt-get install ${need##*:}"; exit 77; }
done
unset MAKEFLAGS MAKELEVEL MFLAGS ARCH SUBARCH CROSS_COMPILE CC LD CFLAGS CXXFLAGS LDFLAGS KBUILD_OUTPUT LLVM
export LC_ALL=C

cache=${XDG_CACHE_HOME:-$HOME/.cache}/mino
version=$(dpkg-query -W -f '${Version}' $package)
hash=$({ echo "$version"; gcc --version; cat "${BASH_SOURCE[0]}"; } | sha256sum | cut -c1-16)
result=$cache/selftests-$hash
[ ! -d "$result/bin" ] || { echo "$result/bin"; exit 0; }

mkdir -p "$cache"
exec 9> "$cache/selftests.lock"
flock 9
[ ! -d "$result/bin" ] || { echo "$result/bin"; exit 0; }

say "unpacking from $package $version"
rm -rf "$cache"/selftests-????????????????
src=$result/src
mkdir -p "$src"
xz -T0 -dc "$tarball" | tar -x -C "$src" --strip-components=1 --wildcards --wildcards-match-slash \
  "$package"/{Makefile,Kbuild,scripts,include/uapi,tools/{include,scripts,testing/selftests/{lib.mk,kselftest*,net}}} \
  "$package"/arch/x86/{Makefile,tools,include/{uapi,asm/Kbuild},entry/syscalls}

log=$result/build.log
say "building; log in $log"
make -C "$src" ARCH=x86 headers > "$log" 2>&1 || die 'the headers do not build'

net=$src/tools/testing/selftests/net
programs=(
  bind_bhash bind_timewait bind_wildcard epoll_busy_poll ip_defrag ip_local_port_range ipv6_flowlabel
  ipv6_flowlabel_mgr msg_zerocopy netlink-dumps psock_fanout psock_snd psock_tpacket reuseaddr_conflict
  reuseaddr_ports_exhausted reuseport_addr_any reuseport_bpf reuseport_bpf_cpu reuseport_dualstack rxtimestamp
  sk_bind_sendto_listen sk_connect_zero_addr sk_so_peek_off so_incoming_cpu so_netns_cookie so_txtime tap
  tcp_fastopen_backup_key tcp_inq tls tun txring_overwrite txtimestamp udpgso)

# The suite tls of 6.12.117 does not compile: a stable update added two tests of key updates without
# the fourth parameter of tls_crypto_info_init, which they use. This kernel has no key updates, so
# those tests cannot pass, and selftests.py leaves them out. The macro makes the rest compile from
# the unchanged source.
kmake() { make -C "$net" OUTPUT="$result/new" "$@" >> "$log" 2>&1; }
mkdir "$result/new"
for program in "${programs[@]}"; do
  kmake "$result/new/$program" && continue
  [ "$program" = tls ] || die "$program does not build; see $log"
  kmake "$result/new/tls" \
    "CC=gcc '-Dtls_crypto_info_init(v,c,i,...)=tls_crypto_info_init(v,c,i)'" || die "tls does not build; see $log"
done
cp "$net"/*.sh "$result/new"
mv "$result/new" "$result/bin"
say "${#programs[@]} programs built"
echo "$result/bin"
