// SPDX-License-Identifier: Apache-2.0
//
// Proxies: the processes that serve sessions. Starts one for an admitted client, with the client's
// credentials. Keeps account of all proxies, including those made when a client forks (they are
// children of minod too). Used by daemon/admission, daemon/status and main(). It must run no engine
// code in minod itself.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "abi/message.h"
#include "base/fd.h"
#include "channel/session_stats.h"
#include "daemon/peer.h"
#include "engine/engine.h"

namespace mino {

// Sums over sessions.
struct Counters {
  uint64_t calls = 0, round_trips = 0, upcalls = 0, bytes_in = 0, bytes_out = 0;
  void add(const SessionStats& row);
};

class Proxies {
 public:
  // At most `limit` sessions at a time, and at most so many of one user. The namespaces and the
  // engine outlive this object.
  Proxies(Engine& engine, int netns, int mount_ns, const std::string& socket_path, int64_t limit,
          int64_t limit_per_user);
  // For the linux engine: the sockets of its kernel instances, or -1 while an instance is not
  // there.
  void set_instance(size_t index, int socket) {
    if (instances_.size() <= index) instances_.resize(index + 1, -1);
    instances_[index] = socket;
  }
  ~Proxies();
  Proxies(const Proxies&) = delete;
  Proxies& operator=(const Proxies&) = delete;

  // Forks a proxy that serves `socket`, or refuses the client.
  void start(Fd socket, const Peer& peer, const abi::Message& hello);

  // Called after SIGCHLD: reaps what has ended. `other` is asked first whether a process is its
  // own.
  void reap(const std::function<bool(pid_t pid, int status)>& other);
  // Ends them all and waits until they are gone.
  void stop();

  bool is_proxy(pid_t pid) const;
  std::vector<const SessionStats*> rows() const;  // of the live sessions
  Counters counters() const;                      // live and ended
  int table_file() const { return table_file_.get(); }

 private:
  [[noreturn]] void serve(Fd socket, const Peer& peer, const abi::Message& hello, size_t instance);
  void account(pid_t pid, int status);

  Engine& engine_;
  const int netns_, mount_ns_;
  const std::string socket_path_;
  Fd own_pidfd_;
  Fd table_file_;
  StatsTable* table_;
  std::vector<int> instances_;
  Counters ended_;
};

}  // namespace mino
