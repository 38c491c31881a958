// SPDX-License-Identifier: Apache-2.0
#include "channel/session_control.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <utility>

#include "base/log.h"

namespace mino {

using abi::Message;
using abi::MessageType;

namespace {

constexpr uint64_t kReapPatience = 2000;  // ms; then a client that waits is answered in any case
constexpr int kReapPause = 1;             // ms

uint64_t now_ms() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + static_cast<uint64_t>(now.tv_nsec) / 1'000'000;
}

bool has_session(const StatsTable& table, int32_t client) {
  return std::ranges::any_of(table.rows, [client](const SessionStats& row) {
    return row.proxy_pid.load(std::memory_order_relaxed) > 0 &&
           row.client_pid.load(std::memory_order_relaxed) == client;
  });
}

}  // namespace

SessionControl::SessionControl(SessionMemory& memory, SessionStats& stats, const StatsTable& table,
                               Fd socket, Fd minod, Fd client)
    : memory_(memory),
      stats_(stats),
      table_(table),
      socket_(std::move(socket)),
      minod_(std::move(minod)),
      client_(std::move(client)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)) {}

bool SessionControl::watch(int fd) {
  epoll_event event{};
  event.events = EPOLLIN | EPOLLRDHUP;
  event.data.fd = fd;
  return ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
}

bool SessionControl::welcome() {
  Message message;
  message.type = MessageType::kWelcome;
  message.lane_count = memory_.lane_count();
  message.arena_bytes = memory_.arena_bytes();
  message.session_id = memory_.session_id();
  return post_message(socket_.get(), message, {memory_.object()});
}

int SessionControl::run() {
  if (!watch(socket_.get()) || !watch(minod_.get())) return kOutOfResources;
  if (client_.valid() && !watch(client_.get())) return kOutOfResources;
  int pause = -1;
  for (;;) {
    epoll_event events[4];
    const int n = ::epoll_wait(epoll_.get(), events, 4, pause);
    for (int i = 0; i < n; i++) {
      const int fd = events[i].data.fd;
      if (fd == minod_.get() || fd == client_.get()) return kClientGone;
      if (client_ended(fd)) continue;
      const bool hung_up = (events[i].events & (EPOLLHUP | EPOLLRDHUP | EPOLLERR)) != 0;
      const int status = fd == socket_.get() ? message_arrived(hung_up) : ready(fd);
      if (status != kServing) return status;
    }
    pause = after_events(n > 0);
    if (pause == kEnded || !answer_reaped()) return kClientGone;
    if (reaped_ != 0) pause = kReapPause;
  }
}

int SessionControl::message_arrived(bool hung_up) {
  Incoming incoming;
  const Arrival arrival = receive_message(socket_.get(), incoming);
  if (arrival == Arrival::kBroken) return kClientGone;
  if (arrival == Arrival::kMessage && !handle(incoming)) return kBrokenClient;
  return arrival == Arrival::kNothing && hung_up ? kClientGone : kServing;
}

bool SessionControl::handle(Incoming& incoming) {
  const Message& message = incoming.message;
  switch (message.type) {
    case MessageType::kAttachLane:
      return message.lane < memory_.lane_count() && attach(message.lane);
    case MessageType::kBell:
      return message.lane < memory_.lane_count() && incoming.file_count == 1 &&
             bell(message.lane, std::move(incoming.files[0]));
    case MessageType::kCancel:
      return message.lane < memory_.lane_count() && cancel(message.lane, message.turn);
    case MessageType::kAdopt:
      return adopt(incoming);
    case MessageType::kShare:
      return begin_sharing();
    case MessageType::kJoin:
      return join(incoming);
    case MessageType::kReattach:
      take_name(incoming);
      stats_.uid = incoming.uid;
      return begin_reattach();
    case MessageType::kFetch:
      return incoming.file_count == 1 && give(message.turn, std::move(incoming.files[0]));
    case MessageType::kReaped:
      reaped_ = static_cast<int32_t>(message.turn);
      reaped_since_ = now_ms();
      return reaped_ > 0;
    default:
      return false;
  }
}

// A row becomes free when its process has been reaped: everything that it held is closed by then.
bool SessionControl::answer_reaped() {
  const bool lives = has_session(table_, reaped_) || has_client(reaped_);
  if (reaped_ == 0 || (lives && now_ms() - reaped_since_ < kReapPatience)) return true;
  reaped_ = 0;
  Message message;
  message.type = MessageType::kReaped;
  return post_message(socket_.get(), message);
}

// The sender is now the session's client. The kernel says who the sender is.
bool SessionControl::adopt(const Incoming& incoming) {
  Fd client(static_cast<int>(::syscall(SYS_pidfd_open, incoming.sender, 0)));
  // It may be gone, or not visible from here. Then the socket tells when the session is over.
  if (client.valid() && watch(client.get()))
    client_ = std::move(client);  // the old one leaves the set
  stats_.client_pid.store(incoming.sender, std::memory_order_relaxed);
  stats_.uid = incoming.uid;
  take_name(incoming);
  return true;
}

// From here on, a client's death does not end the session: others may have the table and its
// socket.
bool SessionControl::begin_sharing() {
  if (!shared_) {
    shared_ = true;
    if (client_.valid()) clients_.push_back({std::move(client_), stats_.client_pid.load(), 0});
    if (!share()) return false;
  }
  Message message;
  message.type = MessageType::kShare;
  return post_message(socket_.get(), message);
}

bool SessionControl::join(const Incoming& incoming) {
  const uint32_t number = incoming.message.turn;
  if (!shared_ || clients_.size() >= abi::kMaxLanes) return false;
  Fd process(static_cast<int>(::syscall(SYS_pidfd_open, incoming.sender, 0)));
  const bool lives = process.valid() && watch(process.get());
  clients_.push_back({lives ? std::move(process) : Fd(), incoming.sender, number});
  return lives || clear(number);
}

// True if `fd` was one of several clients, and that one has died.
bool SessionControl::client_ended(int fd) {
  for (Client& client : clients_) {
    if (client.process.get() != fd) continue;
    client.process.reset();  // leaves the set
    clear(client.number);
    return true;
  }
  return false;
}

void SessionControl::cleared(uint32_t number) {
  std::erase_if(clients_, [number](const Client& client) {
    return client.number == number && !client.process.valid();
  });
  // The session is shown under the pid of its oldest client.
  stats_.client_pid.store(clients_.empty() ? 0 : clients_.front().pid, std::memory_order_relaxed);
}

int SessionControl::client(int32_t pid) const {
  const auto found = std::ranges::find(clients_, pid, &Client::pid);
  return found != clients_.end() ? found->process.get() : client_.get();
}

bool SessionControl::has_client(int32_t pid) const {
  return std::ranges::any_of(clients_, [pid](const Client& client) { return client.pid == pid; });
}

void SessionControl::take_name(const Incoming& incoming) {
  const char* text = incoming.message.text;
  if (text[0] == '\0') return;
  // A reader may see a mixture of two names. The name is for display only.
  for (size_t i = 0; i < sizeof stats_.name - 1; i++) {
    const char c = text[i];
    stats_.name[i] = c == '\0' || (c >= ' ' && c < 0x7f) ? c : '?';
    if (c == '\0') break;
  }
}

bool post_mapped(int socket, int file, uint64_t bytes) {
  Message message;
  message.type = MessageType::kMapped;
  message.session_id = bytes;
  return post_message(socket, message, {file});
}

bool post_parcel(int socket, Fd parcel, uint64_t id) {
  Message message;
  message.type = MessageType::kParcel;
  message.session_id = id;
  if (!post_message(socket, message, {parcel.get()})) return false;
  parcel.reset();
  message.type = MessageType::kSettle;
  return post_message(socket, message);
}

bool refuse_parcel(int socket, int64_t error) {
  Message message;
  message.type = MessageType::kParcel;
  message.turn = static_cast<uint32_t>(-error);
  return post_message(socket, message);
}

Fd pidfd_of_peer(int socket, int pid) {
  constexpr int kSoPeerpidfd = 77;
  int fd = -1;
  socklen_t size = sizeof fd;
  if (::getsockopt(socket, SOL_SOCKET, kSoPeerpidfd, &fd, &size) == 0) return Fd(fd);
  return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

int refuse_session(int socket, const Error& why) {
  spdlog::error("cannot start a session: {}", why.text);
  post_refusal(socket, abi::RefuseReason::kInternal,
               "the device could not start the session; its log says why");
  return kOutOfResources;
}

bool refuse_child(int socket, const StatsTable& table, const SessionStats& parent) {
  const std::string why = table.refusal(parent.uid);
  if (!why.empty()) post_refusal(socket, abi::RefuseReason::kFull, why);
  return !why.empty();
}

SessionStats* claim_child_row(StatsTable& table, const SessionStats& parent, uint64_t session_id) {
  SessionStats* row = table.claim(::getpid(), parent.uid);
  if (row == nullptr) return nullptr;
  row->client_pid = 0;
  row->session_id = session_id;
  row->instance = parent.instance.load();
  std::memcpy(row->name, parent.name, sizeof row->name);
  return row;
}

bool announce_child(int socket, const SessionMemory& child, int end) {
  Message message;
  message.type = MessageType::kChild;
  message.session_id = child.session_id();
  message.lane_count = child.lane_count();
  message.arena_bytes = child.arena_bytes();
  return post_message(socket, message, {end, child.object()});
}

}  // namespace mino
