// SPDX-License-Identifier: Apache-2.0
//
// A client for tests and fuzz targets: it plays the part of hook/ with this process's own memory as
// the client's, so that a marshalled system call can be compared with the direct one. Never linked
// into a program.
#pragma once

#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "abi/decode.h"
#include "abi/syscalls.h"
#include "abi/walk.h"
#include "engine/native/marshal.h"
#include "engine/split.h"

namespace mino {

// Fault-safe access to this process's memory, page by page.
struct OwnMemory {
  static uint64_t move(bool out, uint64_t addr, void* local, uint64_t n) {
    uint64_t done = 0;
    while (done < n) {
      const uint64_t at = addr + done;
      const uint64_t chunk = std::min<uint64_t>(n - done, 4096 - (at & 4095));
      iovec mine{static_cast<uint8_t*>(local) + done, chunk};
      iovec theirs{reinterpret_cast<void*>(at), chunk};
      const ssize_t moved = out ? ::process_vm_writev(::getpid(), &mine, 1, &theirs, 1, 0)
                                : ::process_vm_readv(::getpid(), &mine, 1, &theirs, 1, 0);
      if (moved != static_cast<ssize_t>(chunk)) break;
      done += chunk;
    }
    return done;
  }
  static uint64_t in(void* to, uint64_t addr, uint64_t n) { return move(false, addr, to, n); }
  static uint64_t out(uint64_t addr, const void* from, uint64_t n) {
    return move(true, addr, const_cast<void*>(from), n);
  }
  static uint64_t writable(uint64_t addr, uint64_t n) {
    uint64_t done = 0;
    while (done < n) {
      const uint64_t at = addr + done;
      uint8_t byte = 0;
      if (in(&byte, at, 1) != 1 || out(at, &byte, 1) != 1) break;
      done += std::min<uint64_t>(n - done, 4096 - (at & 4095));
    }
    return done;
  }
  static int64_t string(uint64_t addr, char* to, uint32_t max) {
    for (uint32_t i = 0; i < max; i++) {
      if (in(to + i, addr + i, 1) != 1) return -EFAULT;
      if (to[i] == 0) return i + 1;
    }
    return max;
  }
};

enum class Windows { kAll, kNone, kHalf, kAlternate };

class FakeClient final : public Upcaller {
 public:
  FakeClient(uint32_t arena_bytes, Windows windows)
      : arena_bytes_(arena_bytes),
        windows_(windows),
        arena_(static_cast<uint8_t*>(std::calloc(1, arena_bytes))),
        submission_(new abi::Submission{}),
        completion_(new abi::Completion{}),
        checked_(new abi::CheckedSubmission),
        marshal_(scratch_) {}
  ~FakeClient() { std::free(arena_); }

  uint64_t upcalls() const { return upcalls_; }
  SessionStats& stats() { return stats_; }

  // Makes the call as an offloaded one, with `run` in the kernel's place.
  template <class Run>
  int64_t call_with(uint64_t nr, const uint64_t args[6], Run&& run) {
    const abi::Row* row = abi::find_row(nr);
    if (!row) std::abort();
    submit(*row, args);
    if (!abi::decode_submission(*submission_, arena_bytes_, *checked_)) std::abort();
    Split split(*checked_, arena_, arena_bytes_, *this, stats_);
    uint64_t local[6];
    marshal_.prepare(*row, checked_->args, split, local);
    int64_t result = run(local);
    result = marshal_.finish(result, split);
    return complete(result, split);
  }

  int64_t call(uint64_t nr, const uint64_t args[6]) {
    return call_with(nr, args, [nr](const uint64_t* a) { return raw(nr, a); });
  }

  static int64_t raw(uint64_t nr, const uint64_t* a) {
    const long result = ::syscall(static_cast<long>(nr), a[0], a[1], a[2], a[3], a[4], a[5]);
    return result == -1 ? -errno : result;
  }

  int64_t upcall(abi::CompletionKind kind, uint64_t addr, uint32_t len,
                 uint32_t arena_off) override {
    upcalls_++;
    if (kind != abi::CompletionKind::kUpcallProbe &&
        !abi::inside_arena(arena_off, len, arena_bytes_)) {
      std::abort();
    }
    uint8_t* const at = arena_ + arena_off;
    int64_t served = -EINVAL;
    switch (kind) {
      case abi::CompletionKind::kUpcallRead:
        served = static_cast<int64_t>(OwnMemory::in(at, addr, len));
        break;
      case abi::CompletionKind::kUpcallWrite:
        served = static_cast<int64_t>(OwnMemory::out(addr, at, len));
        break;
      case abi::CompletionKind::kUpcallString:
        served = OwnMemory::string(addr, reinterpret_cast<char*>(at), len);
        break;
      case abi::CompletionKind::kUpcallProbe:
        served = static_cast<int64_t>(OwnMemory::writable(addr, len));
        break;
      default:
        std::abort();
    }
    return served == 0 ? -EFAULT : served;
  }

 private:
  struct Reader {
    bool read(uint64_t addr, void* to, uint32_t bytes) {
      return OwnMemory::in(to, addr, bytes) == bytes;
    }
    int64_t string(uint64_t addr, uint32_t max) {
      auto buffer = std::make_unique<char[]>(max);
      return OwnMemory::string(addr, buffer.get(), max);
    }
  };

  // Like the sink of hook/device/call.cc, with ways to leave things out.
  struct Sink {
    FakeClient& client;
    uint64_t limit = 0, used = 0;
    uint8_t count = 0;
    uint32_t seen = 0;

    int32_t piece(const abi::Piece& piece) {
      if (client.windows_ == Windows::kAlternate && seen++ % 2 == 1) return 0;
      if (count == abi::kMaxWindows) return -2;
      uint64_t len = std::min(piece.len, limit - used);
      if (client.windows_ == Windows::kHalf) len = std::min(len, (piece.len + 1) / 2);
      if (piece.dir & abi::kWindowOut) len = OwnMemory::writable(piece.addr, len);
      if (piece.dir & abi::kWindowIn) len = OwnMemory::in(client.arena_ + used, piece.addr, len);
      if (len == 0) return 0;
      client.submission_->windows[count++] = {piece.addr, static_cast<uint32_t>(len),
                                              static_cast<uint32_t>(used) | piece.dir};
      used = std::min(limit, (used + len + 7) & ~uint64_t{7});
      return 0;
    }
  };

  void submit(const abi::Row& row, const uint64_t args[6]) {
    submission_->nr = row.nr;
    submission_->install_fd = -1;
    submission_->kind = static_cast<uint8_t>(abi::SubmissionKind::kCall);
    submission_->arch = static_cast<uint8_t>(abi::Arch::kX86_64);
    std::copy(args, args + 6, submission_->args);
    submission_->window_count = 0;
    if (windows_ == Windows::kNone) return;
    Reader reader;
    Sink sink{*this, arena_bytes_ - abi::upcall_reserve(arena_bytes_)};
    abi::walk(row, args, reader, sink);
    submission_->window_count = sink.count;
  }

  int64_t complete(int64_t result, Split& split) {
    completion_->kind = static_cast<uint8_t>(abi::CompletionKind::kDone);
    completion_->result = result;
    completion_->extent_count = split.extent_count();
    std::copy(split.extents(), split.extents() + split.extent_count(), completion_->extents);
    auto checked = std::make_unique<abi::CheckedCompletion>();
    if (!abi::decode_completion(*completion_, arena_bytes_, *checked)) std::abort();
    for (uint16_t i = 0; i < checked->extent_count; i++) {
      const abi::Extent& extent = checked->extents[i];
      if (OwnMemory::out(extent.addr, arena_ + extent.arena_off, extent.len) != extent.len)
        result = -EFAULT;
    }
    return result;
  }

  const uint32_t arena_bytes_;
  const Windows windows_;
  uint8_t* const arena_;
  std::unique_ptr<abi::Submission> submission_;
  std::unique_ptr<abi::Completion> completion_;
  std::unique_ptr<abi::CheckedSubmission> checked_;
  Scratch scratch_;
  Marshal marshal_;
  SessionStats stats_{};
  uint64_t upcalls_ = 0;
};

}  // namespace mino
