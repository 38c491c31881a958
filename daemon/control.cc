// SPDX-License-Identifier: Apache-2.0
#include "daemon/control.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "daemon/exchange.h"
#include "daemon/peer.h"

namespace mino {

using nlohmann::json;

namespace {

// Reads what has arrived. Returns 0 if files came with it, and leaves the message in the socket:
// taking it would close the files, and that may block (daemon/exchange.h).
ssize_t receive_text(int socket, char* to, size_t bytes) {
  iovec part{to, bytes};
  msghdr header{};
  header.msg_iov = &part;
  header.msg_iovlen = 1;
  const ssize_t n = ::recvmsg(socket, &header, MSG_PEEK | MSG_DONTWAIT);
  if (n <= 0) return n;
  if ((header.msg_flags & MSG_CTRUNC) != 0) return 0;
  return ::recv(socket, to, static_cast<size_t>(n), MSG_DONTWAIT);
}

}  // namespace

Control::Control(EventLoop& loop, Fd listener, Status& status, std::function<void()> down)
    : loop_(loop), listener_(std::move(listener)), status_(status), down_(std::move(down)) {
  loop_.add(listener_.get(), EPOLLIN, [this](uint32_t) { accept_all(); });
}

Control::~Control() {
  loop_.remove(listener_.get());
  while (!connections_.empty()) close(connections_.begin()->first);
}

void Control::accept_all() {
  while (true) {
    Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!socket.valid()) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EAGAIN) {
        spdlog::error("cannot accept on the control socket: {}", std::strerror(errno));
        loop_.change(listener_.get(), 0);
        loop_.after(std::chrono::milliseconds(200),
                    [this] { loop_.change(listener_.get(), EPOLLIN); });
      }
      return;
    }
    // The oldest connection makes room: many silent clients must not keep others out.
    if (connections_.size() >= kMaxConnections) close(connections_.begin()->first);
    const int fd = socket.get();
    const auto deadline = loop_.after(kPatience, [this, fd] { close(fd); });
    connections_[fd] = {std::move(socket), deadline, {}, {}};
    loop_.add(fd, EPOLLIN, [this, fd](uint32_t events) { serve(fd, events); });
  }
}

void Control::close(int fd) {
  const auto found = connections_.find(fd);
  if (found == connections_.end()) return;
  loop_.cancel(found->second.deadline);
  loop_.remove(fd);
  Exchange::close_connection(std::move(found->second.socket));
  connections_.erase(found);
}

void Control::serve(int fd, uint32_t events) {
  Connection& connection = connections_.at(fd);
  if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
    char chunk[1024];
    const ssize_t n = receive_text(fd, chunk, sizeof chunk);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return close(fd);
    if (n > 0) connection.in.append(chunk, static_cast<size_t>(n));
    if (connection.in.size() > kMaxRequest) return close(fd);
    size_t end;
    while ((end = connection.in.find('\n')) != std::string::npos &&
           connection.out.size() < kMaxRequest) {
      answer(connection, std::string_view(connection.in).substr(0, end));
      connection.in.erase(0, end + 1);
    }
  }
  if (!connection.out.empty()) {
    const ssize_t n =
        ::send(fd, connection.out.data(), connection.out.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) return close(fd);
    if (n > 0) connection.out.erase(0, static_cast<size_t>(n));
  }
  loop_.change(fd, connection.out.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT);
}

void Control::answer(Connection& connection, std::string_view line) {
  const json request = json::parse(line, nullptr, false);
  const std::string command = request.is_object() ? request.value("command", json("")).dump() : "";
  json reply;
  if (command == "\"status\"") {
    reply = status_.report();
  } else if (command == "\"place\"") {
    reply = {{"instance", status_.place()}};
  } else if (command == "\"down\"") {
    ucred peer{};
    socklen_t size = sizeof peer;
    const bool known =
        ::getsockopt(connection.socket.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
    if (known && (peer.uid == 0 || peer.uid == ::geteuid())) {
      spdlog::info("pid {} asked for the end of this device", peer.pid);
      reply = {{"ok", true}};
      down_();
    } else {
      reply = {{"error", "only root, or the user who started this device, may take it down"}};
    }
  } else {
    reply = {
        {"error",
         R"(unknown request; send {"command":"status"} or {"command":"down"} and a line break)"}};
  }
  connection.out += reply.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace mino
