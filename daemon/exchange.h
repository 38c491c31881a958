// SPDX-License-Identifier: Apache-2.0
//
// Open files on their way from one session to another (a descriptor passed over a unix socket, or
// kept across an exec that starts a new session): a proxy leaves a file here and gets a number, the
// other proxy fetches it once. Used by daemon/admission. The files are a client's: closing one must
// not be able to stop minod.
#pragma once

#include <cstdint>
#include <unordered_map>

#include "base/error.h"
#include "base/fd.h"
#include "daemon/event_loop.h"

namespace mino {

class Exchange {
 public:
  static constexpr size_t kMaxFiles = 1024;
  static constexpr std::chrono::seconds kPatience{60};

  explicit Exchange(EventLoop& loop) : loop_(loop) {}
  ~Exchange();

  // The number under which the file can be fetched; an error when too many wait already.
  Result<uint64_t> put(Fd file);
  // The file, once; invalid if there is none of that number (any more).
  Fd take(uint64_t id);
  // A copy of it; the file stays for the next who asks (a message received with MSG_PEEK).
  Fd copy(uint64_t id) const;

  // Closes a client's file. The last close of a socket with SO_LINGER may block for as long as its
  // owner chose, so a child that ends does that one.
  static void close_safely(Fd file);

 private:
  struct Waiting {
    Fd file;
    EventLoop::Timer timer;
  };

  EventLoop& loop_;
  std::unordered_map<uint64_t, Waiting> files_;
};

}  // namespace mino
