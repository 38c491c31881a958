#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# dhcpcd loses a SIGTERM that comes while it waits for one of its hooks, and runs on.
#
# With privilege separation, which is Debian's build, the daemon asks its helper of root's to run the
# hook script, and waits for the answer in a second event loop (ps_root_readerror in its
# src/privsep-root.c). That loop lets signals in and takes them off the list, but has nobody to call
# for them (eloop_start in src/eloop.c). Another SIGTERM, after the hook, ends it at once.
#
# Seen with Debian's dhcpcd-base 9.4.1-24~deb12u5. Needs root, dnsmasq-base and iproute2. All is in
# namespaces that go away. Exit status 0 if all is as said.
set -euo pipefail

if [ "${1:-}" != inside ]; then
  exec timeout 60 unshare --net --mount --pid --fork --mount-proc --kill-child bash "$0" inside
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mount -t tmpfs none /run
mount -t tmpfs none /var/lib/dhcpcd
ip link set lo up
ip link add near type veth peer name far
ip addr add 198.51.100.1/24 dev far
ip link set near up
ip link set far up
dnsmasq --conf-file=/dev/null --port=0 --user=root --pid-file= --dhcp-leasefile="$folder/leases" --no-ping \
  --interface=far --bind-interfaces --dhcp-range=198.51.100.100,198.51.100.110,2m

cat > "$folder/hook" <<'SH'
#!/bin/sh
echo "$reason" >> "$0.log"
[ "$reason" != BOUND ] || sleep 2
echo "end of $reason" >> "$0.log"
SH
chmod +x "$folder/hook"
dpkg-query -W dhcpcd-base
dhcpcd -4 -B --noarp -f /dev/null -c "$folder/hook" near > "$folder/log" 2>&1 &
daemon=$!

waited() {  # for a line of the hook's
  for _ in $(seq 150); do
    grep -qx "$1" "$folder/hook.log" 2> /dev/null && return
    sleep 0.1
  done
  echo "no '$1' within 15 s" >&2
  cat "$folder/log" >&2
  exit 1
}
status=0
expect() {  # what, got, wanted
  echo "$1: $2"
  [ "$2" = "$3" ] || { echo "   … and not $3, as it was" >&2; status=1; }
}
state() { kill -0 "$daemon" 2> /dev/null && echo runs || echo ended; }

waited BOUND
kill -TERM "$daemon"
waited "end of BOUND"
sleep 3
expect "3 s after the hook in which SIGTERM came, dhcpcd" "$(state)" runs
kill -TERM "$daemon"
sleep 3
expect "3 s after a second SIGTERM, dhcpcd" "$(state)" ended
exit $status
