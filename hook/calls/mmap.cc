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
#include "hook/state/filters.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// A private mapping of a regular file on the device: a copy of its present contents. Pages beyond
// the end of the file fault with SIGSEGV.
long map_copy(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  if (ts->filters && !filters_allow_own(ts, __NR_mprotect)) return -ENODEV;
  constexpr u64 kPlacing = MAP_FIXED | MAP_32BIT | MAP_FIXED_NOREPLACE;
  struct stat info;
  if (device_call(ts, __NR_fstat, f.r8, ptr(&info)) != 0 || (info.st_mode & S_IFMT) != S_IFREG)
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
  MapPiece pieces[2];
  const u64 all = (f.rsi + 4095) & ~4095ull;
  const long error = fetch_mapping(ts, f.r8, all, pieces);
  if (error == -ENODEV && (f.r10 & MAP_TYPE) == MAP_PRIVATE) return map_copy(ts, row);
  const u64 first = static_cast<u64>(pieces[0].file), second = static_cast<u64>(pieces[1].file);
  const bool two = pieces[1].file >= 0;
  const u64 bytes = pieces[0].bytes;
  long at = error == -ENETDOWN ? -ENODEV : error;
  if (error == 0) at = -EINVAL;
  if (error == 0 && (bytes == 0 || (f.r9 == 0 && all == bytes + pieces[1].bytes))) {
    // The whole length first, which reserves the place of the second piece.
    at = raw(row.nr, f.rdi, f.rsi, f.rdx, f.r10, first, f.r9);
    if (!is_error(at) && two) {
      const u64 flags = (f.r10 & ~u64{MAP_FIXED_NOREPLACE}) | MAP_FIXED;
      const u64 behind = static_cast<u64>(at) + bytes;
      const long result = raw(row.nr, behind, all - bytes, f.rdx, flags, second, 0);
      if (is_error(result)) {
        raw(__NR_munmap, static_cast<u64>(at), all);
        at = result;
      }
    }
  }
  for (const MapPiece& piece : pieces) {
    if (piece.file >= 0) raw(__NR_close, static_cast<u64>(piece.file));
  }
  return at;
}

}  // namespace

// What is not the program's is to it as if nothing were mapped there.
long do_munmap(ThreadState* ts) {
  const u64 begin = ts->frame.rdi, bytes = ts->frame.rsi;
  before_change_of_memory(begin, bytes);
  const Range low = patcher_memory();
  if (!low.meets(begin, bytes) || begin % 4096 || begin + bytes < begin) {
    if (ts->frame.rsp - begin >= bytes) return kLocal;
    return raw(__NR_munmap, begin, bytes);  // the hook runs on its own stack
  }
  if (begin < low.begin) raw(__NR_munmap, begin, low.begin - begin);
  return begin + bytes > low.end ? raw(__NR_munmap, low.end, begin + bytes - low.end) : 0;
}

long do_mmap(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  before_change_of_text(ts, row);
  if ((f.r10 & MAP_FIXED) && patcher_memory().meets(f.rdi, f.rsi)) return -ENOMEM;
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
