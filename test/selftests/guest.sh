#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Process 1 of the reference: the device's kernel with the host's file system as its root,
# read-only. Booted by selftests.py. Its parameters come as environment variables, from the kernel's
# command line.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C PYTHONDONTWRITEBYTECODE=1
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
for path in "$here" "$programs"; do  # these may be below directories that are hidden now
  [ -e "$path" ] || { mkdir -p "$path" && mount -t hostfs -o "$path" none "$path"; }
done
mkdir -p "$results" 2>/dev/null
mount -t hostfs -o "$results" none "$results"
ip link set lo up
sysctl -q -w net.ipv4.ping_group_range='0 2147483647'
ulimit -n 1048576
/usr/bin/python3 "$here/runner.py" "$programs" "$results/inside.json" > "$results/inside.log" 2>&1
echo $? > "$results/inside.status"
/usr/bin/python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x4321fedc)'
