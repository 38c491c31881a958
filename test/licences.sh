#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Every file has a licence whose text is in LICENSES/ (reuse.software). Skipped where Debian's `reuse` is missing.
#   licences.sh REPOSITORY
set -euo pipefail
if ! command -v reuse > /dev/null; then
  echo "skipped: reuse is not installed"
  exit 77
fi
cd "$1"
report=$(reuse lint 2>&1) || { echo "$report" >&2; exit 1; }
# A head that cannot be parsed is only a log line of a lint that succeeds.
if grep -q ' - ERROR - ' <<< "$report"; then
  grep ' - ERROR - ' <<< "$report" >&2
  exit 1
fi
tail -n 1 <<< "$report"
