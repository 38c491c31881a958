// SPDX-License-Identifier: Apache-2.0
#include "engine/native/operations.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "abi/parcel.h"
#include "channel/session_control.h"
#include "channel/session_socket.h"
#include "engine/native/proxy.h"
#include "engine/native/undisturbed.h"

namespace mino {

namespace {

constexpr timeval kPatience{5, 0};  // for the answer of minod

// Asks minod something on a connection of its own. False if there is no proper answer.
bool ask_minod(const std::string& path, const abi::Message& question, int file, Incoming& answer) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return false;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &kPatience, sizeof kPatience);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    return false;
  if (file >= 0 ? !post_message(socket.get(), question, {file})
                : !post_message(socket.get(), question)) {
    return false;
  }
  char byte;  // only waits; the message itself is received without blocking
  if (::recv(socket.get(), &byte, 1, MSG_PEEK) <= 0) return false;
  return receive_message(socket.get(), answer) == Arrival::kMessage &&
         answer.message.type == abi::MessageType::kExchanged;
}

}  // namespace

int64_t list_files(Proxy& proxy, uint64_t addr, uint64_t bytes, Split& split) {
  const int size = proxy.files.size();
  std::string bitmap(static_cast<size_t>(size) / 8, '\0');
  size_t matter = 0;
  for (int fd = 0; fd < size; fd++) {
    if (!proxy.files.installed(fd)) continue;
    const auto at = static_cast<size_t>(fd) / 8;
    bitmap[at] = static_cast<char>(bitmap[at] | 1 << fd % 8);
    matter = at + 1;
  }
  if (matter > bytes) matter = bytes;
  if (split.copy_out(addr, bitmap.data(), matter) != matter) return -EFAULT;
  return static_cast<int64_t>(matter);
}

int64_t export_file(Proxy& proxy, int number, int socket, uint64_t flags) {
  if (!proxy.files.installed(number)) return -EBADF;
  abi::Message question;
  question.type = abi::MessageType::kExport;
  question.turn = static_cast<uint32_t>(flags & abi::kForHolders);
  Undisturbed undisturbed;
  proxy.files.enter();
  Incoming answer;
  int64_t result = -ENFILE;
  if (ask_minod(proxy.socket_path, question, number, answer) && answer.file_count == 1) {
    const Fd to(proxy.pull(socket));
    const uint64_t id = answer.message.session_id;
    if (to.valid() && post_parcel(to.get(), std::move(answer.files[0]), id))
      result = static_cast<int64_t>(id);
  } else if (answer.message.type == abi::MessageType::kRefuse &&
             answer.message.reason == abi::RefuseReason::kFull) {
    result = -ETOOMANYREFS;
  }
  for (Fd& file : answer.files) file.reset();
  proxy.files.leave();
  return result;
}

void give_file(Proxy& proxy, int number, int socket) {
  const int64_t result = export_file(proxy, number, socket);
  if (result >= 0) return;
  proxy.files.enter();
  if (const Fd to(proxy.pull(socket)); to.valid()) refuse_parcel(to.get(), result);
  proxy.files.leave();
}

int64_t settle_file(Proxy& proxy, uint64_t id) {
  abi::Message question;
  question.type = abi::MessageType::kSettle;
  question.session_id = id;
  Undisturbed undisturbed;
  proxy.files.enter();
  Incoming answer;
  const bool good = ask_minod(proxy.socket_path, question, -1, answer);
  for (Fd& file : answer.files) file.reset();
  proxy.files.leave();
  return good ? 0 : -ENFILE;
}

int64_t import_file(Proxy& proxy, uint64_t id, int install_at) {
  if (install_at < 0) return -EINVAL;
  if (const int64_t room = proxy.files.reserve(install_at); room < 0) return room;
  abi::Message question;
  question.type = abi::MessageType::kImport;
  question.session_id = id;
  Undisturbed undisturbed;
  proxy.files.enter();
  Incoming answer;
  int64_t result = -EBADF;
  if (ask_minod(proxy.socket_path, question, -1, answer) && answer.file_count == 1) {
    result = proxy.files.install(answer.files[0].release(), install_at);
    if (result == 0) result = install_at;
  }
  for (Fd& file : answer.files) file.reset();
  proxy.files.leave();
  return result;
}

int64_t make_pipe(Proxy& proxy, uint64_t read_end, uint64_t write_end) {
  const uint64_t numbers[2] = {read_end, write_end};
  for (const uint64_t number : numbers) {
    if (number >= abi::kMaxFd) return -EINVAL;
    if (const int64_t room = proxy.files.reserve(static_cast<int>(number)); room < 0) return room;
  }
  if (read_end == write_end) return -EINVAL;
  proxy.files.enter();
  int ends[2];
  int64_t result = ::pipe2(ends, O_CLOEXEC) == 0 ? 0 : -errno;
  for (int i = 0; i < 2 && result == 0; i++) {
    result = proxy.files.install(ends[i], static_cast<int>(numbers[i]));
    if (result < 0 && i == 0) proxy.files.drop(ends[1]);
  }
  proxy.files.leave();
  return result < 0 ? result : 0;
}

// Packet rings are mapped from the socket itself. Nothing else that could be mapped is handed out.
int64_t map_file(Proxy& proxy, int number) {
  if (!proxy.files.installed(number)) return -EBADF;
  Undisturbed undisturbed;
  proxy.files.enter();
  int64_t result = -ENODEV;
  int family = 0;
  socklen_t size = sizeof family;
  if (::getsockopt(number, SOL_SOCKET, SO_DOMAIN, &family, &size) == 0 && family == AF_PACKET) {
    const Fd control(proxy.pull(proxy.control.socket));
    result = control.valid() && post_mapped(control.get(), number, 0) ? 0 : -ENFILE;
  }
  proxy.files.leave();
  return result;
}

// Other proxies cannot be inspected, so this one knows its own client only.
int64_t stand_in(const Proxy& proxy, uint64_t client_pid, uint64_t how) {
  const auto client =
      static_cast<uint64_t>(proxy.stats->client_pid.load(std::memory_order_relaxed));
  if (client_pid == 0 || client_pid != client) return -ESRCH;
  return how == abi::kAsSender ? ::getpid() : ::gettid();
}

}  // namespace mino
