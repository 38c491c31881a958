// SPDX-License-Identifier: Apache-2.0
//
// Marshalling by the table: turns a call's six registers into six that are good in this process,
// and carries what the kernel wrote back to the client. Used by the native engine's lane threads,
// one Marshal each. It is all that stands between a client's pointers and this process's memory.
// Hence:
//
//   - No client address ever reaches the kernel. Every pointer is NULL, or a buffer of ours, or an
//     address that faults (Scratch::nowhere), or one in the kernel's half of the address space.
//   - Structures that hold pointers or lengths are private copies, and what is decided from them
//     is read from those copies. Only plain data lies in the arena, where the client can change it.
//   - The kernel decides what fails and in which order: bad client memory becomes equally bad
//     memory here.
#pragma once

#include <cstdint>

#include "abi/shape.h"
#include "engine/native/pointers.h"
#include "engine/native/scratch.h"
#include "engine/split.h"

namespace mino {

class Marshal {
 public:
  explicit Marshal(Scratch& scratch);
  Marshal(const Marshal&) = delete;
  Marshal& operator=(const Marshal&) = delete;

  // Before the system call: `local` gets the registers to make it with. What they point to lives
  // until the next prepare().
  void prepare(const abi::Row& row, const uint64_t args[6], Split& split, uint64_t local[6]);

  // After the system call: copies out, exact to the byte. Returns the result for the client:
  // -EFAULT if its memory has become bad, else `result`. A restarted call is finished and prepared
  // anew.
  int64_t finish(int64_t result, Split& split);

 private:
  class Layout;

  // How much of a piece goes back to the client.
  enum class Give : uint8_t {
    kNothing,
    kAll,
    kResult,
    kUnits,
    kVector,
    kSockLen,
    kChanged,
    kIfconf,
    kName,
    kControl,
    kStructure,  // like kChanged, but never a pointer of the proxy
    kHeader,     // struct msghdr of recvmsg
    kHeaders,    // struct mmsghdr[]
  };

  struct Note {
    uint64_t client;  // address
    uint64_t len;
    uint8_t* local;  // where the kernel reads and writes
    uint8_t* saved;  // the client's bytes as they were, or nullptr
    uint32_t index;  // message number
    Give give;
    uint8_t arg;
    bool in_place;  // `local` is in the arena
  };
  static constexpr uint32_t kMaxNotes = Scratch::kTableBytes / sizeof(Note);

  template <class T>
  T header_field(uint32_t index, uint32_t at) const;
  uint64_t vector_bytes(const Note& note);
  uint64_t socklen_bytes(const Note& note) const;
  bool give_range(const Note& note, uint64_t from, uint64_t to, Split& split);
  bool give_changed(const Note& note, uint64_t from, uint64_t to, Split& split);
  bool give_structure(const Note& note, Split& split);
  bool give_control(const Note& note, Split& split);
  bool give_header(const Note& note, Split& split);
  bool give_headers(const Note& note, uint64_t count, Split& split);
  bool give(const Note& note, int64_t result, Split& split);

  Scratch& scratch_;
  // In scratch: they grow without clearing, and no call can reach their bound.
  Note* const notes_;
  uint32_t count_ = 0;
  const abi::Row* row_ = nullptr;
  const uint8_t* header_ = nullptr;  // the first struct msghdr or mmsghdr, as the kernel has it
  uint64_t header_bytes_ = 0;
  bool many_ = false;       // mmsghdr
  PointerFields fields_{};  // of the structure that is given back as kStructure
  uint64_t replaced_[3]{};  // what stands there for the kernel
  uint64_t left_ = 0;       // bytes of the current message that no buffer has been given yet
  uint32_t left_index_ = 0;
  uint64_t low_ = 0, high_ = 0;  // addresses of the vectors' output buffers so far
  bool overlap_ = false;
};

}  // namespace mino
