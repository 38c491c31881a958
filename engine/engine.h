// SPDX-License-Identifier: Apache-2.0
//
// What minod knows of an engine: a name, and how to serve one session. Used by daemon/; implemented
// in engine/native/ and engine/linux/. An engine never talks to minod's clients before minod has
// admitted them.
#pragma once

#include <cstdint>
#include <memory>

#include "base/fd.h"
#include "channel/session_stats.h"

namespace mino {

struct SessionStart {
  Fd socket;                // connected AF_UNIX SOCK_SEQPACKET; Hello was read and checked by minod
  Fd minod;                 // pidfd of minod: when it becomes readable, the session ends
  uint64_t session_id = 0;  // random, never 0
  uint32_t lane_count = 0;  // checked against abi/limits.h
  uint32_t arena_bytes = 0;           // likewise, a multiple of the page size
  int client_pid = 0;                 // as the kernel reported it (SO_PEERCRED)
  uint64_t client_capabilities = 0;   // those effective ones that it may use here
  Fd instance;                        // linux engine: the instance socket (abi/usrcall.h)
  SessionStats* stats = nullptr;      // this session's row
  StatsTable* stats_table = nullptr;  // where a forked session claims a row of its own
  const char* socket_path = nullptr;  // minod's socket, for Export and Import
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual const char* name() const = 0;  // "native", "linux"

  // Serves one session until its client is gone; returns the exit status of the process. Called in
  // a process of its own, forked for this session. The process has one thread, the device's
  // namespaces and the client's credentials. Sends Welcome or Refuse itself.
  virtual int serve(SessionStart start) = 0;
};

std::unique_ptr<Engine> make_native_engine();
std::unique_ptr<Engine> make_linux_engine();

}  // namespace mino
