// SPDX-License-Identifier: Apache-2.0
//
// Numbers that netlink sockets show and carry: port ids, and numbers of processes and files inside
// messages.

#include <fcntl.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <functional>
#include <vector>

#include "check.h"
#include "children.h"

namespace {

int netlink(int protocol = NETLINK_ROUTE) {
  return OK(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
}

sockaddr_nl own_address(int fd) {
  sockaddr_nl address{};
  socklen_t size = sizeof address;
  OK(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size));
  return address;
}

unsigned port(int fd) {
  return own_address(fd).nl_pid;
}

int bind_to(int fd, unsigned pid, unsigned groups = 0) {
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  address.nl_pid = pid;
  address.nl_groups = groups;
  return bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address);
}

unsigned self() {
  return static_cast<unsigned>(getpid());
}

// Messages for one call.
class Request {
 public:
  template <class Header>
  Request& add(int type, const Header& header, int flags = NLM_F_REQUEST | NLM_F_ACK) {
    begin_ = bytes_.size();
    nlmsghdr message{};
    message.nlmsg_type = static_cast<__u16>(type);
    message.nlmsg_flags = static_cast<__u16>(flags);
    message.nlmsg_seq = ++sequence_;
    put(&message, sizeof message);
    put(&header, sizeof header);
    return end();
  }
  Request& attribute(int type, int value) {
    nlattr header{};
    header.nla_len = sizeof header + sizeof value;
    header.nla_type = static_cast<__u16>(type);
    put(&header, sizeof header);
    put(&value, sizeof value);
    return end();
  }
  std::vector<char>& bytes() { return bytes_; }
  char* data() { return bytes_.data(); }
  size_t size() const { return bytes_.size(); }

 private:
  void put(const void* from, size_t size) {
    const auto* at = static_cast<const char*>(from);
    bytes_.insert(bytes_.end(), at, at + size);
  }
  Request& end() {
    while (bytes_.size() % 4 != 0) bytes_.push_back(0);
    const auto size = static_cast<__u32>(bytes_.size() - begin_);
    memcpy(bytes_.data() + begin_, &size, sizeof size);
    return *this;
  }

  std::vector<char> bytes_;
  size_t begin_ = 0;
  unsigned sequence_ = 0;
};

// The next message: an error or 0; for the id of a network namespace 1 if there is none, else 2; 3
// for any other message.
int answer(int fd, unsigned* to = nullptr) {
  alignas(4) char bytes[16384];
  const ssize_t got = recv(fd, bytes, sizeof bytes, 0);
  if (got < static_cast<ssize_t>(sizeof(nlmsghdr))) return got < 0 ? -errno : -EBADMSG;
  nlmsghdr header;
  memcpy(&header, bytes, sizeof header);
  if (to != nullptr) *to = header.nlmsg_pid;
  int value;  // RTM_NEWNSID: behind the headers of family and attribute
  const bool is_id = header.nlmsg_type == RTM_NEWNSID;
  memcpy(&value, bytes + sizeof header + (is_id ? 8 : 0), sizeof value);
  if (is_id) return value == NETNSA_NSID_NOT_ASSIGNED ? 1 : 2;
  return header.nlmsg_type == NLMSG_ERROR ? value : 3;
}

Request get_id(int attribute, int value) {
  return Request().add(RTM_GETNSID, rtgenmsg{}, NLM_F_REQUEST).attribute(attribute, value);
}

int ask(Request request) {
  const int fd = netlink();
  OK(send(fd, request.data(), request.size(), 0));
  const int result = answer(fd);
  close(fd);
  return result;
}

// What get_id() is answered for the socket's own network namespace: it has no id.
constexpr int kOwn = 1;

Request set_link(int attribute, int value) {
  ifinfomsg link{};
  link.ifi_index = 1;
  return Request().add(RTM_SETLINK, link).attribute(attribute, value);
}

ssize_t by_sendmsg(int fd, iovec* parts, size_t count, unsigned times = 0) {
  mmsghdr messages[2]{};
  for (mmsghdr& message : messages) {
    message.msg_hdr.msg_iov = parts;
    message.msg_hdr.msg_iovlen = count;
  }
  return times != 0 ? sendmmsg(fd, messages, times, 0) : sendmsg(fd, &messages[0].msg_hdr, 0);
}

using Send = std::function<ssize_t(int, char*, size_t)>;

// The ways to send bytes in one message; writev and sendmsg in two parts, cut within a number.
const Send kWays[] = {
    [](int fd, char* at, size_t size) { return write(fd, at, size); },
    [](int fd, char* at, size_t size) { return send(fd, at, size, 0); },
    [](int fd, char* at, size_t size) {
      sockaddr_nl kernel{};
      kernel.nl_family = AF_NETLINK;
      return sendto(fd, at, size, 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel);
    },
    [](int fd, char* at, size_t size) {
      iovec parts[] = {{at, size - 2}, {at + size - 2, 2}};
      return writev(fd, parts, 2);
    },
    [](int fd, char* at, size_t size) {
      iovec parts[] = {{at, size - 2}, {at + size - 2, 2}};
      return by_sendmsg(fd, parts, 2);
    },
    [](int fd, char* at, size_t size) {
      iovec parts[] = {{at, size - 3}, {at + size - 3, 3}};
      return by_sendmsg(fd, parts, 2, 1);
    },
};

}  // namespace

TEST(port_id_by_bind) {
  const int first = netlink();
  EXPECT_EQ(port(first), 0u);
  EXPECT_EQ(bind_to(first, 0), 0);
  EXPECT_EQ(port(first), self());
  const int second = netlink();
  EXPECT_EQ(bind_to(second, 0), 0);
  EXPECT(static_cast<int>(port(second)) < -4096);
  const int other = netlink(NETLINK_GENERIC);
  EXPECT_EQ(bind_to(other, 0), 0);
  EXPECT_EQ(port(other), self());
  close(first);
  const int again = netlink();
  EXPECT_EQ(bind_to(again, 0), 0);
  EXPECT_EQ(port(again), self());
  EXPECT_ERR(bind_to(again, 0), EINVAL);
  EXPECT_EQ(bind_to(again, self()), 0);
  const int chosen = netlink();
  EXPECT_EQ(bind_to(chosen, self() + 4096 * 1024), 0);
  EXPECT_EQ(port(chosen), self() + 4096 * 1024);
  EXPECT_ERR(bind_to(chosen, 0), EINVAL);
  EXPECT_ERR(bind_to(netlink(), self()), EADDRINUSE);
}

TEST(port_id_by_sending) {
  for (const Send& way : kWays) {
    const int fd = netlink();
    Request request = Request().add(RTM_GETLINK, rtgenmsg{}, NLM_F_REQUEST | NLM_F_DUMP);
    EXPECT(way(fd, request.data(), request.size()) > 0);
    EXPECT_EQ(port(fd), self());
    unsigned to = 0;
    EXPECT_EQ(answer(fd, &to), 3);
    EXPECT_EQ(to, self());
    close(fd);
  }
  const int fd = netlink();
  EXPECT_ERR(send(fd, "", 0, 0), ENODATA);
  EXPECT_EQ(port(fd), 0u);
}

TEST(port_id_by_connect) {
  const int fd = netlink();
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel), 0);
  EXPECT_EQ(port(fd), self());
}

TEST(memberships_stay) {
  const int fd = netlink();
  const int group = RTNLGRP_LINK;
  OK(setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group));
  Request request = Request().add(RTM_GETLINK, rtgenmsg{}, NLM_F_REQUEST | NLM_F_DUMP);
  OK(send(fd, request.data(), request.size(), 0));
  EXPECT_EQ(own_address(fd).nl_groups, static_cast<unsigned>(RTMGRP_LINK));
  const int other = netlink();
  EXPECT_EQ(bind_to(other, 0, RTMGRP_LINK | RTMGRP_IPV4_IFADDR), 0);
  EXPECT_EQ(own_address(other).nl_groups, static_cast<unsigned>(RTMGRP_LINK | RTMGRP_IPV4_IFADDR));
}

TEST(port_ids_after_fork) {
  const int before = netlink(), unused = netlink();
  EXPECT_EQ(bind_to(before, 0), 0);
  const unsigned parent = self();
  const pid_t made = OK(fork());
  if (made == 0) {
    const int fd = netlink();
    const bool good = port(before) == parent && bind_to(fd, 0) == 0 && port(fd) == self() &&
                      bind_to(unused, 0) == 0 && static_cast<int>(port(unused)) < -4096;
    _exit(good ? 0 : 1);
  }
  EXPECT_EXIT(made, 0);
  // The child gave it to both.
  EXPECT(static_cast<int>(port(unused)) < -4096);
  EXPECT_EQ(port(before), parent);
}

TEST(copies) {
  const int fd = netlink();
  const int copy = OK(dup(fd)), far = OK(fcntl(fd, F_DUPFD_CLOEXEC, 200));
  EXPECT_EQ(bind_to(copy, 0), 0);
  EXPECT_EQ(port(far), self());
  EXPECT_ERR(bind_to(fd, 0), EINVAL);
}

TEST(own_process) {
  EXPECT_EQ(ask(get_id(NETNSA_PID, getpid())), kOwn);
  EXPECT_EQ(ask(get_id(NETNSA_PID, 0x3ffffff0)), -ESRCH);
  EXPECT_EQ(ask(set_link(IFLA_NET_NS_PID, 0x3ffffff0)), -ESRCH);
  for (const Send& way : kWays) {
    const int fd = netlink();
    Request request = get_id(NETNSA_PID, getpid());
    const std::vector<char> before = request.bytes();
    EXPECT(way(fd, request.data(), request.size()) > 0);
    EXPECT(request.bytes() == before);
    EXPECT_EQ(answer(fd), kOwn);
    close(fd);
  }
}

TEST(other_processes) {
  int gate[2];
  OK(pipe(gate));
  const auto waiting = [&](bool with_session) {
    const pid_t made = OK(fork());
    if (made != 0) return made;
    if (with_session) netlink();
    char byte;
    close(gate[1]);
    (void)!read(gate[0], &byte, 1);
    _exit(0);
  };
  const pid_t idle = waiting(false);  // before this process has a session
  const pid_t busy = waiting(true);
  EXPECT_EQ(ask(get_id(NETNSA_PID, idle)), kOwn);
  EXPECT_EQ(ask(get_id(NETNSA_PID, busy)), kOwn);
  EXPECT_EQ(ask(get_id(NETNSA_PID, 1)), kOwn);
  close(gate[1]);
  EXPECT_EXIT(idle, 0);
  EXPECT_EXIT(busy, 0);
  EXPECT_EQ(ask(get_id(NETNSA_PID, idle)), -ESRCH);
}

TEST(files) {
  const int here = OK(open("/proc/self/ns/net", O_RDONLY));
  const int null = OK(open("/dev/null", O_RDONLY));
  EXPECT_EQ(ask(get_id(NETNSA_FD, here)), kOwn);
  EXPECT_EQ(ask(get_id(NETNSA_FD, OK(fcntl(here, F_DUPFD, 300)))), kOwn);
  EXPECT_EQ(ask(set_link(IFLA_NET_NS_FD, null)), -EINVAL);
  EXPECT_EQ(ask(get_id(NETNSA_FD, null)), -EINVAL);
  EXPECT_EQ(ask(get_id(NETNSA_FD, 999)), -EBADF);
  EXPECT_EQ(ask(get_id(NETNSA_FD, -1)), -EBADF);
  EXPECT_EQ(fcntl(here, F_GETFD), 0);
  // A number that was lent is free for others.
  close(here);
  const int after = netlink();
  EXPECT_EQ(bind_to(after, 0), 0);
  for (const Send& way : kWays) {
    const int again = OK(open("/proc/self/ns/net", O_RDONLY));
    const int fd = netlink();
    Request request = get_id(NETNSA_FD, again);
    EXPECT(way(fd, request.data(), request.size()) > 0);
    EXPECT_EQ(answer(fd), kOwn);
    close(fd);
    close(again);
  }
}

TEST(several_messages) {
  const int here = OK(open("/proc/self/ns/net", O_RDONLY)), fd = netlink();
  Request request;
  const auto add = [&](int attribute, int value) {
    request.add(RTM_GETNSID, rtgenmsg{}, NLM_F_REQUEST).attribute(attribute, value);
  };
  add(NETNSA_PID, getpid());
  add(NETNSA_FD, here);
  add(NETNSA_PID, 0x3ffffff0);
  add(NETNSA_PID, getpid());
  OK(send(fd, request.data(), request.size(), 0));
  for (const int want : {kOwn, kOwn, -ESRCH, kOwn}) EXPECT_EQ(answer(fd), want);
  iovec whole{request.data(), request.size()};
  EXPECT_EQ(by_sendmsg(fd, &whole, 1, 2), 2);
  for (const int want : {kOwn, kOwn, -ESRCH, kOwn, kOwn, kOwn, -ESRCH, kOwn})
    EXPECT_EQ(answer(fd), want);
}

TEST(malformed) {
  // Lengths that lie, of the message and of the attribute; numbers that are cut short.
  for (const unsigned length : {0u, 3u, 15u, 17u, 20u, 24u, 28u, 32u, 4096u, 0xfffffffcu}) {
    Request request = get_id(NETNSA_PID, getpid());
    memcpy(request.data(), &length, sizeof length);
    const int fd = netlink();
    EXPECT_EQ(send(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
    OK(fcntl(fd, F_SETFL, O_NONBLOCK));
    check::report("message of %u: %d", length, answer(fd));
    close(fd);
  }
  for (const int length : {0, 3, 4, 5, 6, 7, 9, 12, 200, 0xffff}) {
    Request request = get_id(NETNSA_PID, getpid());
    const auto bytes = static_cast<__u16>(length);
    memcpy(request.data() + sizeof(nlmsghdr) + NLMSG_ALIGN(sizeof(rtgenmsg)), &bytes, sizeof bytes);
    const int fd = netlink();
    OK(send(fd, request.data(), request.size(), 0));
    check::report("attribute of %d: %d", length, answer(fd));
    close(fd);
  }
  const int fd = netlink();
  EXPECT_ERR(syscall(SYS_write, fd, 16, 64), EFAULT);
  iovec parts[] = {{nullptr, 0}, {reinterpret_cast<void*>(16), 64}};
  EXPECT_ERR(writev(fd, parts, 2), EFAULT);
}

TEST(named_sender) {
  const int fd = netlink();
  Request request = get_id(NETNSA_PID, getpid());
  iovec whole{request.data(), request.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))]{};
  msghdr message{};
  message.msg_iov = &whole;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* part = CMSG_FIRSTHDR(&message);
  part->cmsg_level = SOL_SOCKET;
  part->cmsg_type = SCM_CREDENTIALS;
  part->cmsg_len = CMSG_LEN(sizeof(ucred));
  const ucred sender{getpid(), getuid(), getgid()};
  memcpy(CMSG_DATA(part), &sender, sizeof sender);
  EXPECT_EQ(sendmsg(fd, &message, 0), static_cast<ssize_t>(request.size()));
  EXPECT_EQ(answer(fd), kOwn);
  ucred still;
  memcpy(&still, CMSG_DATA(part), sizeof still);
  EXPECT_EQ(still.pid, getpid());
}

TEST(answers_of_the_kernel_name_no_process) {
  const int fd = netlink(), on = 1;
  OK(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
  Request request = Request().add(RTM_GETLINK, rtgenmsg{}, NLM_F_REQUEST | NLM_F_DUMP);
  OK(send(fd, request.data(), request.size(), 0));
  char bytes[8192];
  iovec whole{bytes, sizeof bytes};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))]{};
  sockaddr_nl from{};
  msghdr message{&from, sizeof from, &whole, 1, control, sizeof control, 0};
  EXPECT(recvmsg(fd, &message, 0) > 0);
  EXPECT_EQ(from.nl_pid, 0u);
  const cmsghdr* part = CMSG_FIRSTHDR(&message);
  EXPECT(part != nullptr && part->cmsg_type == SCM_CREDENTIALS);
  ucred sender{1, 1, 1};
  if (part != nullptr) memcpy(&sender, CMSG_DATA(part), sizeof sender);
  EXPECT_EQ(sender.pid, 0);
}

HELPER(inherited) {
  const int fd = atoi(argv[argc - 1]);
  if (port(fd) != 0 || bind_to(fd, 0) != 0 || port(fd) != self()) return 1;
  return ask(get_id(NETNSA_PID, getpid())) == kOwn ? 0 : 2;
}

TEST(executed) {
  const int fd = OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
  const pid_t made = OK(fork());
  if (made == 0) {
    char number[16];
    snprintf(number, sizeof number, "%d", fd);
    execl("/proc/self/exe", "netlink", "@inherited", number, nullptr);
    _exit(9);
  }
  EXPECT_EXIT(made, 0);
}
