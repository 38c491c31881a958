#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Runs one program of test/syscalls/ natively and under `mino run`, and compares what they print and
# how they end. Used by ctest. The native run has a network namespace of its own with only lo in it,
# as the device has.
#
#   run_both.sh BUILD_DIR MINO PROGRAM [OPTION…]   compare; the options go to `mino run`
#   run_both.sh BUILD_DIR MINO --native PROGRAM    only the native run, which must pass by itself
#   run_both.sh BUILD_DIR MINO --device up|down    the device that the comparisons share
#   run_both.sh BUILD_DIR MINO --engine linux …    with the linux engine
#   run_both.sh BUILD_DIR MINO --lanes N …         after --engine: on a device of its own, with so
#                                                  many lanes for each session
#
# BUILD_DIR holds the programs, MINO is the binary. A native output that is newer than the program
# is used again. Words after `--` go to the program in both runs (names of tests, -PREFIX to leave
# some out). Without a shared device, the comparison starts one and takes it down. Exit status: 0
# equal and passed, 1 different or failed, 2 wrong use, 125 mino could not run.

set -u
build=$1 mino=$2
shift 2
engine=native
if [ "${1-}" = --engine ]; then
  engine=$2
  shift 2
fi
lanes=
if [ "${1-}" = --lanes ]; then
  lanes=$2
  shift 2
fi
run_dir=$build/device-$engine
output=$build/output
mkdir -p "$output"
# None of the caller's descriptors may be open in the programs, which count descriptors.
for fd in /proc/self/fd/*; do
  fd=${fd##*/}
  [ "$fd" -gt 2 ] && eval "exec $fd>&-" 2>/dev/null
done

in_fresh_namespace() {
  unshare --net --mount sh -c 'mount -t sysfs sysfs /sys && ip link set lo up && exec "$@"' sh "$@"
}

# native NAME PROGRAM [WORD…]: leaves NAME and NAME.status in the output directory.
native() {
  local name=$1 program=$2
  shift 2
  in_fresh_namespace "$build/$program" "$@" >"$output/$name.new" 2>"$output/$name.err" </dev/null
  echo $? >"$output/$name.status"
  mv "$output/$name.new" "$output/$name"
}

device_is_up() { "$mino" --run-dir "$run_dir" status >/dev/null 2>&1; }

case ${1-} in
  --native)
    native "$2.native" "$2"
    cat "$output/$2.native"
    exit "$(cat "$output/$2.native.status")"
    ;;
  --device)
    mkdir -p "$run_dir"
    [ "$2" = down ] && { "$mino" --run-dir "$run_dir" down; exit; }
    device_is_up && "$mino" --run-dir "$run_dir" down
    exec "$mino" --run-dir "$run_dir" up --engine "$engine"
    ;;
  '' | -*)
    echo "usage: run_both.sh BUILD_DIR MINO PROGRAM [OPTION…] [-- WORD…]" >&2
    exit 2
    ;;
esac

program=$1
shift
options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  options+=("$1")
  shift
done
[ $# -gt 0 ] && shift
if [ ! -x "$mino" ]; then
  echo "run_both.sh: there is no $mino" >&2
  exit 125
fi
if [ -n "$lanes" ] || ! device_is_up; then
  run_dir=$(mktemp -d /tmp/mino-syscalls-XXXXXX)
  chmod 755 "$run_dir"  # some tests change their user, who must reach the device too
  trap '"$mino" --run-dir "$run_dir" down >/dev/null 2>&1; rm -rf "$run_dir"' EXIT
  printf '[limits]\nlanes = %s\n' "${lanes:-2000}" >"$run_dir/minod.toml"
  "$mino" --run-dir "$run_dir" up --engine "$engine" --config "$run_dir/minod.toml" >&2 || exit 125
fi

tag=$(echo "$engine$lanes ${options[*]}" | tr -cd 'a-z0-9')
if [ $# -gt 0 ]; then  # some of the tests: the output is for this comparison only
  native_output=$program.$tag.native
  native "$native_output" "$program" "$@"
else
  native_output=$program.native
  [ "$output/$native_output" -nt "$build/$program" ] || native "$native_output" "$program"
fi
under=$output/$program.under-$tag
"$mino" --run-dir "$run_dir" run "${options[@]}" -- "$build/$program" "$@" \
  >"$under" 2>"$under.err" </dev/null
status=$?
expected=$(cat "$output/$native_output.status")

result=0
if [ "$status" != "$expected" ]; then
  echo "exit status: natively $expected, under mino $status"
  result=1
fi
if ! diff -u --label natively --label "under mino ${options[*]}" "$output/$native_output" "$under"; then
  result=1
fi
if [ "$expected" != 0 ]; then
  echo "the native run failed by itself:"
  grep -v '^ok ' "$output/$native_output"
  result=1
fi
if [ "$result" != 0 ] && [ -s "$under.err" ]; then
  echo "standard error under mino:"
  head -50 "$under.err"
fi
exit "$result"
