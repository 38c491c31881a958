// SPDX-License-Identifier: Apache-2.0
#include "daemon/dns_relay.h"

#include <arpa/inet.h>
#include <cap-ng.h>
#include <grp.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <map>

#include "base/log.h"
#include "base/text.h"
#include "daemon/confine.h"
#include "daemon/event_loop.h"
#include "daemon/namespaces.h"

namespace mino {

namespace {

// Per server, of which there are three at most: all of them fit into the usual 1024 descriptors.
constexpr size_t kMaxQueries = 200;  // UDP, under way
constexpr size_t kMaxStreams = 32;   // TCP connections
constexpr std::chrono::seconds kQueryPatience{5};
constexpr std::chrono::seconds kStreamPatience{10};  // without any byte
constexpr uid_t kNobody = 65534;

struct Server {
  sockaddr_storage address{};
  socklen_t size = 0;
  int family() const { return address.ss_family; }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&address); }

  static Server at(const std::string& text, uint16_t port, int type) {
    Server server;
    if (text.starts_with("/")) return beside(text, port, type);
    auto* v4 = reinterpret_cast<sockaddr_in*>(&server.address);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&server.address);
    if (::inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
      v4->sin_family = AF_INET;
      v4->sin_port = htons(port);
      server.size = sizeof *v4;
    } else if (::inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
      v6->sin6_family = AF_INET6;
      v6->sin6_port = htons(port);
      server.size = sizeof *v6;
    }
    return server;
  }

  static Server beside(const std::string& path, uint16_t port, int type) {
    const std::string name = path + "-" + std::to_string(port) + (type == SOCK_DGRAM ? "d" : "s");
    Server server;
    auto* local = reinterpret_cast<sockaddr_un*>(&server.address);
    if (name.size() >= sizeof local->sun_path) return server;
    local->sun_family = AF_UNIX;
    std::memcpy(local->sun_path, name.c_str(), name.size() + 1);
    server.size = sizeof *local;
    return server;
  }
};

// A datagram socket of unix's has no address of its own, for an answer, unless it asks for one.
bool connect_to(const Fd& socket, const Server& server, int type) {
  if (server.family() == AF_UNIX && type == SOCK_DGRAM) {
    const sockaddr own{AF_UNIX, {}};
    if (::bind(socket.get(), &own, sizeof own.sa_family) != 0) return false;
  }
  return ::connect(socket.get(), server.get(), server.size) == 0 || errno == EINPROGRESS;
}

// Queries over UDP: each has a socket of its own towards the host's server, so the source port is
// random and an answer needs no look into the packet to find who asked.
class Datagrams {
 public:
  Datagrams(EventLoop& loop, Fd socket, const Server& server)
      : loop_(loop), socket_(std::move(socket)), server_(server) {
    loop_.add(socket_.get(), EPOLLIN, [this](uint32_t) { ask(); });
  }

 private:
  struct Query {
    Fd upstream;
    sockaddr_storage client;
    socklen_t client_size;
    EventLoop::Timer deadline;
  };

  void ask() {
    std::array<char, 65536> packet;
    for (int i = 0; i < 64; i++) {  // then others have their turn
      Query query{};
      query.client_size = sizeof query.client;
      const ssize_t n = ::recvfrom(socket_.get(), packet.data(), packet.size(), MSG_DONTWAIT,
                                   reinterpret_cast<sockaddr*>(&query.client), &query.client_size);
      if (n < 0) return;
      if (queries_.size() >= kMaxQueries)
        continue;  // lost, as datagrams are: the resolver asks again
      query.upstream = Fd(::socket(server_.family(), SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (!query.upstream.valid() || !connect_to(query.upstream, server_, SOCK_DGRAM) ||
          ::send(query.upstream.get(), packet.data(), static_cast<size_t>(n), MSG_DONTWAIT) < 0) {
        continue;
      }
      const int fd = query.upstream.get();
      query.deadline = loop_.after(kQueryPatience, [this, fd] { forget(fd); });
      queries_[fd] = std::move(query);
      loop_.add(fd, EPOLLIN, [this, fd](uint32_t) { answer(fd); });
    }
  }

  void answer(int fd) {
    std::array<char, 65536> packet;
    const Query& query = queries_.at(fd);
    const ssize_t n = ::recv(fd, packet.data(), packet.size(), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n >= 0) {
      ::sendto(socket_.get(), packet.data(), static_cast<size_t>(n), MSG_DONTWAIT | MSG_NOSIGNAL,
               reinterpret_cast<const sockaddr*>(&query.client), query.client_size);
    }
    forget(fd);  // also when the host refused: nobody serves there
  }

  void forget(int fd) {
    const auto found = queries_.find(fd);
    loop_.cancel(found->second.deadline);
    loop_.remove(fd);
    queries_.erase(found);
  }

  EventLoop& loop_;
  Fd socket_;
  const Server server_;
  std::map<int, Query> queries_;
};

// Connections over TCP: two sockets, and what was read from one and not yet written to the other.
class Streams {
 public:
  Streams(EventLoop& loop, Fd listener, const Server& server)
      : loop_(loop), listener_(std::move(listener)), server_(server) {
    loop_.add(listener_.get(), EPOLLIN, [this](uint32_t) { accept_one(); });
  }

 private:
  struct Side {
    Fd socket;
    std::array<char, 16384> buffer;  // read here, to be written to the other side
    size_t begin = 0, end = 0;
    bool ended = false;       // no more will be read here
    bool passed_end = false;  // and the other side was told
  };
  struct Stream {
    std::array<Side, 2> sides;  // client, host
    EventLoop::Timer deadline;
  };

  void accept_one() {
    Fd client(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!client.valid() || streams_.size() >= kMaxStreams) return;
    Fd host(::socket(server_.family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!host.valid()) return;
    if (!connect_to(host, server_, SOCK_STREAM)) return;
    const uint64_t id = next_++;
    auto stream = std::make_unique<Stream>();
    stream->sides[0].socket = std::move(client);
    stream->sides[1].socket = std::move(host);
    for (Side& side : stream->sides) {
      loop_.add(side.socket.get(), EPOLLIN | EPOLLOUT, [this, id](uint32_t) { pump(id); });
    }
    stream->deadline = loop_.after(kStreamPatience, [this, id] { forget(id); });
    streams_[id] = std::move(stream);
  }

  // Moves what can be moved now. False when the connection is broken. `moved` says whether anything
  // was moved.
  bool move(Side& from, Side& to, bool& moved) {
    while (true) {
      if (from.begin == from.end && !from.ended) {
        const ssize_t n =
            ::recv(from.socket.get(), from.buffer.data(), from.buffer.size(), MSG_DONTWAIT);
        if (n < 0) return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
        moved = true;
        from.begin = 0;
        from.end = static_cast<size_t>(n);
        from.ended = n == 0;
      }
      if (from.begin == from.end) {
        if (!from.passed_end) ::shutdown(to.socket.get(), SHUT_WR);
        from.passed_end = true;
        return true;
      }
      const ssize_t n = ::send(to.socket.get(), from.buffer.data() + from.begin,
                               from.end - from.begin, MSG_DONTWAIT | MSG_NOSIGNAL);
      // Not connected yet: the loop wakes us when the connection succeeds or fails.
      if (n < 0) return errno == EAGAIN || errno == EINTR || errno == ENOTCONN;
      moved = true;
      from.begin += static_cast<size_t>(n);
    }
  }

  void pump(uint64_t id) {
    Stream& stream = *streams_.at(id);
    auto& [client, host] = stream.sides;
    int failure = 0;
    socklen_t size = sizeof failure;
    ::getsockopt(host.socket.get(), SOL_SOCKET, SO_ERROR, &failure, &size);
    bool moved = false;
    const bool whole = failure == 0 && move(client, host, moved) && move(host, client, moved);
    if (!whole || (client.passed_end && host.passed_end)) return forget(id);
    if (moved) {
      loop_.cancel(stream.deadline);
      stream.deadline = loop_.after(kStreamPatience, [this, id] { forget(id); });
    }
    watch(client, host);
    watch(host, client);
  }

  // Watches a side for what would help: for reading if its buffer is empty, for writing if the
  // buffer of the other side is not.
  void watch(Side& side, const Side& other) {
    uint32_t events = 0;
    if (side.begin == side.end && !side.ended) events |= EPOLLIN;
    if (other.begin != other.end) events |= EPOLLOUT;
    loop_.change(side.socket.get(), events);
  }

  void forget(uint64_t id) {
    const auto found = streams_.find(id);
    if (found == streams_.end()) return;
    loop_.cancel(found->second->deadline);
    for (Side& side : found->second->sides) loop_.remove(side.socket.get());
    streams_.erase(found);
  }

  EventLoop& loop_;
  Fd listener_;
  const Server server_;
  std::map<uint64_t, std::unique_ptr<Stream>> streams_;
  uint64_t next_ = 1;
};

Fd bound(const Server& server, int type) {
  Fd socket(::socket(server.family(), type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  // An offloaded name server may take the address over.
  const int on = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const bool is_local = server.family() == AF_UNIX;
  const char* path = reinterpret_cast<const sockaddr_un*>(server.get())->sun_path;
  if (is_local) ::unlink(path);
  if (!socket.valid() || ::bind(socket.get(), server.get(), server.size) != 0) return {};
  if (is_local) ::chmod(path, 0666);  // the other relay has no privileges either
  if (type == SOCK_STREAM && ::listen(socket.get(), 16) != 0) return {};
  return socket;
}

void drop_everything(std::vector<int> keep, pid_t minod) {
  close_others(std::move(keep));
  ::prctl(PR_SET_NAME, "mino-dns");
  capng_clear(CAPNG_SELECT_BOTH);
  capng_apply(CAPNG_SELECT_BOUNDS);
  const bool dropped =
      ::setgroups(0, nullptr) == 0 && ::setresgid(kNobody, kNobody, kNobody) == 0 &&
      ::setresuid(kNobody, kNobody, kNobody) == 0 && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0;
  if (!dropped) {
    spdlog::error("the DNS relay cannot drop its privileges: {}", std::strerror(errno));
    ::_exit(1);
  }
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != minod) ::_exit(0);
}

}  // namespace

std::string RelayPair::text() const {
  return listen + "#" + std::to_string(listen_port) + "=" + server + "#" +
         std::to_string(server_port);
}

std::optional<RelayPair> RelayPair::parse(std::string_view text) {
  RelayPair pair;
  const auto end = [](std::string_view words, std::string& address, uint16_t& port) {
    const size_t at = words.rfind('#');
    if (at == std::string_view::npos) return false;
    const auto number = parse_integer(words.substr(at + 1), 1, 65535);
    address = words.substr(0, at);
    port = static_cast<uint16_t>(number.value_or(0));
    return number && Server::at(address, port, SOCK_DGRAM).size != 0;
  };
  const size_t middle = text.find('=');
  if (middle == std::string_view::npos) return std::nullopt;
  if (!end(text.substr(0, middle), pair.listen, pair.listen_port) ||
      !end(text.substr(middle + 1), pair.server, pair.server_port)) {
    return std::nullopt;
  }
  return pair;
}

void run_dns_relay(const std::vector<RelayPair>& wanted, int netns) {
  const pid_t minod = ::getppid();
  for (int number = 1; number < NSIG; number++) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);

  struct Pair {
    const RelayPair& wanted;
    Fd datagrams, streams;
  };
  std::vector<Pair> pairs;
  std::vector<int> keep;
  const auto listen = [&]() -> Result<void> {
    for (const RelayPair& pair : wanted) {
      const auto bind_as = [&pair](int type) {
        return bound(Server::at(pair.listen, pair.listen_port, type), type);
      };
      Fd datagrams = bind_as(SOCK_DGRAM), streams = bind_as(SOCK_STREAM);
      if (!datagrams.valid() || !streams.valid()) {
        spdlog::warn("names: cannot listen on {} port {}: {}", pair.listen, pair.listen_port,
                     std::strerror(errno));
        continue;
      }
      keep.push_back(datagrams.get());
      keep.push_back(streams.get());
      pairs.push_back({pair, std::move(datagrams), std::move(streams)});
    }
    return {};
  };
  (void)(netns < 0 ? listen() : in_network(netns, listen));
  drop_everything(keep, minod);
  EventLoop loop;
  std::vector<std::unique_ptr<Datagrams>> all_datagrams;
  std::vector<std::unique_ptr<Streams>> all_streams;
  for (Pair& pair : pairs) {
    const auto server = [&pair](int type) {
      return Server::at(pair.wanted.server, pair.wanted.server_port, type);
    };
    all_datagrams.push_back(
        std::make_unique<Datagrams>(loop, std::move(pair.datagrams), server(SOCK_DGRAM)));
    all_streams.push_back(
        std::make_unique<Streams>(loop, std::move(pair.streams), server(SOCK_STREAM)));
  }
  loop.run();
  ::_exit(0);
}

}  // namespace mino
