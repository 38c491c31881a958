// SPDX-License-Identifier: Apache-2.0
//
// Datagrams with too much in them, and that none of their descriptors leaks.
#include "channel/descriptor_passing.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <vector>

namespace mino {
namespace {

class DescriptorPassing : public testing::Test {
 protected:
  DescriptorPassing() {
    int both[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both), 0);
    ours_ = Fd(both[0]);
    theirs_ = Fd(both[1]);
  }
  bool send(std::string_view text, const std::vector<int>& files) {
    return send_datagram(theirs_.get(), text.data(), text.size(), files, MSG_DONTWAIT);
  }
  Datagram receive() { return receive_datagram(ours_.get(), text_, sizeof text_); }
  // New descriptors get the lowest free number: if it stays the same, none has leaked.
  int lowest_free() const {
    const int fd = ::dup(file_.get());
    ::close(fd);
    return fd;
  }

  Fd ours_, theirs_;
  const Fd file_{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  char text_[16]{};
};

dev_t device_of(int fd) {
  struct stat found{};
  EXPECT_EQ(::fstat(fd, &found), 0);
  return found.st_rdev;
}

TEST_F(DescriptorPassing, KeepsTheOrder) {
  const Fd other(::open("/dev/zero", O_RDONLY));
  ASSERT_TRUE(send("hello", {file_.get(), other.get()}));
  const Datagram got = receive();
  EXPECT_EQ(got.bytes, 5);
  EXPECT_EQ(std::string_view(text_, 5), "hello");
  EXPECT_FALSE(got.cut);
  ASSERT_EQ(got.file_count, 2u);
  EXPECT_EQ(device_of(got.files[0].get()), device_of(file_.get()));
  EXPECT_EQ(device_of(got.files[1].get()), device_of(other.get()));
  EXPECT_TRUE(::fcntl(got.files[0].get(), F_GETFD) & FD_CLOEXEC);
}

TEST_F(DescriptorPassing, NamesTheSenderWhenAsked) {
  ASSERT_TRUE(send("a", {file_.get()}));
  const Datagram unasked = receive();
  EXPECT_EQ(unasked.sender, 0);
  EXPECT_EQ(unasked.uid, ~0u);
  const int on = 1;
  ASSERT_EQ(::setsockopt(ours_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
  ASSERT_TRUE(send("a", {file_.get()}));
  const Datagram got = receive();
  EXPECT_EQ(got.sender, ::getpid());
  EXPECT_EQ(got.uid, ::getuid());
  EXPECT_EQ(got.file_count, 1u);
}

TEST_F(DescriptorPassing, LosesNoDescriptor) {
  const int before = lowest_free();
  for (const size_t count : {size_t{1}, Datagram::kMaxFiles, kMaxSentFiles}) {
    for (const char* text : {"", "hello", "longer than the room for it"}) {
      ASSERT_TRUE(send(text, std::vector<int>(count, file_.get())));
      const Datagram got = receive();
      EXPECT_EQ(got.file_count, std::min(count, Datagram::kMaxFiles));
      EXPECT_EQ(got.cut, count > Datagram::kMaxFiles || std::string_view(text).size() > 16);
      for (size_t i = 0; i < got.file_count; i++) EXPECT_TRUE(got.files[i].valid());
    }
    EXPECT_EQ(lowest_free(), before);
  }
}

TEST_F(DescriptorPassing, TellsNothingThereFromTheEnd) {
  EXPECT_EQ(receive().bytes, -EAGAIN);
  theirs_.reset();
  EXPECT_EQ(receive().bytes, 0);
  ours_.reset();
  EXPECT_EQ(receive().bytes, -EBADF);
}

}  // namespace
}  // namespace mino
