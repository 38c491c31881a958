#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""strongSwan's charon under mino: an IKE association between two peers, and a tunnel that pings go through.

Run by ctest as apps.strongswan and apps.strongswan.linux; see harness.py for the arguments. With the
native engine the other peer is on the host. With the linux engine it is under mino too, on a second
kernel instance, so that IPsec is the device's on both sides. Without ESP in a kernel only the
association is tried, and without IPsec at all charon ends by itself: then it counts as skipped.
"""

import os
import re
import signal

import harness
from harness import check, check_equal, skip, wait_for

SECRET = "a secret of both"
INNER = {"near": "198.51.100.1", "far": "198.51.100.129"}
ESP = ("proto esp spi 0x1000 mode tunnel enc cbc(aes) 0x000102030405060708090a0b0c0d0e0f "
       "auth-trunc hmac(sha256) 0x" + "00" * 32 + " 128").split()

CHARON = """
charon-systemd {{
  load = random nonce drbg aes sha1 sha2 hmac kdf gmp pem pubkey x509 kernel-netlink socket-default vici
  delete_rekeyed_delay = 1
  plugins {{ vici {{ socket = unix://{control} }} }}
  journal {{ default = -1 }}
  filelog {{ stderr {{ default = 1 flush_line = yes }} }}
}}
swanctl {{ load = random nonce aes sha1 sha2 hmac kdf pem }}
"""

SWANCTL = """
connections {{
  pair {{
    version = 2
    childless = force
    local_addrs = {own}
    remote_addrs = {peer}
    proposals = aes128-sha256-modp2048
    local {{
      auth = psk
      id = {name}
    }}
    remote {{
      auth = psk
      id = {other}
    }}
    children {{
      tunnel {{
        local_ts = {own_inner}/32
        remote_ts = {peer_inner}/32
        esp_proposals = aes128-sha256
      }}
    }}
  }}
}}
secrets {{ ike-1 {{ secret = "{secret}" }} }}
"""

NO_XFRM = "unable to create netlink socket: Protocol not supported (93)"


class Peer:
    def __init__(self, t, name, argv, own, peer):
        self.t, self.name, self.argv, self.own, self.peer = t, name, argv, own, peer
        self.inner = INNER[name]
        self.other = next(other for other in INNER if other != name)
        self.env = {"STRONGSWAN_CONF": str(t.scratch / f"{name}.charon"), "SWANCTL_DIR": str(t.scratch)}
        self.control = t.scratch / f"{name}.vici"

    def run(self, *argv, **options):
        return self.t.host(*self.argv(argv), **options)

    def without_esp(self):
        """What this peer's kernel says to a state of ESP; nothing if it takes it."""
        state = ["src", self.own, "dst", self.peer]
        added = self.run("ip", "xfrm", "state", "add", *state, *ESP)
        if added.status == 0:
            self.run("ip", "xfrm", "state", "delete", *state, "proto", "esp", "spi", "0x1000").ok()
        return "" if added.status == 0 else added.error_text.strip()

    def start(self):
        self.run("ip", "addr", "add", f"{self.inner}/32", "dev", "lo").ok()
        charon, swanctl = (self.t.scratch / f"{self.name}.{kind}" for kind in ("charon", "swanctl"))
        charon.write_text(CHARON.format(control=self.control))
        swanctl.write_text(SWANCTL.format(own=self.own, peer=self.peer, name=self.name, other=self.other, secret=SECRET,
                                          own_inner=self.inner, peer_inner=INNER[self.other]))
        self.process = self.t.start(self.argv(["charon-systemd"]), label=f"charon-{self.name}",
                                    env=self.env)
        wait_for(f"charon {self.name}", lambda: self.control.exists() or not self.process.alive())
        if NO_XFRM in self.process.log():
            check_equal(self.process.wait(), 66, "exit status of charon where there is no kernel-ipsec")
            skip(f"the kernel of {self.name} has no IPsec, so charon ends: {NO_XFRM}")
        self.swanctl("--load-all", "--file", swanctl).ok()

    def swanctl(self, command, *options):
        return self.run("swanctl", command, *options, "--uri", f"unix://{self.control}", env=self.env)


def peers(t):
    """The two, with their addresses on the outside."""
    if t.native or os.environ.get("MINO_ENGINE", "native") == "native":
        t.device.up()
        return (Peer(t, "near", t.device.run_argv, t.device_address(), t.gateway_address()),
                Peer(t, "far", list, t.gateway_address(), t.device_address()))
    t.device.up("--instances", "2")
    first, second = (one["address"].split("/")[0] for one in t.device.status()["instances"])
    return (Peer(t, "near", lambda argv: t.device.run_argv(argv, "--instance", "0"), first, second),
            Peer(t, "far", lambda argv: t.device.run_argv(argv, "--instance", "1"), second, first))


def associate(near, far):
    near.swanctl("--initiate", "--ike", "pair", "--timeout", "10").ok()
    for peer in (near, far):
        shown = peer.swanctl("--list-sas").ok()
        check("pair: #1, ESTABLISHED, IKEv2" in shown and f"remote '{peer.other}' @ {peer.peer}" in shown, shown)


def ping(near, far):
    """Packets through the tunnel, as the kernels on both sides have counted them."""
    near.run("ping", "-c5", "-i0.05", "-w5", "-I", near.inner, far.inner).ok()
    for peer in (near, far):
        counted = re.findall(r"(in|out) +\S+, +\d+ bytes, +(\d+) packets", peer.swanctl("--list-sas").ok())
        check(len(counted) == 2 and all(int(packets) >= 5 for _, packets in counted), f"{peer.name} counted {counted}")


def tunnel(near, far):
    check(near.run("ping", "-c1", "-w1", "-I", near.inner, far.inner).status != 0, "an answer without the tunnel")
    near.swanctl("--initiate", "--child", "tunnel", "--timeout", "10").ok()
    ping(near, far)
    before = near.run("ip", "xfrm", "state").ok()
    check("sel src" not in before and before.count("proto esp") == 2, f"the states of the tunnel: {before}")
    near.swanctl("--rekey", "--child", "tunnel").ok()
    wait_for("new keys", lambda: near.swanctl("--list-sas").text.count("tunnel: #2, ") and not any(
        "tunnel: #1, " in peer.swanctl("--list-sas").text for peer in (near, far)), 20)
    ping(near, far)
    near.swanctl("--terminate", "--ike", "pair", "--timeout", "10").ok()
    for peer in (near, far):
        wait_for(f"{peer.name} to have no state", lambda: peer.run("ip", "xfrm", "state").ok() == "")


def main(t):
    near, far = peers(t)
    lacking = {peer.name: reason for peer in (near, far) if (reason := peer.without_esp())}
    for peer in (near, far):
        peer.start()
    associate(near, far)
    if not lacking:
        tunnel(near, far)
    for peer in (near, far):
        check_equal(peer.process.stop(signal.SIGTERM), 0, f"exit status of charon {peer.name}")
    t.wait_no_sessions()
    t.device.down()
    if lacking:
        skip(f"the association comes about, but no tunnel can: `ip xfrm state add ... proto esp` says {lacking}")


if __name__ == "__main__":
    harness.run(main, needs=["charon-systemd", "swanctl", "ping"], own_host=True, own_device=True)
