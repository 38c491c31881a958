#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""System calls of features that no tool of Debian 12 shows: sockets.py NAME [ARGUMENT]…

Used by features.toml, in a network namespace of its own. Each function fails by an exception.
"""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import sys

AF_KEY, AF_PPPOX, AF_CAN = 15, 24, 29
TCP_MD5SIG, TCP_AO_ADD_KEY = 14, 38
NETLINK_ROUTE, NETLINK_GENERIC = 0, 16
PPPIOCGCHAN, PPPIOCATTCHAN, PPPIOCNEWUNIT = 0x80047437, 0x40047438, 0xC004743E
KEY = b"secret"


def attribute(kind, data):
    return struct.pack("HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def netlink(protocol, kind, body, flags=5):
    """Sends a request (NLM_F_REQUEST | NLM_F_ACK and more); the first answer's body."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as s:
        s.send(struct.pack("IHHII", 16 + len(body), kind, flags, 1, 0) + body)
        answer = s.recv(65536)
    _, kind, _, _, _ = struct.unpack_from("IHHII", answer)
    if kind == 2:  # NLMSG_ERROR
        error = -struct.unpack_from("i", answer, 16)[0]
        if error:
            raise OSError(error, os.strerror(error))
    return answer[16:]


def generic_family(name):
    """Generic netlink: the number of a family, and its multicast groups' text."""
    body = struct.pack("BBH", 3, 1, 0) + attribute(2, name.encode() + b"\0")  # CTRL_CMD_GETFAMILY
    answer = netlink(NETLINK_GENERIC, 16, body)
    offset = 4
    while offset < len(answer):
        length, kind = struct.unpack_from("HH", answer, offset)
        if kind == 1:  # CTRL_ATTR_FAMILY_ID
            return struct.unpack_from("H", answer, offset + 4)[0]
        offset += length + (-length % 4)
    raise LookupError(name)


def netkit(name="netkit0"):
    kind = attribute(18, attribute(1, b"netkit\0"))  # IFLA_LINKINFO, IFLA_INFO_KIND
    body = struct.pack("BxHiII", 0, 0, 0, 0, 0) + attribute(3, name.encode() + b"\0") + kind
    netlink(NETLINK_ROUTE, 16, body, 0x605)  # RTM_NEWLINK; create, exclusively
    assert socket.if_nametoindex(name)


def nlmon(name):
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as s:
        s.bind((name, 0))
        s.settimeout(5)
        netlink(NETLINK_GENERIC, 16, struct.pack("BBH", 3, 1, 0) + attribute(2, b"nlctrl\0"))
        assert b"nlctrl\0" in s.recv(65536)


def openvswitch():
    family = generic_family("ovs_datapath")
    attributes = attribute(1, b"ovs0\0") + attribute(2, struct.pack("I", 0))
    body = struct.pack("BBHi", 1, 2, 0, 0) + attributes  # OVS_DP_CMD_NEW, version 2
    netlink(NETLINK_GENERIC, family, body)
    assert socket.if_nametoindex("ovs0")


def af_key():
    with socket.socket(AF_KEY, socket.SOCK_RAW, 2) as s:
        s.settimeout(5)
        # SADB_REGISTER for ESP, of two words of 8 bytes.
        s.send(struct.pack("BBBBHHII", 2, 7, 0, 3, 2, 0, 1, os.getpid()))
        _, kind, error, satype = struct.unpack_from("BBBB", s.recv(4096))
        assert (kind, error, satype) == (7, 0, 3), (kind, error, satype)


def connection(prepare):
    """Bytes through a TCP connection over loopback, with both ends prepared the same way."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        prepare(server)
        prepare(client)
        client.settimeout(5)
        client.connect(server.getsockname())
        server.settimeout(5)
        with server.accept()[0] as peer:
            client.sendall(b"hello")
            assert peer.recv(100) == b"hello"


def loopback_address():
    """struct sockaddr_storage of 127.0.0.1."""
    return struct.pack("HH4s120x", socket.AF_INET, 0, socket.inet_aton("127.0.0.1"))


def tcp_md5():
    # struct tcp_md5sig: address, flags, prefix, length of the key, ifindex, key
    signature = loopback_address() + struct.pack("BBHi80s", 0, 0, len(KEY), 0, KEY)
    connection(lambda s: s.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG, signature))


def tcp_ao():
    # struct tcp_ao_add: address, algorithm, ifindex, flags, reserved, prefix, sndid, rcvid,
    # maclen, keyflags, keylen, key
    key = loopback_address() + struct.pack("64siIHBBBBBB80s", b"hmac(sha1)", 0, 0, 0, 32, 100, 100,
                                           0, 0, len(KEY), KEY)
    connection(lambda s: s.setsockopt(socket.IPPROTO_TCP, TCP_AO_ADD_KEY, key))


def mroute():
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_IGMP) as s:
        s.setsockopt(socket.IPPROTO_IP, 200, 1)  # MRT_INIT
        s.setsockopt(socket.IPPROTO_IP, 208, 1)  # MRT_PIM
        index = socket.if_nametoindex("eth1")
        # struct vifctl by number of the interface; then a register interface.
        s.setsockopt(socket.IPPROTO_IP, 202, struct.pack("HBBIi4s", 0, 8, 1, 0, index, bytes(4)))
        s.setsockopt(socket.IPPROTO_IP, 202, struct.pack("HBBIi4s", 1, 4, 1, 0, 0, bytes(4)))
        group = socket.inet_aton("10.0.0.1") + socket.inet_aton("239.1.1.1")
        ttls = bytes([0, 1]) + bytes(30)
        s.setsockopt(socket.IPPROTO_IP, 204, group + struct.pack("H32sxxIIIi", 0, ttls, 0, 0, 0, 0))
        with open("/proc/net/ip_mr_cache", encoding="ascii") as cache:
            assert "010101EF" in cache.read()


def mroute6():
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as s:
        s.setsockopt(socket.IPPROTO_IPV6, 200, 1)  # MRT6_INIT
        s.setsockopt(socket.IPPROTO_IPV6, 208, 1)  # MRT6_PIM
        index = socket.if_nametoindex("eth1")
        s.setsockopt(socket.IPPROTO_IPV6, 202, struct.pack("HBBHI", 0, 0, 1, index, 0))
        with open("/proc/net/ip6_mr_vif", encoding="ascii") as interfaces:
            assert " eth1 " in interfaces.read()


def can_interface():
    assert os.system("ip link add can0 type vcan && ip link set can0 up") == 0


def can_raw():
    can_interface()
    frame = struct.pack("IB3x8s", 0x123, 5, b"hello")
    with socket.socket(AF_CAN, socket.SOCK_RAW, 1) as one, \
            socket.socket(AF_CAN, socket.SOCK_RAW, 1) as other:
        other.setsockopt(101, 1, struct.pack("II", 0x123, 0x7FF))  # SOL_CAN_RAW, CAN_RAW_FILTER
        one.bind(("can0",))
        other.bind(("can0",))
        other.settimeout(5)
        one.send(frame)
        assert other.recv(16) == frame


def can_bcm():
    can_interface()
    with socket.socket(AF_CAN, socket.SOCK_DGRAM, 2) as sender, \
            socket.socket(AF_CAN, socket.SOCK_RAW, 1) as reader:
        reader.bind(("can0",))
        reader.settimeout(5)
        sender.connect(("can0",))
        frame = struct.pack("IB3x8s", 0x42, 2, b"hi")
        # struct bcm_msg_head: TX_SEND, one frame
        sender.send(struct.pack("IIIxxxxqqqqII", 4, 0, 0, 0, 0, 0, 0, 0, 1) + frame)
        assert reader.recv(16)[:4] == frame[:4]


def can_isotp():
    can_interface()
    with socket.socket(AF_CAN, socket.SOCK_DGRAM, 6) as one, \
            socket.socket(AF_CAN, socket.SOCK_DGRAM, 6) as other:
        one.bind(("can0", 0x321, 0x123))
        other.bind(("can0", 0x123, 0x321))
        other.settimeout(5)
        one.send(b"more than the eight bytes of a frame")
        assert other.recv(100) == b"more than the eight bytes of a frame"


def can_gateway():
    can_interface()
    assert os.system("ip link add can1 type vcan && ip link set can1 up") == 0
    ends = [attribute(kind, struct.pack("I", socket.if_nametoindex(name)))
            for kind, name in ((9, "can0"), (10, "can1"))]  # CGW_SRC_IF, CGW_DST_IF
    netlink(NETLINK_ROUTE, 24, struct.pack("BBH", AF_CAN, 1, 1) + b"".join(ends))  # RTM_NEWROUTE
    with socket.socket(AF_CAN, socket.SOCK_RAW, 1) as one, \
            socket.socket(AF_CAN, socket.SOCK_RAW, 1) as other:
        one.bind(("can0",))
        other.bind(("can1",))
        other.settimeout(5)
        one.send(struct.pack("IB3x8s", 0x123, 5, b"hello"))
        assert b"hello" in other.recv(16)


def congestion(name):
    with socket.socket() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        assert s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).startswith(name.encode())


def mptcp():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262) as s:
        s.bind(("127.0.0.1", 0))
        s.listen()


def sctp():
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132) as s, \
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132) as client:
        s.bind(("127.0.0.1", 0))
        s.listen()
        client.connect(s.getsockname())


def udplite():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, 136) as s:
        s.bind(("127.0.0.1", 0))
        s.sendto(b"hello", s.getsockname())
        assert s.recv(100) == b"hello"


def libc_call(name, s, address):
    """connect() or bind() with an address that Python does not know."""
    if getattr(ctypes.CDLL(None, use_errno=True), name)(s.fileno(), address, len(address)) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def channel_to_unit(s):
    """Attaches the PPP channel of a socket to /dev/ppp, and makes an interface."""
    number = bytearray(4)
    fcntl.ioctl(s, PPPIOCGCHAN, number)
    with open("/dev/ppp", "r+b", buffering=0) as channel, \
            open("/dev/ppp", "r+b", buffering=0) as unit:
        fcntl.ioctl(channel, PPPIOCATTCHAN, bytes(number))
        fcntl.ioctl(unit, PPPIOCNEWUNIT, bytearray(struct.pack("i", -1)))
        assert socket.if_nametoindex("ppp0")


def ppp():
    with open("/dev/ppp", "r+b", buffering=0) as unit:
        fcntl.ioctl(unit, PPPIOCNEWUNIT, bytearray(struct.pack("i", -1)))
        assert socket.if_nametoindex("ppp0")


def pppol2tp():
    with contextlib.ExitStack() as stack:
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        udp.connect(("127.0.0.1", 1701))
        # struct sockaddr_pppol2tp: the tunnel's socket by its descriptor, then ids of both ends. A
        # session of number 0 makes the tunnel.
        def address(session):
            peer = struct.pack("!HH4s8x", 0, 1701, socket.inet_aton("127.0.0.1"))
            peer = struct.pack("H", socket.AF_INET) + peer[2:]
            return struct.pack("=HIii16sHHHH", AF_PPPOX, 1, 0, udp.fileno(), peer, 7, session, 8,
                               session)
        tunnel = stack.enter_context(socket.socket(AF_PPPOX, socket.SOCK_DGRAM, 1))
        libc_call("connect", tunnel, address(0))
        session = stack.enter_context(socket.socket(AF_PPPOX, socket.SOCK_DGRAM, 1))
        libc_call("connect", session, address(9))
        channel_to_unit(session)


def pppoe():
    with socket.socket(AF_PPPOX, socket.SOCK_STREAM, 0) as s:
        mac = bytes.fromhex("020000000001")
        libc_call("connect", s, struct.pack("=HI", AF_PPPOX, 0) + struct.pack("!H", 5) + mac +
                     b"eth1".ljust(16, b"\0"))
        channel_to_unit(s)


def pptp():
    # struct sockaddr_pppox: family, protocol, call number, address of the peer
    with socket.socket(AF_PPPOX, socket.SOCK_STREAM, 2) as s:
        for call, do in ((0, "bind"), (7, "connect")):
            address = struct.pack("=HIHxx4s", AF_PPPOX, 2, call, socket.inet_aton("10.0.0.1"))
            libc_call(do, s, address.ljust(30, b"\0"))
        channel_to_unit(s)


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
