// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/mmap.h.
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

// A private mapping of a regular file on the device: a copy of its present contents. Pages beyond
// the end of the file fault with SIGSEGV.
long map_copy(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  constexpr u64 kPlacing = MAP_FIXED | MAP_32BIT | MAP_FIXED_NOREPLACE;
  struct stat info;
  const u64 about[6] = {f.r8, ptr(&info)};
  if (offload(ts, *abi::find_row(__NR_fstat), about, -1, 0, kNoCancel) != 0 ||
      (info.st_mode & S_IFMT) != S_IFREG)
    return -ENODEV;
  const u64 size = static_cast<u64>(info.st_size);
  if (size == 0) return -ENODEV;  // like most files in /proc and /sys
  const abi::Row& pread = *abi::find_row(__NR_pread64);
  const u64 nothing[6] = {f.r8, f.rdi, 0, 0};
  if (offload(ts, pread, nothing, -1, 0, kNoCancel) < 0) return -EACCES;  // not open for reading
  const u64 bytes = (f.rsi + 4095) & ~4095ull;
  const u64 held = size > f.r9 ? min(bytes, size - f.r9) : 0;
  const long at = raw(row.nr, f.rdi, bytes, PROT_READ | PROT_WRITE,
                      (f.r10 & kPlacing) | MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0);
  if (is_error(at)) return at;
  const u64 begin = static_cast<u64>(at);
  u64 done = 0;
  while (done < held) {
    const u64 args[6] = {f.r8, begin + done, held - done, f.r9 + done};
    const long got = offload(ts, pread, args, -1, 0, kNoCancel);
    if (got < 0) {
      raw(__NR_munmap, begin, bytes);
      return got;
    }
    if (got == 0) break;
    done += static_cast<u64>(got);
  }
  const u64 end = (done + 4095) & ~4095ull;
  if (end) raw(__NR_mprotect, begin, end, f.rdx);
  if (end < bytes) raw(__NR_mprotect, begin + end, bytes - end, PROT_NONE);
  return at;
}

// Maps a packet ring, whose memory is shared with the kernel of the device, or else a copy of a
// file.
long map_offloaded(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  u64 bytes;
  const long file = fetch_mapping(ts, f.r8, bytes);
  if (file == -ENODEV && (f.r10 & MAP_TYPE) == MAP_PRIVATE) return map_copy(ts, row);
  if (is_error(file)) return file == -ENETDOWN ? -ENODEV : file;
  long at = -EINVAL;
  if (bytes == 0 || (f.r9 == 0 && ((f.rsi + 4095) & ~4095ull) == bytes))
    at = raw(row.nr, f.rdi, f.rsi, f.rdx, f.r10, static_cast<u64>(file), f.r9);
  raw(__NR_close, static_cast<u64>(file));
  return at;
}

}  // namespace

long do_mmap(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  before_change_of_text(ts, row);
  if (f.r10 & MAP_ANONYMOUS) return kLocal;
  if (ts->process->offloaded(f.r8)) {
    const u64 type = f.r10 & MAP_TYPE;
    const bool sane =
        f.rsi != 0 && (f.r9 & 4095) == 0 && type >= MAP_SHARED && type <= MAP_SHARED_VALIDATE;
    return sane ? map_offloaded(ts, row) : -EINVAL;
  }
  if (ts->process->flags(static_cast<u32>(f.r8)) & kPrivate) return -EBADF;
  if (!(f.rdx & PROT_EXEC) || !settings.patch || settings.sud) return kLocal;
  const long at = raw(row.nr, f.rdi, f.rsi, f.rdx, f.r10, f.r8, f.r9);
  if (!is_error(at)) patch_range(static_cast<u64>(at), static_cast<u64>(at) + f.rsi);
  return at;
}

}  // namespace mino::hook
