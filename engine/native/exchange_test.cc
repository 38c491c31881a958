// SPDX-License-Identifier: Apache-2.0
//
// Open files that change session, with a minod that does nothing but exchange them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <map>

#include "engine/testing/client.h"

namespace mino::test {
namespace {

class FakeMinod {
 public:
  FakeMinod() {
    const std::string name = "/tmp/mino-exchange-test-" + std::to_string(::getpid());
    listener_ = Fd(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strcpy(address.sun_path, name.c_str());
    if (::bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_.get(), 8) != 0) {
      std::abort();
    }
    // Reached through a descriptor of the file, so that an aborted test leaves none behind.
    file_ = Fd(::open(name.c_str(), O_PATH | O_CLOEXEC));
    ::unlink(name.c_str());
    path_ = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(file_.get());
  }
  // Called after every fork of the test: ThreadSanitizer limits the children of a process with
  // threads.
  void start() {
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeMinod() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    thread_.join();
  }
  const std::string& path() const { return path_; }

 private:
  void serve() {
    for (;;) {
      Fd client(::accept(listener_.get(), nullptr, nullptr));
      if (!client.valid()) return;
      char byte;
      (void)!::recv(client.get(), &byte, 1, MSG_PEEK);
      Incoming incoming;
      if (receive_message(client.get(), incoming) != Arrival::kMessage) continue;
      abi::Message answer;
      answer.type = abi::MessageType::kExchanged;
      if (incoming.message.type == abi::MessageType::kExport && incoming.file_count == 1 &&
          files_.empty()) {
        answer.session_id = next_++;
        files_[answer.session_id] = std::move(incoming.files[0]);
        post_message(client.get(), answer, {listener_.get()});  // stands for a parcel
      } else if (incoming.message.type == abi::MessageType::kImport &&
                 files_.contains(incoming.message.session_id)) {
        post_message(client.get(), answer, {files_[incoming.message.session_id].get()});
      } else if (incoming.message.type == abi::MessageType::kSettle) {
        files_.erase(incoming.message.session_id);
        post_message(client.get(), answer);
      } else {
        answer.type = abi::MessageType::kRefuse;
        answer.reason = abi::RefuseReason::kFull;
        post_message(client.get(), answer);
      }
    }
  }

  std::string path_;
  Fd listener_, file_;
  std::thread thread_;
  std::map<uint64_t, Fd> files_;
  uint64_t next_ = 1000;
};

TEST(Exchange, AFileMovesBetweenSessions) {
  FakeMinod minod;
  Session one({.exchange = minod.path()}), two({.exchange = minod.path()});
  minod.start();
  LaneClient first(one, 0), second(two, 0);
  ASSERT_EQ(first.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 10), 10);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(first.call(SYS_bind, {10, ptr(&address), sizeof address}), 0);
  socklen_t size = sizeof address;
  ASSERT_EQ(first.call(SYS_getsockname, {10, ptr(&address), ptr(&size)}), 0);
  const int64_t id = first.op(abi::Op::kExport, {10});
  ASSERT_EQ(id, 1000);
  const Incoming parcel = one.receive();
  EXPECT_EQ(parcel.message.type, abi::MessageType::kParcel);
  EXPECT_EQ(parcel.message.session_id, 1000u);
  EXPECT_EQ(parcel.file_count, 1);
  EXPECT_EQ(one.receive().message.type, abi::MessageType::kSettle);
  ASSERT_EQ(second.op(abi::Op::kImport, {static_cast<uint64_t>(id)}, 400), 400);
  sockaddr_in same{};
  size = sizeof same;
  ASSERT_EQ(second.call(SYS_getsockname, {400, ptr(&same), ptr(&size)}), 0);
  EXPECT_EQ(same.sin_port, address.sin_port);
  EXPECT_EQ(first.op(abi::Op::kExport, {10}), -ETOOMANYREFS);  // this minod takes one
  EXPECT_EQ(second.op(abi::Op::kSettle, {static_cast<uint64_t>(id)}), 0);
  EXPECT_EQ(second.op(abi::Op::kImport, {static_cast<uint64_t>(id)}, 401), -EBADF);
  EXPECT_EQ(second.call(SYS_fcntl, {401, F_GETFL}), -EBADF);
  EXPECT_EQ(first.op(abi::Op::kExport, {11}), -EBADF);
  EXPECT_EQ(second.op(abi::Op::kImport, {5}, -1), -EINVAL);
}

TEST(Exchange, AnotherClientFetches) {
  FakeMinod minod;
  Session one({.exchange = minod.path()}), two({.exchange = minod.path()});
  minod.start();
  LaneClient first(one, 0), second(two, 0);
  ASSERT_EQ(first.call(SYS_socket, {AF_INET, SOCK_STREAM, 0}, 10), 10);
  ASSERT_EQ(first.call(SYS_listen, {10, 1}), 0);
  for (const uint32_t number : {11u, 5000u, ~0u}) {
    const Incoming refused = one.fetched_by_another(number);
    EXPECT_EQ(refused.message.type, abi::MessageType::kParcel);
    EXPECT_EQ(refused.message.turn, static_cast<uint32_t>(EBADF));
    EXPECT_EQ(refused.file_count, 0);
  }
  const Incoming parcel = one.fetched_by_another(10);
  EXPECT_EQ(parcel.message.type, abi::MessageType::kParcel);
  EXPECT_EQ(parcel.message.turn, 0u);
  EXPECT_EQ(parcel.file_count, 1);
  ASSERT_EQ(second.op(abi::Op::kImport, {parcel.message.session_id}, 20), 20);
  int listens = 0;
  socklen_t size = sizeof listens;
  EXPECT_EQ(second.call(SYS_getsockopt, {20, SOL_SOCKET, SO_ACCEPTCONN, ptr(&listens), ptr(&size)}),
            0);
  EXPECT_EQ(listens, 1);
  EXPECT_EQ(one.fetched_by_another(10).message.turn,
            static_cast<uint32_t>(ETOOMANYREFS));  // this minod takes one
  EXPECT_EQ(first.call(SYS_listen, {10, 2}), 0);
}

TEST(Exchange, NobodyThere) {
  Session session({.exchange = "/tmp/mino-nobody-listens"});
  LaneClient lane(session, 0);
  ASSERT_EQ(lane.call(SYS_socket, {AF_INET, SOCK_DGRAM, 0}, 10), 10);
  EXPECT_EQ(lane.op(abi::Op::kExport, {10}), -ENFILE);
  EXPECT_EQ(lane.op(abi::Op::kImport, {1}, 11), -EBADF);
}

}  // namespace
}  // namespace mino::test
