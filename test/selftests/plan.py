# SPDX-License-Identifier: Apache-2.0
"""Which of the kernel's network selftests are run, and which are left out, with reasons.

Used by runner.py, which runs these steps one after another in one network, and by selftests.py,
which compares the results. A step is a line for `sh -c` in the folder of the programs. A suite that
prints TAP has a result for each of its tests; any other step is one test. What a selftest's own
shell script does in a network namespace of its own is done here in the step itself, and undone at
its end. The numbers and orders are those of the scripts.
"""

import dataclasses
import pathlib
import tomllib


@dataclasses.dataclass(frozen=True)
class Step:
    selftest: str
    command: str
    label: str = ""  # of a step that is one test among several of its selftest
    fails: bool = False  # the script says "expected to fail"
    before: str = ""  # in the same shell; the step fails if it fails
    after: str = ""
    timeout_s: int = 30


# Left out of both runs: the name and the reason.
LEFT_OUT = {
    "tls: *rekey*": "this kernel has no TLS 1.3 key updates: a stable update brought the tests alone. They "
                    "fail in the kernel itself, each after a wait of 30 s",
    "tls: mutliproc_*, all ciphers but one": "6 tests of 60 MB each per cipher: time",
    "udpgso, so_txtime, psock_snd: namespaces": "one network for all steps; addresses are on lo or a dummy",
    "so_incoming_cpu, reuseport_bpf_numa": "one processor and no NUMA in this kernel",
    "reuseport_addr_any": "a third of it is DCCP, which the device's kernel does not have",
    "psock_tpacket": "wants /proc/kallsyms, which the device's kernel does not have",
    "tcp_fastopen_backup_key, txtimestamp: most combinations of options": "time",
    "af_unix/*, io_uring_*": "not offloaded",
}

# Tests that are races between two processes even natively. They are repeated, as runner.py says.
RACES = {
    "tls/tls.*.nonblocking": "wants both ends to meet EAGAIN, which a writer as slow as the reader does not",
    "so_txtime/*": "allows 4 ms",
    "txtimestamp/*": "allows 40 ms",
    "rxtimestamp/*": "measures how long a packet takes",
}


def known_differences():
    """The entries of differences.toml."""
    with open(pathlib.Path(__file__).with_name("differences.toml"), "rb") as file:
        return tomllib.load(file).get("difference", [])


def exclude(*names):
    return " ".join(f"-T {name}" for name in names)


REKEY = ("rekey", "rekey_fail", "rekey_peek", "splice_rekey", "rekey_peek_splice", "rekey_getsockopt",
         "rekey_poll_pending", "rekey_poll_delay", "rekey_rx", "rekey_tx")
MULTIPROC = tuple(f"mutliproc_{name}" for name in ("even", "readers", "writers", "sendpage_even",
                                                   "sendpage_readers", "sendpage_writers"))


def tls():
    yield Step("tls", f"./tls {exclude(*REKEY, *MULTIPROC)}", timeout_s=90)
    only = " ".join(f"-r tls.12_aes_gcm.{name}" for name in MULTIPROC)
    yield Step("tls", f"./tls {only}", timeout_s=90)


def psock_snd():
    mss, longest = 1500 - 20 - 8, 65535 - 20 - 8
    for fails, *options in ((0, "-d"), (0, "-d -b"), (0, ""), (0, "-b"), (0, "-q"), (0, "-V"), (0, "-v"),
                            (0, "-v -c"), (1, "-v -c -C"), (0, "-l 0"), (0, f"-l {mss}"),
                            (1, f"-l {mss + 1}"), (1, f"-V -l {mss + 1}"), (0, f"-d -l {mss}"),
                            (1, f"-d -l {mss + 1}"), (1, "-t 24"), (1, "-t 23"),
                            (0, f"-v -c -g -l {mss + 1}"), (0, f"-v -c -g -l {longest}"),
                            (1, f"-v -c -g -l {longest + 1}")):
        yield Step("psock_snd", f"./psock_snd {options[0]}", options[0] or "raw", bool(fails),
                   after="ip addr del dev lo 172.17.0.1/24; ip link set lo mtu 65536;"
                         "sysctl -q -w net.ipv4.conf.lo.accept_local=0")


def udpgso():
    addresses = "ip addr add dev lo 10.0.0.1/32 && ip addr add dev lo fd00::1/128 nodad noprefixroute"
    undo = "ip addr del dev lo 10.0.0.1/32; ip addr del dev lo fd00::1/128; ip link set lo mtu 65536"
    device = f"{addresses} && ip link set dev lo mtu 1500"
    route = (f"{addresses} && ip route del local 10.0.0.1/32 table local dev lo"
             " && ip route del local fd00::1/128 table local dev lo"
             " && ip route add local 10.0.0.1/32 table local dev lo mtu 1500"
             " && ip route add local fd00::1/128 table local dev lo mtu 1500")
    undo_route = ("ip route del local 10.0.0.1/32 table local dev lo;"
                  f"ip route del local fd00::1/128 table local dev lo; {undo}")
    for label, setup, cleanup, options in (
            ("cmsg", device, undo, "-C"), ("setsockopt", device, undo, "-C -s"),
            ("connected", route, undo_route, "-c"), ("msg_more", device, undo, "-C -m")):
        for family in 4, 6:
            yield Step("udpgso", f"./udpgso -{family} {options}", f"ipv{family} {label}",
                       before=setup, after=cleanup)
    sink = ("ip link add name sink mtu 1500 type dummy && ip addr add dev sink 10.0.0.0/24"
            " && ip addr add dev sink fd00::2/64 nodad && ip link set dev sink up")
    for gso, csum in ("hw", "hw"), ("sw", "hw"), ("sw", "sw"):
        offload = {"hw": "on", "sw": "off"}
        setup = (f"{sink} && ethtool -K sink tx-checksum-ip-generic {offload[csum]} >/dev/null"
                 f" && ethtool -K sink tx-udp-segmentation {offload[gso]} >/dev/null")
        for family in 4, 6:
            yield Step("udpgso", f"./udpgso -{family} -C -R", f"ipv{family} {gso}-gso {csum}-csum",
                       before=setup, after="ip link del sink")


def so_txtime():
    for qdisc, clock, cases in (
            ("fq", "mono", ((4, "a,-1", "a,-1", 0), (6, "a,0", "a,0", 0), (6, "a,10", "a,10", 0),
                            (4, "a,10,b,20", "a,10,b,20", 0), (6, "a,20,b,10", "b,20,a,20", 0))),
            ("etf clockid CLOCK_TAI delta 400000", "tai",
             ((4, "a,-1", "a,-1", 1), (6, "a,0", "a,0", 1), (6, "a,10", "a,10", 0),
              (4, "a,10,b,20", "a,10,b,20", 0), (6, "a,20,b,10", "b,10,a,20", 0)))):
        for family, send, receive, fails in cases:
            source, target = ("127.0.0.1", "127.0.0.2") if family == 4 else ("fd::1", "fd::2")
            options = f"./so_txtime -{family} -c {clock} -t $start -S {source} -D {target}"
            yield Step(
                "so_txtime",
                f'start=$(date +%s%N --date="+ 0.3 seconds"); {options} {receive} -r & '
                f"{options} {send}; sent=$?; wait $!; got=$?; [ $sent = 0 ] && [ $got = 0 ]",
                f"ipv{family} {clock} {send}", bool(fails),
                before="ip addr add dev lo fd::1/128 nodad && ip addr add dev lo fd::2/128 nodad"
                       f" && tc qdisc add dev lo root {qdisc}",
                after="tc qdisc del dev lo root; ip addr del dev lo fd::1/128;"
                      "ip addr del dev lo fd::2/128")


def txtimestamp():
    # The script allows timestamps to be 8 ms late (none may be early); a busy machine needs more.
    setup = ("tc qdisc add dev lo root netem delay 10ms && ip link add ifb_netem0 type ifb"
             " && ip link set dev ifb_netem0 up && tc qdisc add dev ifb_netem0 root netem delay 20ms"
             " && tc qdisc add dev lo handle ffff: ingress && tc filter add dev lo parent ffff:"
             " u32 match mark 0 0xffff action mirred egress redirect dev ifb_netem0")
    undo = "tc qdisc del dev lo ingress; tc qdisc del dev lo root; ip link del ifb_netem0"
    for family, kind, how in ((4, "tcp", ""), (6, "udp", ""), (4, "raw", ""), (6, "rawhdr", ""),
                              (4, "packet", ""), (6, "tcp", "-C"), (4, "udp", "-C"), (4, "tcp", "-n")):
        option = {"tcp": "", "udp": "-u", "raw": "-r", "rawhdr": "-R", "packet": "-P"}[kind]
        address = {4: "127.0.0.1", 6: "::1"}[family]
        yield Step("txtimestamp", f"./txtimestamp {how} {option} -v 10000 -V 60000 -t 40000 -S 80000"
                   f" -{family} -L {address}", f"{kind} ipv{family} {how}".strip(),
                   before=setup, after=undo)


def ipv6_flowlabel():
    ping = "sysctl -q -w net.ipv6.flowlabel_reflect=4"
    for number, (label, setup, options, undo) in enumerate((
            ("datapath", "sysctl -q -w net.ipv6.auto_flowlabels=0", "", ""),
            ("auto-flowlabels", "sysctl -q -w net.ipv6.auto_flowlabels=1", "", ""),
            ("ping-sockets", ping, "-p", "sysctl -q -w net.ipv6.flowlabel_reflect=0"),
            ("flowinfo-send", "true", "-s", ""),
            ("ping-sockets flowinfo-send", ping, "-p -s", "sysctl -q -w net.ipv6.flowlabel_reflect=0")), 100):
        yield Step("ipv6_flowlabel", f"./ipv6_flowlabel -l {number} {options}", label, before=setup, after=undo)
    # Labels stay reserved for a while, so each step has one of its own, and this step is last.
    yield Step("ipv6_flowlabel", "./ipv6_flowlabel_mgr", "management")


def tcp_fastopen_backup_key():
    for options in "-4", "-6sr":
        yield Step("tcp_fastopen_backup_key", f"./tcp_fastopen_backup_key {options}", options,
                   before="sysctl -q -w net.ipv4.tcp_fastopen=3 && ip tcp_metrics flush",
                   after="sysctl -q -w net.ipv4.tcp_fastopen=1")


def steps():
    """Every step, in the order in which they are run."""
    yield Step("reuseaddr_ports_exhausted", "./reuseaddr_ports_exhausted",
               before="sysctl -q -w net.ipv4.ip_local_port_range='32768 32768' net.ipv4.ip_autobind_reuse=1",
               after="sysctl -q -w net.ipv4.ip_local_port_range='32768 60999' net.ipv4.ip_autobind_reuse=0")
    yield Step("ip_local_port_range", "./ip_local_port_range",
               before="sysctl -q -w net.ipv4.ip_local_port_range='40000 49999'",
               after="sysctl -q -w net.ipv4.ip_local_port_range='32768 60999'")
    yield Step("tun", "./tun")
    yield Step("tap", "./tap")
    yield Step("reuseport_bpf", "./reuseport_bpf")
    yield Step("reuseport_bpf_cpu", "./reuseport_bpf_cpu")
    yield Step("reuseport_dualstack", "./reuseport_dualstack")
    yield Step("reuseaddr_conflict", "./reuseaddr_conflict")
    yield Step("bind_wildcard", "./bind_wildcard")
    yield Step("bind_timewait", "./bind_timewait")
    yield from so_txtime()
    yield Step("sk_bind_sendto_listen", "./sk_bind_sendto_listen")
    yield Step("sk_connect_zero_addr", "./sk_connect_zero_addr")
    yield Step("sk_so_peek_off", "./sk_so_peek_off")
    yield Step("so_netns_cookie", "./so_netns_cookie")
    yield Step("epoll_busy_poll", "./epoll_busy_poll")
    yield from udpgso()
    yield from psock_snd()
    yield Step("psock_fanout", "./psock_fanout")
    yield Step("txring_overwrite", "./txring_overwrite")
    yield Step("netlink-dumps", "./netlink-dumps")
    yield from ipv6_flowlabel()
    yield from tcp_fastopen_backup_key()
    yield Step("rxtimestamp", "./rxtimestamp", "all")
    yield from txtimestamp()
    # Last: it leaves hundreds of ports in TIME_WAIT, and bind_wildcard and others want free ones.
    yield from tls()
