// SPDX-License-Identifier: Apache-2.0
//
// Names, numbers and addresses of network interfaces: if_nametoindex, getifaddrs and the like. libc
// asks over a socket of its own, which would be on the host. After netdevice(7), rtnetlink(7) and
// getifaddrs(3).
#include "hook/base/mem.h"
#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/preload/libc.h"

namespace mino::hook {

struct InterfaceName {  // struct if_nameindex
  u32 index;
  char* name;
};

struct Interface {  // struct ifaddrs
  Interface* next;
  char* name;
  u32 flags;
  void* address;
  void* netmask;
  void* broadcast;  // or the address of the other end
  void* data;
};

namespace {

struct InterfaceRequest {  // struct ifreq
  char name[16];
  int index;
  char rest[20];
};

long ask_interface(u64 request, InterfaceRequest& about) {
  long fd = mino_call(__NR_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (is_error(fd)) fd = mino_call(__NR_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (is_error(fd)) return fd;
  const long result = mino_call(__NR_ioctl, static_cast<u64>(fd), request, ptr(&about));
  mino_call(__NR_close, static_cast<u64>(fd));
  return result;
}

constexpr u64 align4(u64 n) {
  return (n + 3) & ~3ull;
}

// The list is one mapping that starts with its first entry, so that freeifaddrs can unmap it whole.
class InterfaceList {
 public:
  static constexpr u64 kBytes = 1 << 20;  // committed as touched
  static constexpr u64 kReceived = 32 << 10;
  u8* received = nullptr;  // for messages; a thread's stack may be too small

  bool make() {
    memory_ = static_cast<u8*>(map_pages(kBytes));
    if (!memory_) return false;
    used_ = sizeof(Interface);
    index_of_ = static_cast<int*>(take(kLinks * sizeof *index_of_));
    link_ = static_cast<const Interface**>(take(kLinks * sizeof *link_));
    received = static_cast<u8*>(take(kReceived));
    return true;
  }
  Interface* first() const { return first_; }
  void drop() {
    if (memory_) unmap_pages(memory_, kBytes);
  }

  // The numbers and names of the links, in a mapping of their own. An empty entry ends the list.
  InterfaceName* names() const {
    constexpr u64 kNameRoom = 17;
    auto* const to = static_cast<InterfaceName*>(map_pages(kNamesBytes));
    char* text = reinterpret_cast<char*>(to) + (kLinks + 1) * sizeof *to;
    for (u32 i = 0; to && i < links_; i++, text += kNameRoom) {
      to[i] = {static_cast<u32>(index_of_[i]), text};
      if (link_[i]->name) print(text, link_[i]->name);
    }
    return to;
  }
  static constexpr u64 kNamesBytes = 64 << 10;

  void add(const nlmsghdr* message) {
    if (message->nlmsg_type == RTM_NEWLINK) add_link(message);
    if (message->nlmsg_type == RTM_NEWADDR) add_address(message);
  }

 private:
  void* take(u64 bytes) {
    bytes = (bytes + 7) & ~7ull;
    if (used_ + bytes > kBytes) return nullptr;
    void* const at = memory_ + used_;
    used_ += bytes;
    return at;
  }
  void* keep(const void* from, u64 bytes, u64 room) {
    void* const at = take(room);
    if (at) copy(at, from, bytes < room ? bytes : room);
    return at;
  }
  Interface* append() {
    auto* const entry = static_cast<Interface*>(first_ ? take(sizeof(Interface)) : memory_);
    if (!entry) return nullptr;
    (last_ ? last_->next : first_) = entry;
    last_ = entry;
    return entry;
  }
  template <class Each>
  static void attributes(const nlmsghdr* message, u64 head, Each each) {
    const auto* at = reinterpret_cast<const u8*>(message) + sizeof *message + align4(head);
    const auto* const end = reinterpret_cast<const u8*>(message) + message->nlmsg_len;
    while (at + sizeof(rtattr) <= end) {
      rtattr about;
      copy(&about, at, sizeof about);
      if (about.rta_len < sizeof about || at + about.rta_len > end) return;
      each(about.rta_type, at + sizeof about, about.rta_len - sizeof about);
      at += align4(about.rta_len);
    }
  }

  struct LinkAddress {  // struct sockaddr_ll
    u16 family, protocol;
    int index;
    u16 hardware;
    u8 packet, bytes;
    u8 address[24];  // longer than its declaration, as libc has it
  };
  void* link_address(const ifinfomsg& link, const u8* bytes, u64 n) {
    LinkAddress a{AF_PACKET, 0, link.ifi_index, link.ifi_type, 0, static_cast<u8>(n), {}};
    copy(a.address, bytes, min(n, sizeof a.address));
    return keep(&a, sizeof a, sizeof a);
  }
  void add_link(const nlmsghdr* message) {
    constexpr u64 kNameBytes = 17;
    ifinfomsg link;
    copy(&link, message + 1, sizeof link);
    Interface* const entry = append();
    if (!entry) return;
    entry->flags = link.ifi_flags;
    attributes(message, sizeof link, [&](u16 type, const u8* bytes, u64 n) {
      if (type == IFLA_ADDRESS) entry->address = link_address(link, bytes, n);
      if (type == IFLA_BROADCAST) entry->broadcast = link_address(link, bytes, n);
      if (type == IFLA_IFNAME)
        entry->name = static_cast<char*>(keep(bytes, min(n, kNameBytes - 1), kNameBytes));
      if (type == IFLA_STATS) entry->data = keep(bytes, n, n);
    });
    if (links_ < kLinks) {
      index_of_[links_] = link.ifi_index;
      link_[links_++] = entry;
    }
  }

  // An address or a netmask as a sockaddr_in or sockaddr_in6.
  void* socket_address(u8 family, const u8* bytes, u64 n, u32 scope) {
    u8 a[28]{};
    a[0] = family;
    const u64 at = family == AF_INET ? 4 : 8, room = family == AF_INET ? 16 : sizeof a;
    copy(a + at, bytes, min(n, family == AF_INET ? 4 : 16));
    if (family != AF_INET) copy(a + 24, &scope, sizeof scope);
    return keep(a, room, room);
  }
  void add_address(const nlmsghdr* message) {
    ifaddrmsg about;
    copy(&about, message + 1, sizeof about);
    if (about.ifa_family != AF_INET && about.ifa_family != AF_INET6) return;
    const Interface* link = nullptr;
    for (u32 i = 0; i < links_; i++) {
      if (index_of_[i] == static_cast<int>(about.ifa_index)) link = link_[i];
    }
    Interface* const entry = link ? append() : nullptr;
    if (!entry) return;
    entry->flags = link->flags;
    entry->name = link->name;
    u64 label_bytes = 0;
    const u8 *address = nullptr, *local = nullptr, *broadcast = nullptr, *label = nullptr;
    u64 bytes_each = about.ifa_family == AF_INET ? 4 : 16;
    attributes(message, sizeof about, [&](u16 type, const u8* bytes, u64 n) {
      if (type == IFA_LABEL) label = bytes, label_bytes = n;
      if (n < bytes_each) return;
      if (type == IFA_ADDRESS) address = bytes;
      if (type == IFA_LOCAL) local = bytes;
      if (type == IFA_BROADCAST) broadcast = bytes;
    });
    if (label) entry->name = static_cast<char*>(keep(label, label_bytes, label_bytes + 1));
    const u8* const own = local ? local : address;
    const auto scope_of = [&](const u8* a) {
      const bool on_link =
          about.ifa_family == AF_INET6 &&
          ((a[0] == 0xfe && (a[1] & 0xc0) == 0x80) || (a[0] == 0xff && (a[1] & 0xf) == 2));
      return on_link ? about.ifa_index : 0;
    };
    if (own) entry->address = socket_address(about.ifa_family, own, bytes_each, scope_of(own));
    const u8* const other = broadcast ? broadcast : local ? address : nullptr;
    if (other)
      entry->broadcast = socket_address(about.ifa_family, other, bytes_each, scope_of(other));
    u8 mask[16]{};
    for (u32 i = 0; i < about.ifa_prefixlen && i < bytes_each * 8; i++)
      mask[i / 8] = static_cast<u8>(mask[i / 8] | 0x80 >> i % 8);
    entry->netmask = socket_address(about.ifa_family, mask, bytes_each, 0);
  }

  static constexpr u32 kLinks = 1024;
  u8* memory_ = nullptr;
  u64 used_ = 0;
  Interface *first_ = nullptr, *last_ = nullptr;
  u32 links_ = 0;
  int* index_of_ = nullptr;
  const Interface** link_ = nullptr;
};

// Asks for all links or all addresses: 0 or the error.
long dump(u64 fd, u16 type, InterfaceList& list) {
  struct {
    nlmsghdr header;
    ifinfomsg body;
  } request{};
  request.header = {sizeof request, type, NLM_F_REQUEST | NLM_F_DUMP, type, 0};
  const long sent = mino_call(__NR_sendto, fd, ptr(&request), sizeof request);
  if (is_error(sent)) return sent;
  u8* const bytes = list.received;
  for (;;) {
    const long got = mino_call(__NR_recvfrom, fd, ptr(bytes), InterfaceList::kReceived);
    if (got == -EINTR) continue;
    if (got <= 0) return got ? got : -EIO;
    for (u64 at = 0; at + sizeof(nlmsghdr) <= static_cast<u64>(got);) {
      const auto* message = reinterpret_cast<const nlmsghdr*>(bytes + at);
      if (message->nlmsg_len < sizeof *message || at + message->nlmsg_len > static_cast<u64>(got))
        break;
      if (message->nlmsg_type == NLMSG_DONE) return 0;
      if (message->nlmsg_type == NLMSG_ERROR) return -EIO;
      list.add(message);
      at += align4(message->nlmsg_len);
    }
  }
}

long fill_list(InterfaceList& list, bool addresses) {
  if (!list.make()) return -ENOMEM;
  const long fd = mino_call(__NR_socket, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0);
  if (is_error(fd)) return fd;
  long error = dump(static_cast<u64>(fd), RTM_GETLINK, list);
  if (!error && addresses) error = dump(static_cast<u64>(fd), RTM_GETADDR, list);
  mino_call(__NR_close, static_cast<u64>(fd));
  return error;
}

}  // namespace

}  // namespace mino::hook

namespace mino::libc {

using namespace mino::hook;

MINO_EXPORT(u32, if_nametoindex, const char* name) {
  InterfaceRequest about{};
  u64 n = 0;
  while (name[n] && n < sizeof about.name - 1) about.name[n] = name[n], n++;
  const long result = name[n] ? -ENODEV : ask_interface(SIOCGIFINDEX, about);
  return answer(result) < 0 ? 0 : static_cast<u32>(about.index);
}
MINO_EXPORT(char*, if_indextoname, u32 index, char* name) {
  InterfaceRequest about{};
  about.index = static_cast<int>(index);
  const long result = ask_interface(SIOCGIFNAME, about);
  if (answer(result == -ENODEV ? -ENXIO : result) < 0) return nullptr;
  for (u64 i = 0; i < sizeof about.name; i++) name[i] = about.name[i];
  return name;
}

MINO_EXPORT(int, getifaddrs, Interface** result) {
  InterfaceList list;
  const long error = fill_list(list, true);
  *result = list.first();
  if (error || !list.first()) list.drop();
  return static_cast<int>(answer(error));
}
MINO_EXPORT(void, freeifaddrs, Interface* list) {
  if (list) unmap_pages(list, InterfaceList::kBytes);
}
MINO_EXPORT(InterfaceName*, if_nameindex) {
  InterfaceList list;
  const long error = fill_list(list, false);
  InterfaceName* const names = error ? nullptr : list.names();
  list.drop();
  if (!names) answer(error ? error : -ENOMEM);
  return names;
}
MINO_EXPORT(void, if_freenameindex, InterfaceName* names) {
  if (names) unmap_pages(names, InterfaceList::kNamesBytes);
}

}  // namespace mino::libc
