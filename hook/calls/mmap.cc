// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/memory.h.
#include "hook/calls/mmap.h"

#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/catch/disarm.h"
#include "hook/catch/patch.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/export.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// A private mapping of a regular file on the device: a copy of what it holds now. What is mapped
// beyond the file's end faults, with SIGSEGV.
long map_copy(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  constexpr u64 kMapPrivate = 2, kMapAnonymous = 0x20, kPlacing = 0x10 | 0x40 | 0x100000;
  constexpr u64 kProtRead = 1, kProtWrite = 2;
  constexpr u32 kModeMask = 0170000, kRegular = 0100000;
  constexpr long kFstat = 5, kMunmap = 11, kMprotect = 10;
  u32 stat[36];
  const u64 about[6] = {f.r8, ptr(stat)};
  if (offload(ts, *abi::find_row(kFstat), about, -1, 0, kNoCancel) != 0 ||
      (stat[6] & kModeMask) != kRegular)
    return -ENODEV;
  u64 size;
  copy(&size, stat + 12, sizeof size);
  if (size == 0) return -ENODEV;  // as most files of /proc and /sys
  const abi::Row& pread = *abi::find_row(__NR_pread64);
  const u64 nothing[6] = {f.r8, f.rdi, 0, 0};
  if (offload(ts, pread, nothing, -1, 0, kNoCancel) < 0) return -EACCES;  // not open for reading
  const u64 bytes = (f.rsi + 4095) & ~4095ull;
  const u64 held = size > f.r9 ? min(bytes, size - f.r9) : 0;
  const long at = raw(row.nr, f.rdi, bytes, kProtRead | kProtWrite,
                      (f.r10 & kPlacing) | kMapPrivate | kMapAnonymous, ~0ull, 0);
  if (is_error(at)) return at;
  const u64 begin = static_cast<u64>(at);
  u64 done = 0;
  while (done < held) {
    const u64 args[6] = {f.r8, begin + done, held - done, f.r9 + done};
    const long got = offload(ts, pread, args, -1, 0, kNoCancel);
    if (got < 0) {
      raw(kMunmap, begin, bytes);
      return got;
    }
    if (got == 0) break;
    done += static_cast<u64>(got);
  }
  const u64 end = (done + 4095) & ~4095ull;
  if (end) raw(kMprotect, begin, end, f.rdx);
  if (end < bytes) raw(kMprotect, begin + end, bytes - end, 0);
  return at;
}

// A packet ring is memory that is shared with the device's kernel.
long map_offloaded(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  constexpr u64 kMapType = 0xf, kMapPrivate = 2;
  u64 bytes;
  const long file = fetch_mapping(ts, f.r8, bytes);
  if (file == -ENODEV && (f.r10 & kMapType) == kMapPrivate) return map_copy(ts, row);
  if (is_error(file)) return file == -ENETDOWN ? -ENODEV : file;
  long at = -EINVAL;
  if (bytes == 0 || (f.r9 == 0 && ((f.rsi + 4095) & ~4095ull) == bytes))
    at = raw(row.nr, f.rdi, f.rsi, f.rdx, f.r10, static_cast<u64>(file), f.r9);
  raw(__NR_close, static_cast<u64>(file));
  return at;
}

}  // namespace

long do_map(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  constexpr u64 kMapAnonymous = 0x20, kProtExec = 4;
  before_change_of_text(ts, row);
  if (f.r10 & kMapAnonymous) return kLocal;
  if (ts->process->offloaded(f.r8)) {
    constexpr u64 kMapType = 0xf;
    const u64 type = f.r10 & kMapType;
    const bool sane = f.rsi != 0 && (f.r9 & 4095) == 0 && type >= 1 && type <= 3;
    return sane ? map_offloaded(ts, row) : -EINVAL;
  }
  if (ts->process->flags(static_cast<u32>(f.r8)) & kPrivate) return -EBADF;
  if (!(f.rdx & kProtExec) || !settings.patch || settings.sud) return kLocal;
  const long at = raw(row.nr, f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9);
  if (!is_error(at)) patch_range(static_cast<u64>(at), static_cast<u64>(at) + f.rsi);
  return at;
}

}  // namespace mino::hook
