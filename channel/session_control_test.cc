// SPDX-License-Identifier: Apache-2.0
//
// Session control without an engine: what a client may say, and how its session ends.
#include "channel/session_control.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>

namespace mino {
namespace {

using abi::Message;
using abi::MessageType;

// Writes down what it is told.
class Recorder final : public SessionControl {
 public:
  using SessionControl::SessionControl;
  std::string said;

 private:
  bool note(const std::string& what) {
    said += what + ";";
    return true;
  }
  bool attach(uint32_t lane) override { return note("attach " + std::to_string(lane)); }
  bool bell(uint32_t lane, Fd file) override {
    return note("bell " + std::to_string(lane)) && file.valid();
  }
  bool cancel(uint32_t lane, uint32_t turn) override {
    return note("cancel " + std::to_string(lane) + " " + std::to_string(turn));
  }
  bool share() override { return note("share"); }
  bool clear(uint32_t number) override { return note("clear " + std::to_string(number)); }
  bool begin_reattach() override { return note("reattach"); }
  bool give(uint32_t number, Fd) override { return note("give " + std::to_string(number)); }
  int ready(int) override { return kServing; }
  int after_events(bool) override { return -1; }
};

// A client, the session control that serves it, and minod's end of a pipe.
struct Conversation {
  Conversation() {
    int both[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both), 0);
    client = Fd(both[0]);
    Fd device(both[1]);
    EXPECT_TRUE(report_senders(device.get()));
    EXPECT_EQ(::pipe2(both, O_CLOEXEC), 0);
    minod = Fd(both[1]);
    row = table->claim(::getpid(), 1234);
    control =
        std::make_unique<Recorder>(memory, *row, *table, std::move(device), Fd(both[0]), Fd());
  }

  void say(MessageType type, uint32_t lane = 0, uint32_t turn = 0, int files = 0) {
    Message message;
    message.type = type;
    message.lane = lane;
    message.turn = turn;
    std::strcpy(message.text, "a\tname");
    const int file = minod.get();
    EXPECT_TRUE(files == 0   ? post_message(client.get(), message)
                : files == 1 ? post_message(client.get(), message, {file})
                             : post_message(client.get(), message, {file, file}));
  }
  // Says no more, and returns how the session ended.
  int serve() {
    EXPECT_EQ(::shutdown(client.get(), SHUT_WR), 0);
    return control->run();
  }
  Incoming answer() {
    Incoming incoming;
    EXPECT_EQ(receive_message(client.get(), incoming), Arrival::kMessage);
    return incoming;
  }

  SessionMemory memory = *SessionMemory::create(7, 4, 4096);
  std::unique_ptr<StatsTable> table = std::make_unique<StatsTable>();
  SessionStats* row;
  Fd client, minod;
  std::unique_ptr<Recorder> control;
};

TEST(SessionControl, PassesOnWhatTheClientMayAsk) {
  Conversation with;
  with.say(MessageType::kAttachLane, 3);
  with.say(MessageType::kBell, 1, 0, 1);
  with.say(MessageType::kCancel, 2, 9);
  with.say(MessageType::kFetch, 0, 17, 1);
  with.say(MessageType::kReattach);
  EXPECT_EQ(with.serve(), kClientGone);
  EXPECT_EQ(with.control->said, "attach 3;bell 1;cancel 2 9;give 17;reattach;");
}

TEST(SessionControl, EndsASessionThatBreaksTheContract) {
  const struct {
    MessageType type;
    uint32_t lane;
    int files;
  } broken[] = {
      {MessageType::kAttachLane, 4, 0}, {MessageType::kCancel, 4, 0},  {MessageType::kBell, 4, 1},
      {MessageType::kBell, 0, 0},       {MessageType::kBell, 0, 2},    {MessageType::kFetch, 0, 0},
      {MessageType::kReaped, 0, 0},     {MessageType::kWelcome, 0, 0}, {MessageType::kJoin, 0, 0}};
  for (const auto& message : broken) {
    Conversation with;
    with.say(message.type, message.lane, 0, message.files);
    EXPECT_EQ(with.serve(), kBrokenClient)
        << static_cast<uint32_t>(message.type) << " with " << message.files << " files";
    EXPECT_EQ(with.control->said, "");
  }
}

TEST(SessionControl, EndsWithMinod) {
  Conversation with;
  with.minod.reset();
  EXPECT_EQ(with.control->run(), kClientGone);
}

TEST(SessionControl, BelongsToWhoeverAdoptsIt) {
  Conversation with;
  with.say(MessageType::kAdopt);
  EXPECT_EQ(with.serve(), kClientGone);
  EXPECT_EQ(with.row->client_pid, ::getpid());
  EXPECT_EQ(with.row->uid, ::getuid());
  EXPECT_STREQ(with.row->name, "a?name");
}

TEST(SessionControl, IsJoinedOnlyWhenItIsShared) {
  Conversation with;
  with.say(MessageType::kShare);
  with.say(MessageType::kJoin, 0, 1);
  EXPECT_EQ(with.serve(), kClientGone);
  EXPECT_EQ(with.control->said, "share;");
  EXPECT_EQ(with.answer().message.type, MessageType::kShare);
}

TEST(SessionControl, AnswersWhenAReapedClientHasNoSession) {
  Conversation with;
  with.say(MessageType::kReaped, 0, 1);
  EXPECT_EQ(with.serve(), kClientGone);
  EXPECT_EQ(with.answer().message.type, MessageType::kReaped);
}

TEST(SessionControl, RefusesAChildWhereThereIsNoRoom) {
  Conversation with;
  int both[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both), 0);
  const Fd device(both[0]);
  with.client = Fd(both[1]);
  EXPECT_FALSE(refuse_child(device.get(), *with.table, *with.row));
  with.table->most_per_user = 1;
  EXPECT_TRUE(refuse_child(device.get(), *with.table, *with.row));
  EXPECT_EQ(claim_child_row(*with.table, *with.row, 8), nullptr);
  const Incoming refused = with.answer();
  EXPECT_EQ(refused.message.type, MessageType::kRefuse);
  EXPECT_EQ(refused.message.reason, abi::RefuseReason::kFull);
  EXPECT_NE(std::strstr(refused.message.text, "limits.sessions_per_user = 1"), nullptr);
}

TEST(SessionControl, ChildrenAreCalledAsTheirParents) {
  Conversation with;
  std::strcpy(with.row->name, "parent");
  with.row->client_pid = 17;
  with.row->instance = 3;
  const SessionStats* row = claim_child_row(*with.table, *with.row, 8);
  ASSERT_NE(row, nullptr);
  EXPECT_NE(row, with.row);
  EXPECT_STREQ(row->name, "parent");
  EXPECT_EQ(row->proxy_pid, ::getpid());
  EXPECT_EQ(row->client_pid, 0) << "until it says who it is";
  EXPECT_EQ(row->session_id, 8u);
  EXPECT_EQ(row->instance, 3u);
  EXPECT_EQ(row->uid, 1234u);
}

TEST(SessionControl, TellsTheParentWhereItsChildsSessionIs) {
  Conversation with;
  int both[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, both), 0);
  const Fd device(both[0]);
  with.client = Fd(both[1]);
  ASSERT_TRUE(announce_child(device.get(), with.memory, with.minod.get()));
  const Incoming incoming = with.answer();
  EXPECT_EQ(incoming.message.type, MessageType::kChild);
  EXPECT_EQ(incoming.message.session_id, 7u);
  EXPECT_EQ(incoming.message.lane_count, 4u);
  EXPECT_EQ(incoming.message.arena_bytes, 4096u);
  EXPECT_EQ(incoming.file_count, 2);
}

}  // namespace
}  // namespace mino
