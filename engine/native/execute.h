// SPDX-License-Identifier: Apache-2.0
//
// Executes one forwarded system call on this kernel: finds its row, has the arguments marshalled,
// keeps the client's descriptor numbers, and tells what an interruption meant. Used by lane.cc.
// Results are the kernel's own: nothing here invents an error that Linux would not give.
#pragma once

#include <cstdint>

#include "abi/decode.h"
#include "abi/shape.h"
#include "engine/native/marshal.h"
#include "engine/split.h"

namespace mino {

struct Proxy;
class RunningCall;

class Executor {
 public:
  Executor(Proxy& proxy, RunningCall& running) : proxy_(proxy), running_(running) {}

  // The result as a kernel under the client would return it, restart codes included (abi/layout.h).
  int64_t execute(const abi::CheckedSubmission& submission, uint32_t turn, Split& split);

  // From here on a new thread serves, with the credentials that all new lanes have.
  void start_thread() { changed_credentials_ = false; }
  // Whether the thread's credentials differ from those with which new lanes start.
  bool changed_credentials() const { return changed_credentials_; }
  // The client is in another user namespace than the device; so are its later threads.
  int64_t drop_capabilities();

 private:
  int64_t generic(const abi::Row& row, const abi::CheckedSubmission& submission, uint32_t turn,
                  Split& split);
  int64_t make_file(const abi::Row& row, const abi::CheckedSubmission& submission, uint32_t turn,
                    Split& split);
  int64_t duplicate(const abi::Row& row, const abi::CheckedSubmission& submission);
  int64_t mirror(const abi::Row& row, const abi::CheckedSubmission& submission, Split& split);
  int64_t mirror(uint16_t nr, const uint64_t local[6]);
  int64_t set_capabilities(const abi::CheckedSubmission& submission, Split& split);
  int64_t close(int number, uint32_t turn);
  int64_t invoke(const abi::Row& row, const uint64_t local[6], uint32_t turn, bool makes_file);

  Proxy& proxy_;
  RunningCall& running_;
  Scratch scratch_;
  bool changed_credentials_ = false;
};

}  // namespace mino
