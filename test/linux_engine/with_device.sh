#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs a program with a linux-engine device of its own:   with_device.sh MINO PROGRAM [ARGUMENT…]
# The program finds minod's socket in MINO_DEVICE. At the end the same kernel must still run, and
# its log must be clean.
set -u
mino=$1
shift
dir=$(mktemp -d /tmp/mino-linux-XXXXXX)
chmod 755 "$dir"
trap '"$mino" --run-dir "$dir" down > /dev/null 2>&1; rm -rf "$dir"' EXIT
"$mino" --run-dir "$dir" up --engine linux > /dev/null || exit 1
instance() {
  "$mino" --run-dir "$dir" status --json |
    /usr/bin/python3 -c 'import json, sys; print(json.load(sys.stdin)["instances"][0][sys.argv[1]])' "$1"
}
before=$(instance pid)
export MINO_DEVICE=$dir/minod.sock MINO_INSTANCE=$before MINO_ADDRESS
MINO_ADDRESS=$(instance address)
"$@"
result=$?
if [ "$(instance pid)" != "$before" ]; then
  echo "the kernel instance is not the same any more"
  result=1
fi
if grep -E 'kernel: .*(BUG|WARNING|Oops|panic|Call Trace|Out of memory)' "$dir/minod.log"; then
  result=1
fi
[ "$result" = 0 ] || tail -40 "$dir/minod.log"
exit "$result"
