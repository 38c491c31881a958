// SPDX-License-Identifier: Apache-2.0
//
// The part on the host of a session of the linux engine: a process that owns session memory, the
// client's socket and the robust list through which clients learn that the kernel has died.
// Everything else happens in the kernel instance (kernel/usrcall.c), to which this process talks on
// a socket of its own. Used by linux_engine.cc. Never executes a system call of a client.
#pragma once

#include <sys/types.h>

#include <deque>
#include <string>

#include "abi/usrcall.h"
#include "channel/robust_list.h"
#include "channel/session_control.h"
#include "channel/session_memory.h"
#include "engine/engine.h"

namespace mino {

// What is left of SessionStart when the descriptors have found their owners.
struct LinuxHeritage {
  SessionStats* stats = nullptr;
  StatsTable* stats_table = nullptr;
};

class LinuxSession final : public SessionControl {
 public:
  // `kernel` is this process's end of the session socket of abi/usrcall.h.
  LinuxSession(const LinuxHeritage& heritage, SessionMemory& memory, Fd socket, Fd minod, Fd client,
               Fd kernel);
  ~LinuxSession() override;

  // Waits for STARTED: 0 or -errno of the kernel instance.
  int await_start();

  // Call this after run(). Returns when the kernel instance has closed everything that the session
  // had.
  void finish();

  static usrcall_command new_session(const SessionMemory& memory, const LinuxHeritage& heritage);

 private:
  bool attach(uint32_t lane) override;
  bool bell(uint32_t lane, Fd file) override;
  bool cancel(uint32_t lane, uint32_t turn) override;
  bool begin_reattach() override;
  bool share() override;
  bool clear(uint32_t number) override;
  bool give(uint32_t number, Fd asker) override;
  int ready(int fd) override;
  int after_events(bool any) override;

  bool make_robust_list();
  RobustEntry* robust_entry(uint32_t lane) const;
  bool tell(uint32_t type, uint32_t lane, int file = -1);
  int fork_session(uint32_t lane);
  void given(const usrcall_command& command, Fd parcel);

  LinuxHeritage heritage_;
  SessionMemory& memory_;
  Fd kernel_;
  struct Asker {
    uint32_t question;
    Fd socket;
  };
  std::deque<Asker> askers_;
  uint32_t questions_ = 0;

  // One entry per lane that is attached, in a private range that is laid out as session memory is,
  // so that one futex_offset serves all of them (Documentation/locking/robust-futexes).
  RobustHead robust_{};
  void* robust_entries_ = nullptr;
  uint64_t robust_bytes_ = 0;
};

// Sends one message of fixed size with descriptors. False if it could not be queued at once.
bool send_command(int socket, const usrcall_command& command, int first = -1, int second = -1);

}  // namespace mino
