// SPDX-License-Identifier: Apache-2.0
//
// Process records: the one of this process, and copies for vfork children.
#include "hook/process.h"

#include "hook/mem.h"

extern "C" {  // GCC may call these for structure copies; nothing here links against libc.
__attribute__((visibility("hidden"))) void* memcpy(void* to, const void* from, size_t n) {
  mino::hook::copy(to, from, n);
  return to;
}
__attribute__((visibility("hidden"))) void* memset(void* to, int value, size_t n) {
  mino::hook::fill(to, static_cast<mino::hook::u8>(value), n);
  return to;
}
}

namespace mino::hook {

Settings settings;

namespace {
Process the_process;
}

Process* main_process() {
  if (!the_process.fds) {
    the_process.fds = static_cast<u8*>(map_pages(abi::kMaxFd));
    the_process.epoll_waiters = static_cast<u16*>(map_pages(u64{abi::kMaxFd} * 2));
  }
  return &the_process;
}

Process* copy_process(const Process& parent) {
  constexpr u64 kBytes = (sizeof(Process) + 4095) & ~4095ull;
  u8* pages = static_cast<u8*>(map_pages(kBytes + abi::kMaxFd));
  if (!pages) return nullptr;
  auto* child = reinterpret_cast<Process*>(pages);
  copy(child, &parent, sizeof parent);
  child->fds = pages + kBytes;
  copy(child->fds, parent.fds, parent.fd_limit);
  child->shares_memory = true;
  child->fork_lock = 0;
  child->started = false;
  child->exec_memory = nullptr;
  return child;
}

void reset_locks_in_child() {
  extern u32 shadow_lock, kick_lock, companion_lock, filter_lock;
  shadow_lock = kick_lock = companion_lock = filter_lock = 0;
}

void free_process(Process* process) {
  constexpr u64 kBytes = (sizeof(Process) + 4095) & ~4095ull;
  if (process->exec_memory) unmap_pages(process->exec_memory, process->exec_bytes);
  if (process->shares_memory) unmap_pages(process, kBytes + abi::kMaxFd);
}

}  // namespace mino::hook
