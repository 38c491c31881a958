// SPDX-License-Identifier: Apache-2.0
//
// A file in the exchange lives as long as its parcel, wherever that is.
#include "daemon/exchange.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <cstring>
#include <vector>

#include "channel/session_socket.h"

namespace mino {
namespace {

using std::chrono::milliseconds;

// A file in the exchange: the write end of a pipe. The read end tells when it is closed.
struct Parked {
  Fd read, write;
  Parked() {
    int pipe[2];
    if (::pipe2(pipe, O_CLOEXEC | O_NONBLOCK) != 0) std::abort();
    read = Fd(pipe[0]);
    write = Fd(pipe[1]);
  }
  bool closed() const {
    char byte;
    return ::read(read.get(), &byte, 1) == 0;
  }
};

TEST(Exchange, KeepsAFileWhileItsParcelIsOpen) {
  EventLoop loop;
  Exchange exchange(loop);
  Parked parked;
  auto made = exchange.put(std::move(parked.write), 0);
  ASSERT_TRUE(made);
  char text[200] = {};
  EXPECT_GT(::pread(made->parcel.get(), text, sizeof text, 0), 17);
  EXPECT_EQ(std::strtoull(std::strstr(text, " id ") + 4, nullptr, 16), made->id);
  EXPECT_EQ(::write(made->parcel.get(), "x", 1), -1);
  EXPECT_EQ(errno, EPERM);
  Fd second(::fcntl(made->parcel.get(), F_DUPFD_CLOEXEC, 0));
  // As opened anew by some program. Closing it does not end the parcel.
  Fd other(::open(("/proc/self/fd/" + std::to_string(second.get())).c_str(), O_RDONLY));
  made->parcel.reset();
  other.reset();
  exchange.settle(made->id);
  loop.step(milliseconds(20));
  EXPECT_TRUE(exchange.copy(made->id, 0).valid());
  EXPECT_TRUE(exchange.copy(made->id, 0).valid());  // by as many as ask
  EXPECT_FALSE(parked.closed());
  second.reset();
  exchange.settle(made->id);
  EXPECT_TRUE(parked.closed());
  EXPECT_FALSE(exchange.copy(made->id, 0).valid());
  exchange.settle(made->id);
}

// The companion of an epoll set: for those who have the set, and as long as it is open.
TEST(Exchange, KeepsAFileWhileItsTagIsThere) {
  constexpr uid_t kOwner = 1000, kOther = 1001;
  EventLoop loop;
  Exchange exchange(loop);
  Parked parked;
  auto made = exchange.put(std::move(parked.write), kOwner, true);
  ASSERT_TRUE(made);
  Fd set(::epoll_create1(EPOLL_CLOEXEC));
  struct flock lock{};
  lock.l_type = F_RDLCK;
  lock.l_start = static_cast<off_t>(made->id);
  lock.l_len = 1;
  ASSERT_EQ(::fcntl(set.get(), F_OFD_SETLK, &lock), 0);
  made->parcel.reset();
  Fd second(::fcntl(set.get(), F_DUPFD_CLOEXEC, 0));
  set.reset();
  exchange.settle(made->id);
  EXPECT_FALSE(parked.closed());
  EXPECT_TRUE(exchange.copy(made->id, kOwner).valid());
  EXPECT_TRUE(exchange.copy(made->id, 0).valid());
  EXPECT_FALSE(exchange.copy(made->id, kOther).valid());
  second.reset();
  exchange.settle(made->id);
  EXPECT_TRUE(parked.closed());
}

TEST(Exchange, FindsOutThatNobodyReceivedIt) {
  EventLoop loop;
  Exchange exchange(loop);
  Parked parked;
  int pair[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
  Fd one(pair[0]), other(pair[1]);
  auto made = exchange.put(std::move(parked.write), 0);
  ASSERT_TRUE(made);
  ASSERT_TRUE(post_message(one.get(), {}, {made->parcel.get()}));
  made->parcel.reset();
  for (int i = 0; i < 5; i++) loop.step(milliseconds(10));
  EXPECT_FALSE(parked.closed());
  one.reset();
  other.reset();
  while (!parked.closed()) loop.step(milliseconds(1000));
  EXPECT_FALSE(exchange.copy(made->id, 0).valid());
}

TEST(Exchange, IsBounded) {
  EventLoop loop;
  Exchange exchange(loop);
  std::vector<Fd> parcels;
  const auto put = [&](uid_t owner) {
    auto made = exchange.put(Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)), owner);
    if (made) parcels.push_back(std::move(made->parcel));
    return made.has_value();
  };
  for (size_t i = 0; i < Exchange::kMaxFilesOfUser; i++) ASSERT_TRUE(put(1));
  EXPECT_FALSE(put(1));
  EXPECT_TRUE(put(2));
  while (parcels.size() < Exchange::kMaxFiles) ASSERT_TRUE(put(3 + parcels.size() % 2));
  EXPECT_FALSE(put(2));
  parcels.clear();
  while (!put(1)) loop.step(milliseconds(1000));
}

}  // namespace
}  // namespace mino
