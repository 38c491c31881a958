// SPDX-License-Identifier: Apache-2.0
#include "daemon/peer.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <charconv>
#include <cstring>

#include "base/text.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77  // Linux 6.5
#endif

namespace mino {

namespace {

Fd peer_pidfd(int socket, pid_t pid) {
  int fd = -1;
  socklen_t size = sizeof fd;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERPIDFD, &fd, &size) == 0) return Fd(fd);
  return Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
}

uint64_t status_mask(const std::string& status, std::string_view field) {
  const size_t at = status.find("\n" + std::string(field) + ":");
  if (at == std::string::npos) return 0;
  std::string_view rest = std::string_view(status).substr(at + field.size() + 2);
  rest = trim(rest.substr(0, rest.find('\n')));
  uint64_t mask = 0;
  std::from_chars(rest.data(), rest.data() + rest.size(), mask, 16);
  return mask;
}

bool in_same_user_namespace(pid_t pid) {
  struct stat own, other;
  return ::stat("/proc/self/ns/user", &own) == 0 &&
         ::stat(("/proc/" + std::to_string(pid) + "/ns/user").c_str(), &other) == 0 &&
         own.st_dev == other.st_dev && own.st_ino == other.st_ino;
}

// What a client may do on the device with its capabilities. After it has connected, the peer may
// exec a set-uid program, or one with file capabilities, and the capabilities of that program are
// not the peer's. Root has them anyway. Such an exec clears ambient capabilities, so other peers
// are believed to have only those.
uint64_t capabilities_of(int socket, const Peer& peer) {
  const Fd handle = peer_pidfd(socket, peer.pid);
  if (!handle.valid() || !in_same_user_namespace(peer.pid)) return 0;
  const auto status = read_file("/proc/" + std::to_string(peer.pid) + "/status");
  pollfd alive{handle.get(), POLLIN, 0};
  // It is still alive after the reading, so this process is the one that was read about.
  if (!status || ::poll(&alive, 1, 0) != 0) return 0;
  const uint64_t effective = status_mask(*status, "CapEff");
  return peer.uid == 0 ? effective : effective & status_mask(*status, "CapAmb");
}

}  // namespace

Result<Peer> peer_of(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  if (::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0) {
    return errno_error("SO_PEERCRED");
  }
  Peer peer;
  peer.pid = credentials.pid;
  peer.uid = credentials.uid;
  peer.gid = credentials.gid;
  peer.groups.resize(32);
  while (true) {
    size = static_cast<socklen_t>(peer.groups.size() * sizeof(gid_t));
    if (::getsockopt(socket, SOL_SOCKET, SO_PEERGROUPS, peer.groups.data(), &size) == 0) break;
    if (errno != ERANGE) return errno_error("SO_PEERGROUPS");
    peer.groups.resize(size / sizeof(gid_t));
  }
  peer.groups.resize(size / sizeof(gid_t));
  if (peer.pid > 0) peer.capabilities = capabilities_of(socket, peer);
  return peer;
}

Result<Fd> listen_at(const std::string& path, int type, mode_t mode) {
  Fd socket(::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return errno_error("socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return error(path + ": too long for a socket");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  ::unlink(path.c_str());
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), mode) != 0 || ::listen(socket.get(), 256) != 0) {
    return errno_error("cannot listen at " + path);
  }
  return socket;
}

}  // namespace mino
