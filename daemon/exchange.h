// SPDX-License-Identifier: Apache-2.0
//
// Open files on their way from one session to another (descriptors passed over a unix socket). A
// proxy leaves a file here and gets a number and a parcel (abi/parcel.h). Other proxies can fetch
// the file as long as any descriptor of the parcel is open. Nothing reports that the last of them
// is closed, so the exchange checks: when a client says that it has closed one, and from time to
// time. Used by daemon/admission. The files belong to clients: closing one must never block minod.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <unordered_map>

#include "base/error.h"
#include "base/fd.h"
#include "daemon/event_loop.h"

namespace mino {

class Exchange {
 public:
  static constexpr size_t kMaxFiles = 1024;
  static constexpr size_t kMaxFilesOfUser = 512;

  struct Export {
    uint64_t id;
    Fd parcel;
  };

  explicit Exchange(EventLoop& loop) : loop_(loop) {}
  ~Exchange();

  // Returns the number under which the file can be fetched. It is an error if too many files wait
  // already, of all users or of this one.
  // `for_holders`: it is the companion of an epoll set, which carries the number as its tag.
  Result<Export> put(Fd file, uid_t owner, bool for_holders = false);
  // The file, or an invalid Fd if there is no file of that number for this user, or no longer.
  Fd copy(uint64_t id, uid_t user) const;
  // A descriptor of the parcel has been closed. If it was the last one, the file is closed too.
  void settle(uint64_t id);

  // Closes a client's file. The last close of a socket with SO_LINGER may block for as long as its
  // owner chose, so a child does it by ending.
  static void close_safely(Fd file);
  // Closes a connection. Messages in it that nobody has read may carry such files.
  static void close_connection(Fd socket);

 private:
  static void close_elsewhere(Fd file);

  struct Waiting {
    Fd file;
    Fd parcel;  // another open file description than the one that travels
    uid_t owner;
    bool for_holders;
    EventLoop::Clock::time_point since;
    EventLoop::Timer timer;
  };

  static bool is_out(uint64_t id, const Waiting& waiting);
  void look_later(uint64_t id, Waiting& waiting);

  EventLoop& loop_;
  std::unordered_map<uint64_t, Waiting> files_;
};

}  // namespace mino
