// SPDX-License-Identifier: Apache-2.0
#include "engine/native/file_table.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>

#include "base/check.h"
#include "channel/futex.h"

namespace mino {

namespace {

constexpr uint64_t kUsedBytes = abi::kMaxFd;

void close_from(unsigned first, unsigned last) {
  if (first <= last) ::close_range(first, last, 0);
}

}  // namespace

FileTable::FileTable(Kicker& kicker) : kicker_(kicker) {
  void* bytes = ::mmap(nullptr, kUsedBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  CHECK(bytes != MAP_FAILED);
  used_ = static_cast<std::atomic<uint8_t>*>(bytes);
  for (auto& fd : internal_) fd.store(-1, std::memory_order_relaxed);
}

FileTable::FileTable(Kicker& kicker, const FileTable& parent)
    : kicker_(kicker),
      size_(parent.size_.load()),
      filler_(parent.filler_.load()),
      used_(parent.used_) {
  for (auto& fd : internal_) fd.store(-1, std::memory_order_relaxed);
}

FileTable::~FileTable() {
  ::munmap(used_, kUsedBytes);
}

bool FileTable::establish() {
  const int path = ::open("/", O_PATH | O_CLOEXEC);
  if (path < 0) return false;
  const int filler = ::fcntl(path, F_DUPFD_CLOEXEC, kFirstSize);
  if (filler < 0) return false;
  close_from(0, static_cast<unsigned>(filler) - 1);
  close_from(static_cast<unsigned>(filler) + 1, ~0u);
  filler_ = filler;
  if (!fill(0, kFirstSize)) return false;
  size_.store(kFirstSize, std::memory_order_release);
  return true;
}

bool FileTable::inherit() {
  const auto filler = static_cast<unsigned>(filler_.load());
  close_from(static_cast<unsigned>(size()), filler - 1);
  close_from(filler + 1, ~0u);
  return true;
}

// Fills every free number in [from, to). All below `from` must be occupied.
bool FileTable::fill(int from, int to) {
  for (;;) {
    const int filled = ::fcntl(filler_, F_DUPFD_CLOEXEC, from);
    if (filled < 0) return false;
    if (filled >= to) {
      ::close(filled);
      return true;
    }
  }
}

void FileTable::enter() {
  for (;;) {
    // Sequentially consistent with grow(): either grow() sees this call, or this call sees
    // growing_.
    entered_.fetch_add(1, std::memory_order_seq_cst);
    if (growing_.load(std::memory_order_seq_cst) == 0) return;
    leave();
    futex_wait(growing_, 1);
  }
}

void FileTable::leave() {
  if (entered_.fetch_sub(1, std::memory_order_seq_cst) == 1 &&
      growing_.load(std::memory_order_seq_cst) != 0) {
    futex_wake(entered_);
  }
}

int64_t FileTable::reserve(int number) {
  if (number < 0 || number >= static_cast<int>(abi::kMaxFd)) return -EBADF;
  while (number >= size()) {
    uint32_t idle = 0;
    if (!growing_.compare_exchange_strong(idle, 1, std::memory_order_seq_cst)) {
      futex_wait(growing_, 1);
      continue;
    }
    const int64_t result = number >= size() ? grow(number) : 0;
    growing_.store(0, std::memory_order_seq_cst);
    futex_wake(growing_);
    if (result < 0) return result;
  }
  return 0;
}

int64_t FileTable::grow(int number) {
  // Beyond the table, numbers must be left for temporaries and for internal descriptors.
  constexpr uint64_t kSpare = 4 * abi::kMaxLanes;
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  const uint64_t most = std::min<uint64_t>(limit.rlim_cur, abi::kMaxFd);
  const auto end = static_cast<int>(most - std::min(kSpare, most / 4));
  if (number >= end) return -EMFILE;
  constexpr int kPatientRounds = 16;
  constexpr timespec kRound{0, 1'000'000};
  for (int round = 0;; round++) {
    const uint32_t busy = entered_.load(std::memory_order_seq_cst);
    if (busy == 0) break;
    kicker_.kick(round > kPatientRounds);
    futex_wait(entered_, busy, &kRound);
  }
  const int old_size = size();
  const int new_size =
      std::min(static_cast<int>(std::bit_ceil(static_cast<unsigned>(number) + 1)), end);
  if (const int64_t result = relocate(new_size); result < 0) return result;
  if (!fill(old_size, new_size)) return -errno;
  size_.store(new_size, std::memory_order_release);
  return 0;
}

// Moves internal descriptors out of the way. The old numbers become fillers.
int64_t FileTable::relocate(int to) {
  const int source = ::fcntl(filler_, F_DUPFD_CLOEXEC, to);
  if (source < 0) return -errno;
  filler_.store(source, std::memory_order_release);
  for (auto& slot : internal_) {
    const int fd = slot.load(std::memory_order_relaxed);
    if (fd < 0 || fd >= to) continue;
    const int moved = ::fcntl(fd, F_DUPFD_CLOEXEC, to);
    if (moved < 0) return -errno;
    slot.store(moved, std::memory_order_release);
    ::dup3(source, fd, O_CLOEXEC);
  }
  return 0;
}

int64_t FileTable::install(int temporary, int number) {
  const int result = ::dup3(temporary, number, O_CLOEXEC) < 0 ? -errno : 0;
  if (result == 0) used_[number].store(1, std::memory_order_release);
  ::close(temporary);
  return result;
}

void FileTable::drop(int temporary) {
  ::close(temporary);
}

int64_t FileTable::duplicate(int number, int target) {
  if (!installed(number)) return -EBADF;
  if (number == target) return target;
  if (::dup3(number, target, O_CLOEXEC) < 0) return -errno;
  used_[target].store(1, std::memory_order_release);
  return target;
}

int64_t FileTable::close(int number) {
  if (number < 0 || number >= size() || used_[number].exchange(0, std::memory_order_acq_rel) == 0) {
    return -EBADF;
  }
  enter();
  const int result = ::dup3(filler_, number, O_CLOEXEC) < 0 ? -errno : 0;
  leave();
  return result;
}

void FileTable::close_range(uint32_t first, uint32_t last) {
  const auto end = static_cast<uint32_t>(size());
  for (uint64_t number = first; number <= last && number < end; number++) {
    if (installed(static_cast<int64_t>(number))) close(static_cast<int>(number));
  }
}

void FileTable::adopt(uint32_t slot, int temporary) {
  const int old = internal_[slot].exchange(temporary, std::memory_order_acq_rel);
  if (old >= 0) ::close(old);
}

void FileTable::discard(uint32_t slot) {
  enter();
  adopt(slot, -1);
  leave();
}

}  // namespace mino
