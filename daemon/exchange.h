// SPDX-License-Identifier: Apache-2.0
//
// Open files on their way from one session to another (descriptors passed over a unix socket): a
// proxy leaves a file here and gets a number and a parcel (abi/parcel.h), and other proxies fetch
// it as long as a descriptor of the parcel is open anywhere. Nobody tells when the last of them is
// closed, so that is looked for: when a client says that it has closed one, and from time to time.
// Used by daemon/admission. The files are a client's: closing one must not be able to stop minod.
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

  // The number under which the file can be fetched; an error when too many wait already, of all or
  // of this user's.
  Result<Export> put(Fd file, uid_t owner);
  // The file; invalid if there is none of that number (any more).
  Fd copy(uint64_t id) const;
  // A descriptor of the parcel has been closed: if it was the last, so is the file.
  void settle(uint64_t id);

  // Closes a client's file. The last close of a socket with SO_LINGER may block for as long as its
  // owner chose, so a child that ends does that one.
  static void close_safely(Fd file);
  // Ends a connection. Messages that nobody has read may have such files with them.
  static void close_connection(Fd socket);

 private:
  static void close_elsewhere(Fd file);

  struct Waiting {
    Fd file;
    Fd parcel;  // another description of it than the one that travels
    uid_t owner;
    EventLoop::Clock::time_point since;
    EventLoop::Timer timer;
  };

  void look_later(uint64_t id, Waiting& waiting);

  EventLoop& loop_;
  std::unordered_map<uint64_t, Waiting> files_;
};

}  // namespace mino
