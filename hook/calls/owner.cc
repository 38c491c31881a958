// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/owner.h.
#include "hook/calls/owner.h"

#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/calls/handler.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

constexpr int kOwnerThread = static_cast<int>(abi::Owner::kThread),
              kOwnerProcess = static_cast<int>(abi::Owner::kProcess),
              kOwnerGroup = static_cast<int>(abi::Owner::kGroup);

// The types in f_owner_ex are abi::Owner's values.

// F_SETOWN's argument: a process, or a group as a negative number.
f_owner_ex from_signed(int number) {
  return number < 0 ? f_owner_ex{kOwnerGroup, -number} : f_owner_ex{kOwnerProcess, number};
}

long ask(ThreadState* ts, abi::Op op, u64 a, u64 b) {
  ts->call_trips++;
  return offload_op(ts, op, a, b, -1, kNoCancel);
}

// 0 or the error. The owner is first set on the placeholder, so the host kernel says whether there
// is such a process.
long set(ThreadState* ts, u64 fd, const f_owner_ex& owner, u64 socket) {
  if (const long error = raw(__NR_fcntl, fd, F_SETOWN_EX, ptr(&owner)); is_error(error))
    return error;
  if (const long error = ready(ts)) return error;
  const u64 kind = static_cast<u64>(static_cast<u32>(owner.type)) << 32;
  const u64 client = static_cast<u64>(raw(__NR_getpid)) << 32;
  return ask(ts, abi::Op::kSetOwner, fd | kind | socket, static_cast<u32>(owner.pid) | client);
}

long get(ThreadState* ts, u64 fd, f_owner_ex& owner, u64 socket) {
  if (const long error = ready(ts)) return error;
  const long result = ask(ts, abi::Op::kGetOwner, fd | socket, 0);
  if (is_error(result)) return result;
  owner = {static_cast<int>(result >> 32), static_cast<int>(result)};
  return 0;
}

int to_signed(const f_owner_ex& owner) {
  return owner.type == kOwnerGroup ? -owner.pid : owner.pid;
}

constexpr int kNoNumber = -2147483647 - 1;  // has no positive counterpart: the kernel says EINVAL

}  // namespace

bool is_owner_fcntl(u64 command) {
  return command == F_SETOWN || command == F_GETOWN || command == F_SETOWN_EX ||
         command == F_GETOWN_EX;
}

bool is_owner_ioctl(u32 request) {
  return request >= FIOSETOWN && request <= SIOCGPGRP;
}

long owner_fcntl(ThreadState* ts, const abi::Row& row) {
  if (!settings.netns) return offload_frame(ts, row);
  const Frame& f = ts->frame;
  const u64 fd = static_cast<u32>(f.rdi);
  f_owner_ex owner{};
  long result = 0;
  switch (f.rsi) {
    case F_SETOWN:
      if (static_cast<int>(f.rdx) == kNoNumber) return -EINVAL;
      return set(ts, fd, from_signed(static_cast<int>(f.rdx)), 0);
    case F_SETOWN_EX:
      if (!user_read(f.rdx, &owner, sizeof owner)) return -EFAULT;
      if (owner.type < kOwnerThread || owner.type > kOwnerGroup) return -EINVAL;
      return set(ts, fd, owner, 0);
    case F_GETOWN:
      result = get(ts, fd, owner, 0);
      return is_error(result) ? result : to_signed(owner);
    default:
      result = get(ts, fd, owner, 0);
      if (is_error(result)) return result;
      return user_write(f.rdx, &owner, sizeof owner) ? 0 : -EFAULT;
  }
}

long owner_ioctl(ThreadState* ts, const abi::Row& row) {
  if (!settings.netns) return offload_frame(ts, row);
  const Frame& f = ts->frame;
  const u64 fd = static_cast<u32>(f.rdi);
  const u32 request = static_cast<u32>(f.rsi);
  f_owner_ex owner{};
  if (request == FIOGETOWN || request == SIOCGPGRP) {
    const long result = get(ts, fd, owner, abi::kOnlySocket);
    if (is_error(result)) return result;
    const int number = to_signed(owner);
    return user_write(f.rdx, &number, sizeof number) ? 0 : -EFAULT;
  }
  int number = 0;
  if (!user_read(f.rdx, &number, sizeof number)) return -EFAULT;
  if (number == kNoNumber) return -EINVAL;
  return set(ts, fd, from_signed(number), abi::kOnlySocket);
}

}  // namespace mino::hook
