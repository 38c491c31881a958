// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/sharing.h. The hook's own descriptors in a table (sockets, bells, the kick) have
// the same numbers in a copy, and are closed there if nobody can use them.
#include "hook/device/sharing.h"

#include "hook/base/lock.h"
#include "hook/base/mem.h"
#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/fork.h"
#include "hook/device/lanes.h"
#include "hook/device/message.h"
#include "hook/device/session_memory.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// Moves pages from `from` to `to`, in place of what is mapped there.
bool move_pages(void* from, void* to, u64 bytes) {
  return !is_error(
      raw(__NR_mremap, ptr(from), bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, ptr(to)));
}

// Tells the device that the session will have several client processes.
bool announce_sharing(Process* process) {
  abi::Message message;
  message.type = abi::MessageType::kShare;
  lock_table(process->table(), process->table()->fork_lock);
  const bool good =
      send_message(process->session(), message) &&
      await_message(process->session(), abi::MessageType::kShare, message, nullptr, 0);
  unlock(process->table()->fork_lock);
  return good;
}

}  // namespace

bool table_is_shared(const ThreadState* ts) {
  return ts->process->table()->shared || has_company(ts);
}

long own_table(ThreadState* ts, u64 unshare_flags) {
  if (!table_is_shared(ts)) return raw(__NR_unshare, unshare_flags);
  Process* const before = ts->process;
  bool asked;
  if (const long error = begin_fork(ts, asked)) return error;
  release_lane(ts);
  Process* own = copy_process(*before, CLONE_SIGHAND | CLONE_FS | CLONE_THREAD);
  const long result = own ? raw(__NR_unshare, unshare_flags) : -ENOMEM;
  // The answer must not be received earlier: its descriptors belong in the new table only.
  ForkedSession session;
  if (asked) receive_fork(is_error(result) ? before : own, session);
  if (asked) unlock(before->table()->fork_lock);
  if (is_error(result)) {
    finish_fork_in_parent(before, session);
    if (own) free_process(own);
    return result;
  }
  own->started = own->unsettled = true;
  if (before == main_process() && !has_company(ts)) {
    set_main_process(own);
  } else {
    own->threads = 1;
  }
  close_foreign_bells(ts, own);
  forget_closed(own, before);
  leave_process(ts);
  ts->process = own;
  finish_fork_in_child(ts, session);
  return result;
}

void forget_closed(Process* copy, const Process* original) {
  for (u64 fd = 0; fd < copy->table()->fd_limit; fd++) {
    const u8 flags = copy->fds[fd];
    if (!flags || (flags & kPrivate) || flags == original->flags(fd)) continue;
    if (is_error(raw(__NR_fcntl, fd, F_GETFD))) copy->set_flags(fd, 0);
  }
}

void leave_process(ThreadState* ts) {
  Process* const process = ts->process;
  if (process->threads == 0 || __atomic_sub_fetch(&process->threads, 1u, __ATOMIC_ACQ_REL) != 0)
    return;
  ts->process = main_process();
  discard_process(process);
}

void discard_process(Process* process) {
  const Session& session = process->session();
  unmap_session(session);
  free_process(process);
}

namespace {

// Moves the table into shared memory at the same address, for a process made with CLONE_FILES.
// False on failure. Other threads go on using the table, so nothing in it may change or be locked
// meanwhile.
bool move_to_shared_memory(Process* process) {
  Table* const table = process->table();
  u32* const locks[] = {&table->companion_lock, &table->kick_lock, &table->fork_lock};
  for (u32* word : locks) lock_table(table, *word);
  if (!table->mapped) {
    const long at = raw(__NR_mmap, 0, kTableBytes, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, ~0ull, 0);
    if (!is_error(at)) {
      u8* const shared = reinterpret_cast<u8*>(at);
      TableChange::stop();
      table->mapped = true;
      copy(shared, table, kTableHead + table->fd_limit);
      copy(shared + kTableHead + abi::kMaxFd, process->epoll_waiters, u64{table->fd_limit} * 2);
      if (!move_pages(shared, table, kTableBytes)) {
        table->mapped = false;
        unmap_pages(shared, kTableBytes);
      }
      TableChange::go_on();
    }
  }
  for (u32* word : locks) unlock(*word);
  return table->mapped;
}

}  // namespace

long share_table(ThreadState* ts, bool same_memory, u32& client) {
  Process* const process = ts->process;
  Table* const table = process->table();
  client = 0;
  if (!settings.active) return 0;
  if (process->session().status == SessionStatus::kNone) ready(ts);  // so that both use one session
  if (!table->shared) {
    if (process->session().status == SessionStatus::kLive && !announce_sharing(process))
      return -EAGAIN;
    table->shared = true;
  }
  if (!same_memory && !move_to_shared_memory(process)) return -ENOMEM;
  client = __atomic_add_fetch(&table->clients, 1u, __ATOMIC_RELAXED);
  return 0;
}

void join_session(Process* process) {
  if (process->session().status != SessionStatus::kLive) return;
  abi::Message message;
  message.type = abi::MessageType::kJoin;
  message.turn = process->client;
  if (!send_message(process->session(), message)) session_died(process->session());
}

void join_table(ThreadState* ts, u32 client) {
  ts->process->client = client;
  lose_lane(ts);
  ts->bell = ts->watch = -1;  // these are the parent's
  ts->bell_sent = false;
  join_session(ts->process);
}

bool copy_mapped_table(const Process* process, void*& table) {
  table = nullptr;
  if (!process->table()->mapped) return true;
  table = map_pages(kTableBytes);
  if (table) copy_table(static_cast<Table*>(table), process->table());
  return table;
}

void take_table(Process* process, void* table) {
  if (table) move_pages(table, process->table(), kTableBytes);
  reset_table(process->table());
  process->client = 0;
}

void drop_table(void* table) {
  if (table) unmap_pages(table, kTableBytes);
}

}  // namespace mino::hook
