# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What comes before each line of features.toml; see features.py.
set -e -o pipefail
ip -batch - << 'BATCH'
link set lo up
link add eth1 numtxqueues 4 numrxqueues 4 type dummy
link set eth1 up
addr add 10.0.0.1/24 dev eth1
link add eth2 type dummy
link set eth2 up
BATCH

# A ping from here to another namespace, through a tunnel of this kind between 10.9.0.1 and .2.
two() {
  local other=feature-$$ here there key
  ip netns add "$other"
  # shellcheck disable=SC2064
  trap "ip netns del $other" EXIT
  ip link add veth type veth peer name veth netns "$other"
  ip addr add 10.9.0.1/24 dev veth
  ip link set veth up
  ip -n "$other" addr add 10.9.0.2/24 dev veth
  ip -n "$other" link set veth up
  case $1 in
    wireguard)
      here=$(wg genkey) there=$(wg genkey)
      ip link add tunnel type wireguard
      ip -n "$other" link add tunnel type wireguard
      wg set tunnel listen-port 5555 private-key <(echo "$here") peer "$(wg pubkey <<< "$there")" \
        allowed-ips 0.0.0.0/0 endpoint 10.9.0.2:5555
      ip netns exec "$other" wg set tunnel listen-port 5555 private-key /dev/stdin \
        peer "$(wg pubkey <<< "$here")" allowed-ips 0.0.0.0/0 <<< "$there"
      ;;
    esp)
      key="enc cbc(aes) 0x00112233445566778899aabbccddeeff auth hmac(sha1) 0x0011223344556677889900112233445566778899"
      for where in "" "-n $other"; do
        # shellcheck disable=SC2086
        ip $where -batch - << BATCH
xfrm state add src 10.9.0.1 dst 10.9.0.2 proto esp spi 1 mode transport $key
xfrm state add src 10.9.0.2 dst 10.9.0.1 proto esp spi 2 mode transport $key
BATCH
      done
      ip xfrm policy add dir out src 10.9.0.1 dst 10.9.0.2 tmpl proto esp mode transport
      ip xfrm policy add dir in src 10.9.0.2 dst 10.9.0.1 tmpl proto esp mode transport
      ip -n "$other" xfrm policy add dir out src 10.9.0.2 dst 10.9.0.1 tmpl proto esp mode transport
      ip -n "$other" xfrm policy add dir in src 10.9.0.1 dst 10.9.0.2 tmpl proto esp mode transport
      ping -qc 1 -W 5 10.9.0.2
      return
      ;;
    *)
      ip link add tunnel type "$1" local 10.9.0.1 remote 10.9.0.2
      ip -n "$other" link add tunnel type "$1" local 10.9.0.2 remote 10.9.0.1
      ;;
  esac
  ip addr add 10.8.0.1/24 dev tunnel
  ip link set tunnel up
  ip -n "$other" addr add 10.8.0.2/24 dev tunnel
  ip -n "$other" link set tunnel up
  ping -qc 1 -W 5 10.8.0.2
}
