// SPDX-License-Identifier: Apache-2.0
//
// The Process of this process, and copies for children that share its memory. See
// hook/state/process.h.
#include "hook/state/process.h"

#include "hook/base/mem.h"
#include "hook/base/pages.h"

namespace mino::hook {

namespace {
Process the_process;
Process* main_one = &the_process;

constexpr u64 kProcessBytes = (sizeof(Process) + 4095) & ~4095ull;

void set_table(Process* process, u8* pages) {
  process->fds = pages + kTableHead;
  process->epoll_waiters = reinterpret_cast<u16*>(process->fds + abi::kMaxFd);
}
}  // namespace

Process* main_process() {
  if (main_one == &the_process && !the_process.fds) {
    if (u8* pages = static_cast<u8*>(map_pages(kTableBytes))) {
      set_table(&the_process, pages);
      the_process.table()->kick_fd = -1;
    }
    the_process.actions = the_process.own_actions;
    the_process.directory = &the_process.own_directory;
    the_process.children = &the_process.own_children;
  }
  return main_one;
}

void set_main_process(Process* process) {
  main_one = process;
}

namespace {

// The memory of the last vfork child, kept for the next one: unmapping it costs more than such a
// child's own calls. All of it is zero except what copy_process() writes.
u8* spare;
constexpr u64 kSpareBytes = kProcessBytes + kTableBytes;
constexpr u64 kMostToClear = 4096;

u8* use_spare() {
  return __atomic_exchange_n(&spare, nullptr, __ATOMIC_ACQUIRE);
}

bool keep_as_spare(Process* process) {
  Table* table = process->bytes == kSpareBytes ? process->table() : nullptr;
  if (!table || table->mapped || table->fd_limit > kMostToClear) return false;
  fill(process->fds, 0, table->fd_limit);
  for (u64 i = 0; i < kMostToClear; i++) {
    if (process->epoll_waiters[i]) process->epoll_waiters[i] = 0;
  }
  fill(&process->own_children, 0, sizeof process->own_children);
  u8* none = nullptr;
  return __atomic_compare_exchange_n(&spare, &none, reinterpret_cast<u8*>(process), false,
                                     __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

}  // namespace

Process* copy_process(const Process& parent, u64 clone_flags) {
  const bool same_table = clone_flags & CLONE_FILES;
  const u64 bytes = kProcessBytes + (same_table ? 0 : kTableBytes);
  u8* pages = bytes == kSpareBytes ? use_spare() : nullptr;
  if (!pages) pages = static_cast<u8*>(map_pages(bytes));
  if (!pages) return nullptr;
  auto* child = reinterpret_cast<Process*>(pages);
  copy(child, &parent, offsetof(Process, own_actions));
  child->bytes = bytes;
  if (!same_table) {
    set_table(child, pages + kProcessBytes);
    copy_table(child->table(), parent.table());
    child->client = 0;
    child->credentials_changed = false;
  }
  if (!(clone_flags & CLONE_SIGHAND)) {
    child->actions = child->own_actions;
    copy(child->actions, parent.actions, sizeof child->own_actions);
  }
  if (!(clone_flags & CLONE_FS)) {
    child->directory = &child->own_directory;
    copy(child->directory, parent.directory, sizeof(Directory));
  }
  if (!(clone_flags & CLONE_THREAD)) child->children = &child->own_children;
  child->shares_memory = true;
  child->threads = 0;
  child->unsettled = child->newborn = child->joins = child->started = false;
  child->exec_memory = nullptr;
  child->spaces = 0;
  return child;
}

void free_process(Process* process) {
  if (process->exec_memory) unmap_pages(process->exec_memory, process->exec_bytes);
  if (process->bytes && !keep_as_spare(process)) unmap_pages(process, process->bytes);
}

}  // namespace mino::hook
