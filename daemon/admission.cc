// SPDX-License-Identifier: Apache-2.0
#include "daemon/admission.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "abi/parcel.h"
#include "base/log.h"
#include "base/text.h"
#include "channel/descriptor_passing.h"
#include "channel/session_socket.h"

namespace mino {

namespace {

using abi::Message;
using abi::MessageType;
using abi::RefuseReason;

enum class Received { kMessage, kNothing, kBroken };

// One whole message and the descriptor that came with it; any further descriptors are closed.
Received receive(int socket, Message& message, Fd& file) {
  Datagram datagram = receive_datagram(socket, &message, sizeof message);
  for (size_t i = 0; i < datagram.file_count; i++) {
    Exchange::close_safely(std::move(file));
    file = std::move(datagram.files[i]);
  }
  if (datagram.bytes == -EAGAIN || datagram.bytes == -EINTR) return Received::kNothing;
  const bool whole = datagram.bytes == sizeof message && !datagram.cut;
  return whole && datagram.file_count <= 1 ? Received::kMessage : Received::kBroken;
}

// Whether the file is of the kernel's file system of namespaces. Without asking a server, which
// could be the client's own: fstat() and fstatfs() do.
bool is_namespace(const Fd& file) {
  struct statx own{}, about{};
  return ::statx(AT_FDCWD, "/proc/self/ns/net", 0, STATX_INO, &own) == 0 &&
         ::statx(file.get(), "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &about) == 0 &&
         own.stx_dev_major == about.stx_dev_major && own.stx_dev_minor == about.stx_dev_minor;
}

// What a client may give to its own proxy (hook/calls/lent_files.h): network namespaces, and eBPF
// programs and maps, which the kernel names so.
bool may_be_lent(const Fd& file) {
  if (!file.valid()) return false;
  if (is_namespace(file)) return ::ioctl(file.get(), NS_GET_NSTYPE) == CLONE_NEWNET;
  char name[64]{};
  const std::string link = "/proc/self/fd/" + std::to_string(file.get());
  return ::readlink(link.c_str(), name, sizeof name - 1) > 0 &&
         std::string_view(name).starts_with("anon_inode:bpf");
}

}  // namespace

Admission::Admission(EventLoop& loop, Fd listener, const Config& config, Proxies& proxies)
    : loop_(loop),
      listener_(std::move(listener)),
      config_(config),
      proxies_(proxies),
      exchange_(loop) {
  loop_.add(listener_.get(), EPOLLIN, [this](uint32_t) { accept_all(); });
}

Admission::~Admission() {
  loop_.remove(listener_.get());
  while (!waiting_.empty()) Exchange::close_connection(forget(waiting_.begin()->first));
}

void Admission::accept_all() {
  while (true) {
    Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EAGAIN) {
        // Out of descriptors or memory. The listener stays readable, so ignore it for a moment.
        spdlog::error("cannot accept a client: {}", std::strerror(errno));
        loop_.change(listener_.get(), 0);
        loop_.after(std::chrono::milliseconds(200),
                    [this] { loop_.change(listener_.get(), EPOLLIN); });
      }
      return;
    }
    if (waiting_.size() >= kMaxWaiting) {
      post_refusal(socket.get(), RefuseReason::kFull,
                   "too many clients are being admitted at once; try again");
      Exchange::close_connection(std::move(socket));
      continue;
    }
    const int fd = socket.get();
    const auto deadline = loop_.after(kPatience, [this, fd] {
      post_refusal(fd, RefuseReason::kBadRequest, "no request came within five seconds");
      Exchange::close_connection(forget(fd));
    });
    waiting_[fd] = {std::move(socket), deadline};
    loop_.add(fd, EPOLLIN, [this, fd](uint32_t) { read_first(fd); });
  }
}

Fd Admission::forget(int socket) {
  const auto found = waiting_.find(socket);
  loop_.cancel(found->second.deadline);
  loop_.remove(socket);
  Fd owned = std::move(found->second.socket);
  waiting_.erase(found);
  return owned;
}

void Admission::read_first(int fd) {
  Message message;
  Fd file;
  const Received received = receive(fd, message, file);
  if (received == Received::kNothing) return;
  Fd socket = forget(fd);
  if (received == Received::kMessage && message.magic == Message::kMessageMagic) {
    handle(socket, message, std::move(file));
  } else {
    Exchange::close_safely(std::move(file));
    post_refusal(socket.get(), RefuseReason::kBadRequest, "not a message of mino's");
  }
  if (socket.valid()) Exchange::close_connection(std::move(socket));
}

void Admission::handle(Fd& socket, const Message& message, Fd file) {
  const auto refuse_it = [&](RefuseReason reason, const std::string& text) {
    if (may_log_about_peers()) spdlog::info("refused a client: {}", text);
    Exchange::close_safely(std::move(file));
    post_refusal(socket.get(), reason, text);
  };
  if (message.version != abi::kVersion) {
    return refuse_it(RefuseReason::kVersion,
                     "version mismatch: the program's libminoc.so speaks version " +
                         std::to_string(message.version) + ", minod version " +
                         std::to_string(abi::kVersion) +
                         "; use both from one build, and restart the device");
  }
  auto peer = peer_of(socket.get());
  if (!peer) return refuse_it(RefuseReason::kCredentials, peer.error().text);
  switch (message.type) {
    case MessageType::kHello:
      Exchange::close_safely(std::move(file));
      return hello(socket, *peer, message);
    case MessageType::kExport: {
      if (!proxies_.is_proxy(peer->pid) && !may_be_lent(file))
        return refuse_it(RefuseReason::kCredentials, "only a proxy may export");
      if (!file.valid())
        return refuse_it(RefuseReason::kBadRequest, "export: no file came with the request");
      auto made = exchange_.put(std::move(file), peer->uid, message.turn == abi::kForHolders);
      if (!made) return refuse_it(RefuseReason::kFull, made.error().text);
      Message answer;
      answer.type = MessageType::kExchanged;
      answer.session_id = made->id;
      post_message(socket.get(), answer, {made->parcel.get()});
      return;
    }
    case MessageType::kImport: {
      Exchange::close_safely(std::move(file));
      if (!proxies_.is_proxy(peer->pid))
        return refuse_it(RefuseReason::kCredentials, "only a proxy may import");
      Fd found = exchange_.copy(message.session_id, peer->uid);
      if (!found.valid())
        return refuse_it(RefuseReason::kBadRequest, "import: no file of that number");
      Message answer;
      answer.type = MessageType::kExchanged;
      answer.session_id = message.session_id;
      post_message(socket.get(), answer, {found.get()});
      Exchange::close_safely(std::move(found));
      return;
    }
    case MessageType::kSettle: {
      Exchange::close_safely(std::move(file));
      if (!proxies_.is_proxy(peer->pid))
        return refuse_it(RefuseReason::kCredentials, "only a proxy may settle");
      exchange_.settle(message.session_id);
      Message answer;
      answer.type = MessageType::kExchanged;
      post_message(socket.get(), answer);
      return;
    }
    default:
      return refuse_it(RefuseReason::kBadRequest, "not a request that opens a session");
  }
}

void Admission::hello(Fd& socket, const Peer& peer, Message message) {
  // A name without a terminating NUL would be read beyond its end.
  message.text[sizeof message.text - 1] = '\0';
  const auto lanes = static_cast<uint32_t>(config_.lanes);
  message.lane_count = message.lane_count == 0 ? lanes : std::min(message.lane_count, lanes);
  const auto most = static_cast<uint32_t>(config_.arena_bytes);
  if (message.arena_bytes == 0) message.arena_bytes = std::min(abi::kDefaultArenaBytes, most);
  std::string mistake;
  if (message.arena_bytes < abi::kMinArenaBytes) {
    mistake = "an arena of " + std::to_string(message.arena_bytes) + " bytes is too small; " +
              std::to_string(abi::kMinArenaBytes) + " is the least";
  } else if (message.arena_bytes > most) {
    mistake = "an arena of " + std::to_string(message.arena_bytes) +
              " bytes is beyond this device's limit: limits.arena_bytes = " + std::to_string(most);
  }
  if (!mistake.empty()) {
    if (may_log_about_peers()) spdlog::info("refused pid {}: {}", peer.pid, mistake);
    return post_refusal(socket.get(), RefuseReason::kBadRequest, mistake);
  }
  constexpr uint32_t kPageMask = 4095;
  message.arena_bytes = (message.arena_bytes + kPageMask) & ~kPageMask;
  // The engine gets a blocking socket.
  ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) & ~O_NONBLOCK);
  proxies_.start(std::move(socket), peer, message);
}

}  // namespace mino
