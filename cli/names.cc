// SPDX-License-Identifier: Apache-2.0
#include "cli/names.h"

#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <span>

namespace mino::names {

namespace {

struct Name {
  uint64_t value;
  const char* text;
};

#define NAME(constant) {static_cast<uint64_t>(static_cast<uint32_t>(constant)), #constant}

std::string number(uint64_t value) {
  return std::to_string(static_cast<int32_t>(value));
}

std::string hex(uint64_t value) {
  char text[24];
  std::snprintf(text, sizeof text, "0x%" PRIx64, value);
  return text;
}

std::string one(std::span<const Name> names, uint64_t value, bool as_hex = false) {
  for (const Name& name : names) {
    if (name.value == value) return name.text;
  }
  return as_hex ? hex(value) : number(value);
}

std::string flags(std::span<const Name> names, uint64_t value, const char* none = "0") {
  std::string text;
  for (const Name& name : names) {
    if (name.value == 0 || (value & name.value) != name.value) continue;
    text += (text.empty() ? "" : "|") + std::string(name.text);
    value &= ~name.value;
  }
  if (value != 0) text += (text.empty() ? "" : "|") + hex(value);
  return text.empty() ? none : text;
}

constexpr Name kFamilies[] = {NAME(AF_UNSPEC),    NAME(AF_UNIX),   NAME(AF_INET), NAME(AF_INET6),
                              NAME(AF_NETLINK),   NAME(AF_PACKET), NAME(AF_ALG),  NAME(AF_VSOCK),
                              NAME(AF_BLUETOOTH), NAME(AF_XDP)};
constexpr Name kTypes[] = {NAME(SOCK_STREAM),    NAME(SOCK_DGRAM), NAME(SOCK_RAW),   NAME(SOCK_RDM),
                           NAME(SOCK_SEQPACKET), NAME(SOCK_DCCP),  NAME(SOCK_PACKET)};
constexpr Name kTypeFlags[] = {NAME(SOCK_CLOEXEC), NAME(SOCK_NONBLOCK)};
constexpr Name kInetProtocols[] = {
    NAME(IPPROTO_IP),   NAME(IPPROTO_ICMP),    NAME(IPPROTO_TCP),  NAME(IPPROTO_UDP),
    NAME(IPPROTO_IPV6), NAME(IPPROTO_ICMPV6),  NAME(IPPROTO_SCTP), NAME(IPPROTO_UDPLITE),
    NAME(IPPROTO_RAW),  {262, "IPPROTO_MPTCP"}};
constexpr Name kNetlinks[] = {
    NAME(NETLINK_ROUTE),          NAME(NETLINK_USERSOCK),   NAME(NETLINK_SOCK_DIAG),
    NAME(NETLINK_XFRM),           NAME(NETLINK_FIB_LOOKUP), NAME(NETLINK_NETFILTER),
    NAME(NETLINK_KOBJECT_UEVENT), NAME(NETLINK_GENERIC),    NAME(NETLINK_AUDIT)};
constexpr Name kMessageFlags[] = {
    NAME(MSG_OOB),        NAME(MSG_PEEK),     NAME(MSG_DONTROUTE), NAME(MSG_CTRUNC),
    NAME(MSG_TRUNC),      NAME(MSG_DONTWAIT), NAME(MSG_EOR),       NAME(MSG_WAITALL),
    NAME(MSG_CONFIRM),    NAME(MSG_ERRQUEUE), NAME(MSG_NOSIGNAL),  NAME(MSG_MORE),
    NAME(MSG_WAITFORONE), NAME(MSG_ZEROCOPY), NAME(MSG_FASTOPEN),  NAME(MSG_CMSG_CLOEXEC)};
constexpr Name kOpenFlags[] = {  // those that include the bits of others come first
    NAME(O_TMPFILE),   NAME(O_SYNC),     NAME(O_CREAT),   NAME(O_EXCL),
    NAME(O_NOCTTY),    NAME(O_TRUNC),    NAME(O_APPEND),  NAME(O_NONBLOCK),
    NAME(O_DSYNC),     NAME(O_ASYNC),    NAME(O_DIRECT),  {0100000, "O_LARGEFILE"},
    NAME(O_DIRECTORY), NAME(O_NOFOLLOW), NAME(O_NOATIME), NAME(O_CLOEXEC),
    NAME(O_PATH)};
constexpr Name kAtFlags[] = {NAME(AT_SYMLINK_NOFOLLOW), NAME(AT_REMOVEDIR), NAME(AT_SYMLINK_FOLLOW),
                             NAME(AT_NO_AUTOMOUNT), NAME(AT_EMPTY_PATH)};
constexpr Name kLevels[] = {NAME(SOL_IP),         NAME(SOL_SOCKET), {6, "SOL_TCP"},
                            {17, "SOL_UDP"},      NAME(SOL_IPV6),   NAME(SOL_ICMPV6),
                            {132, "SOL_SCTP"},    NAME(SOL_RAW),    NAME(SOL_PACKET),
                            {270, "SOL_NETLINK"}, {282, "SOL_TLS"}};
constexpr Name kSocketOptions[] = {NAME(SO_DEBUG),
                                   NAME(SO_REUSEADDR),
                                   NAME(SO_TYPE),
                                   NAME(SO_ERROR),
                                   NAME(SO_DONTROUTE),
                                   NAME(SO_BROADCAST),
                                   NAME(SO_SNDBUF),
                                   NAME(SO_RCVBUF),
                                   NAME(SO_KEEPALIVE),
                                   NAME(SO_OOBINLINE),
                                   NAME(SO_PRIORITY),
                                   NAME(SO_LINGER),
                                   NAME(SO_REUSEPORT),
                                   NAME(SO_PASSCRED),
                                   NAME(SO_PEERCRED),
                                   NAME(SO_RCVLOWAT),
                                   NAME(SO_SNDLOWAT),
                                   NAME(SO_RCVTIMEO),
                                   NAME(SO_SNDTIMEO),
                                   NAME(SO_BINDTODEVICE),
                                   NAME(SO_ATTACH_FILTER),
                                   NAME(SO_DETACH_FILTER),
                                   NAME(SO_PEERNAME),
                                   NAME(SO_TIMESTAMP),
                                   NAME(SO_ACCEPTCONN),
                                   NAME(SO_SNDBUFFORCE),
                                   NAME(SO_RCVBUFFORCE),
                                   NAME(SO_MARK),
                                   NAME(SO_TIMESTAMPING),
                                   NAME(SO_PROTOCOL),
                                   NAME(SO_DOMAIN),
                                   NAME(SO_RXQ_OVFL),
                                   NAME(SO_PEEK_OFF),
                                   NAME(SO_BUSY_POLL),
                                   NAME(SO_INCOMING_CPU),
                                   NAME(SO_ATTACH_BPF),
                                   NAME(SO_INCOMING_NAPI_ID),
                                   NAME(SO_COOKIE),
                                   NAME(SO_MEMINFO),
                                   NAME(SO_ZEROCOPY),
                                   NAME(SO_TXTIME),
                                   NAME(SO_BINDTOIFINDEX),
                                   NAME(SO_TIMESTAMPNS)};
constexpr Name kIpOptions[] = {NAME(IP_TOS),
                               NAME(IP_TTL),
                               NAME(IP_HDRINCL),
                               NAME(IP_OPTIONS),
                               NAME(IP_RECVOPTS),
                               NAME(IP_PKTINFO),
                               NAME(IP_MTU_DISCOVER),
                               NAME(IP_RECVERR),
                               NAME(IP_RECVTTL),
                               NAME(IP_RECVTOS),
                               NAME(IP_MTU),
                               NAME(IP_FREEBIND),
                               NAME(IP_TRANSPARENT),
                               NAME(IP_BIND_ADDRESS_NO_PORT),
                               NAME(IP_MULTICAST_IF),
                               NAME(IP_MULTICAST_TTL),
                               NAME(IP_MULTICAST_LOOP),
                               NAME(IP_ADD_MEMBERSHIP),
                               NAME(IP_DROP_MEMBERSHIP),
                               NAME(IP_UNICAST_IF)};
constexpr Name kIpv6Options[] = {NAME(IPV6_UNICAST_HOPS),   NAME(IPV6_MULTICAST_IF),
                                 NAME(IPV6_MULTICAST_HOPS), NAME(IPV6_MULTICAST_LOOP),
                                 NAME(IPV6_ADD_MEMBERSHIP), NAME(IPV6_DROP_MEMBERSHIP),
                                 NAME(IPV6_MTU_DISCOVER),   NAME(IPV6_MTU),
                                 NAME(IPV6_RECVERR),        NAME(IPV6_V6ONLY),
                                 NAME(IPV6_RECVPKTINFO),    NAME(IPV6_PKTINFO),
                                 NAME(IPV6_RECVHOPLIMIT),   NAME(IPV6_RECVTCLASS),
                                 NAME(IPV6_TCLASS),         {78, "IPV6_FREEBIND"}};
constexpr Name kTcpOptions[] = {
    NAME(TCP_NODELAY),          NAME(TCP_MAXSEG),    NAME(TCP_CORK),
    NAME(TCP_KEEPIDLE),         NAME(TCP_KEEPINTVL), NAME(TCP_KEEPCNT),
    NAME(TCP_SYNCNT),           NAME(TCP_LINGER2),   NAME(TCP_DEFER_ACCEPT),
    NAME(TCP_WINDOW_CLAMP),     NAME(TCP_INFO),      NAME(TCP_QUICKACK),
    NAME(TCP_CONGESTION),       NAME(TCP_MD5SIG),    NAME(TCP_USER_TIMEOUT),
    NAME(TCP_FASTOPEN),         NAME(TCP_TIMESTAMP), NAME(TCP_NOTSENT_LOWAT),
    NAME(TCP_FASTOPEN_CONNECT), NAME(TCP_ULP)};
constexpr Name kUdpOptions[] = {NAME(UDP_CORK), NAME(UDP_ENCAP), NAME(UDP_SEGMENT), NAME(UDP_GRO)};
constexpr Name kNetlinkOptions[] = {NAME(NETLINK_ADD_MEMBERSHIP), NAME(NETLINK_DROP_MEMBERSHIP),
                                    NAME(NETLINK_PKTINFO),        NAME(NETLINK_BROADCAST_ERROR),
                                    NAME(NETLINK_NO_ENOBUFS),     NAME(NETLINK_CAP_ACK),
                                    NAME(NETLINK_EXT_ACK),        NAME(NETLINK_GET_STRICT_CHK)};
constexpr Name kPacketOptions[] = {NAME(PACKET_ADD_MEMBERSHIP), NAME(PACKET_RX_RING),
                                   NAME(PACKET_STATISTICS),     NAME(PACKET_AUXDATA),
                                   NAME(PACKET_VERSION),        NAME(PACKET_RESERVE),
                                   NAME(PACKET_TX_RING),        NAME(PACKET_FANOUT)};
constexpr Name kEpollOps[] = {NAME(EPOLL_CTL_ADD), NAME(EPOLL_CTL_DEL), NAME(EPOLL_CTL_MOD)};
constexpr Name kEpollEvents[] = {NAME(EPOLLIN),      NAME(EPOLLPRI),       NAME(EPOLLOUT),
                                 NAME(EPOLLERR),     NAME(EPOLLHUP),       NAME(EPOLLRDNORM),
                                 NAME(EPOLLRDBAND),  NAME(EPOLLWRNORM),    NAME(EPOLLWRBAND),
                                 NAME(EPOLLRDHUP),   NAME(EPOLLEXCLUSIVE), NAME(EPOLLWAKEUP),
                                 NAME(EPOLLONESHOT), NAME(EPOLLET)};
constexpr Name kPollEvents[] = {NAME(POLLIN),     NAME(POLLPRI),    NAME(POLLOUT),
                                NAME(POLLERR),    NAME(POLLHUP),    NAME(POLLNVAL),
                                NAME(POLLRDNORM), NAME(POLLRDBAND), NAME(POLLWRNORM),
                                NAME(POLLWRBAND), NAME(POLLRDHUP)};
constexpr Name kRequests[] = {
    NAME(FIONREAD),       NAME(FIONBIO),        NAME(FIOASYNC),       NAME(FIONCLEX),
    NAME(FIOCLEX),        NAME(TIOCOUTQ),       NAME(TCGETS),         NAME(TIOCGWINSZ),
    NAME(SIOCATMARK),     NAME(SIOCGPGRP),      NAME(SIOCSPGRP),      NAME(SIOCGIFNAME),
    NAME(SIOCGIFCONF),    NAME(SIOCGIFFLAGS),   NAME(SIOCSIFFLAGS),   NAME(SIOCGIFADDR),
    NAME(SIOCSIFADDR),    NAME(SIOCGIFDSTADDR), NAME(SIOCGIFBRDADDR), NAME(SIOCGIFNETMASK),
    NAME(SIOCSIFNETMASK), NAME(SIOCGIFMETRIC),  NAME(SIOCGIFMTU),     NAME(SIOCSIFMTU),
    NAME(SIOCGIFHWADDR),  NAME(SIOCSIFHWADDR),  NAME(SIOCGIFINDEX),   NAME(SIOCGIFTXQLEN),
    NAME(SIOCETHTOOL),    NAME(SIOCGMIIPHY),    NAME(SIOCADDRT),      NAME(SIOCDELRT),
    NAME(SIOCGARP),       NAME(SIOCSARP),       NAME(SIOCGIFMAP),     NAME(SIOCBRADDBR),
    NAME(SIOCOUTQNSD),    NAME(SIOCGIFENCAP),   NAME(SIOCSIFNAME)};
constexpr Name kCommands[] = {
    NAME(F_DUPFD),      NAME(F_GETFD),         NAME(F_SETFD),      NAME(F_GETFL),
    NAME(F_SETFL),      NAME(F_GETLK),         NAME(F_SETLK),      NAME(F_SETLKW),
    NAME(F_SETOWN),     NAME(F_GETOWN),        NAME(F_SETSIG),     NAME(F_GETSIG),
    NAME(F_SETOWN_EX),  NAME(F_GETOWN_EX),     NAME(F_OFD_GETLK),  NAME(F_OFD_SETLK),
    NAME(F_OFD_SETLKW), NAME(F_DUPFD_CLOEXEC), NAME(F_SETPIPE_SZ), NAME(F_GETPIPE_SZ),
    NAME(F_ADD_SEALS),  NAME(F_GET_SEALS)};
constexpr Name kHow[] = {NAME(SHUT_RD), NAME(SHUT_WR), NAME(SHUT_RDWR)};
constexpr Name kWhence[] = {NAME(SEEK_SET), NAME(SEEK_CUR), NAME(SEEK_END), NAME(SEEK_DATA),
                            NAME(SEEK_HOLE)};
constexpr Name kSpliceFlags[] = {NAME(SPLICE_F_MOVE), NAME(SPLICE_F_NONBLOCK), NAME(SPLICE_F_MORE),
                                 NAME(SPLICE_F_GIFT)};
constexpr Name kDescriptorFlags[] = {NAME(FD_CLOEXEC)};
// Errors that only the kernel uses, internally (include/linux/errno.h).
constexpr Name kInternalErrors[] = {{512, "ERESTARTSYS"},
                                    {513, "ERESTARTNOINTR"},
                                    {514, "ERESTARTNOHAND"},
                                    {516, "ERESTART_RESTARTBLOCK"}};

#undef NAME

}  // namespace

std::string family(uint64_t value) {
  return one(kFamilies, value);
}

std::string socket_type(uint64_t value) {
  constexpr uint64_t kBoth = SOCK_CLOEXEC | SOCK_NONBLOCK;
  const uint64_t type = value & ~kBoth;
  // accept4() takes these flags without a type.
  if (type == 0) return flags(kTypeFlags, value);
  const std::string text = one(kTypes, type);
  return (value & kBoth) == 0 ? text : text + "|" + flags(kTypeFlags, value & kBoth);
}

std::string protocol(uint64_t family, uint64_t value) {
  if (family == AF_INET || family == AF_INET6) return one(kInetProtocols, value);
  if (family == AF_NETLINK) return one(kNetlinks, value);
  return number(value);
}

std::string message_flags(uint64_t value) {
  return flags(kMessageFlags, value);
}

std::string open_flags(uint64_t value) {
  const char* access = (value & O_ACCMODE) == O_WRONLY ? "O_WRONLY"
                       : (value & O_ACCMODE) == O_RDWR ? "O_RDWR"
                                                       : "O_RDONLY";
  const uint64_t rest = value & ~uint64_t{O_ACCMODE};
  return rest == 0 ? access : std::string(access) + "|" + flags(kOpenFlags, rest);
}

std::string at_flags(uint64_t value) {
  return flags(kAtFlags, value);
}
std::string level(uint64_t value) {
  return one(kLevels, value);
}

std::string option(uint64_t level, uint64_t value) {
  switch (level) {
    case SOL_SOCKET:
      return one(kSocketOptions, value);
    case SOL_IP:
      return one(kIpOptions, value);
    case SOL_IPV6:
      return one(kIpv6Options, value);
    case IPPROTO_TCP:
      return one(kTcpOptions, value);
    case IPPROTO_UDP:
      return one(kUdpOptions, value);
    case SOL_PACKET:
      return one(kPacketOptions, value);
    case 270:
      return one(kNetlinkOptions, value);
    default:
      return number(value);
  }
}

std::string epoll_operation(uint64_t value) {
  return one(kEpollOps, value);
}
std::string epoll_events(uint64_t value) {
  return flags(kEpollEvents, value & 0xffffffff);
}
std::string poll_events(uint64_t value) {
  return flags(kPollEvents, value & 0xffff);
}
std::string ioctl_request(uint64_t value) {
  return one(kRequests, value & 0xffffffff, true);
}
std::string fcntl_command(uint64_t value) {
  return one(kCommands, value);
}
std::string shutdown_how(uint64_t value) {
  return one(kHow, value);
}
std::string whence(uint64_t value) {
  return one(kWhence, value);
}
std::string splice_flags(uint64_t value) {
  return flags(kSpliceFlags, value);
}
std::string descriptor_flags(uint64_t value) {
  return flags(kDescriptorFlags, value);
}

std::string error_name(int64_t code) {
  if (code > 0 && code < 4096) {
    for (const Name& name : kInternalErrors) {
      if (name.value == static_cast<uint64_t>(code))
        return std::string(name.text) + " (to be restarted)";
    }
    if (const char* name = ::strerrorname_np(static_cast<int>(code))) {
      return std::string(name) + " (" + ::strerrordesc_np(static_cast<int>(code)) + ")";
    }
  }
  return "errno " + std::to_string(code);
}

}  // namespace mino::names
