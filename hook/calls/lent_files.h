// SPDX-License-Identifier: Apache-2.0
//
// Files of the host that a call on the device needs at their number, for as long as that call
// takes: namespaces and eBPF programs that a netlink message names. The native engine, whose kernel
// is the host's, gets the file itself. Used by hook/calls/netlink.cc.
#pragma once

#include "hook/state/thread.h"

namespace mino::hook {

class Lending {
 public:
  explicit Lending(ThreadState* ts) : ts_(ts) {}
  ~Lending();
  Lending(const Lending&) = delete;
  Lending& operator=(const Lending&) = delete;

  // Lends the local file `number`, if there is one; in place of a file that cannot be lent, another
  // that is no namespace or program either: the file `other` of the device.
  void lend(u64 number, u64 other);

 private:
  bool give(u64 number);

  static constexpr u32 kMost = 8;

  ThreadState* const ts_;
  struct {
    u64 number, id;
    long parcel;
  } files_[kMost];
  u32 count_ = 0;
};

}  // namespace mino::hook
