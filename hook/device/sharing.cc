// SPDX-License-Identifier: Apache-2.0
//
// Tables change hands here. What is the hook's own in a table (sockets, bells, the kick) has the
// same number in a copy of it, and is closed there when nobody there can use it.
#include "hook/device/sharing.h"

#include "hook/base/mem.h"
#include "hook/device/call.h"

namespace mino::hook {

namespace {

constexpr long kUnshare = 272, kMremap = 25;

// From `from` to the address of `to`, in place of what is there.
bool move_pages(void* from, void* to, u64 bytes) {
  constexpr u64 kMayMoveFixed = 3;
  return !is_error(raw(kMremap, ptr(from), bytes, bytes, kMayMoveFixed, ptr(to)));
}

// One that nobody has waited for yet counts as dead; only its parent can tell.
bool is_dead(u32 pid) {
  constexpr int kWaitid = 247, kKill = 62;
  constexpr u64 kPid = 1, kNoHangExitedNoWait = 0x41000005;
  constexpr long kNoSuchProcess = -3;
  int info[32]{};
  constexpr int kInfoPid = 4;  // of siginfo_t, in ints
  return raw(kKill, pid, 0) == kNoSuchProcess ||
         (raw(kWaitid, kPid, pid, ptr(info), kNoHangExitedNoWait, 0) == 0 && info[kInfoPid] != 0);
}

}  // namespace

void lock_table(const Table* table, u32& word) {
  if (!table->shared) return lock(word);
  constexpr u32 kPatience = 10'000;  // looks before it asks who has it
  const u32 self = static_cast<u32>(raw(nr::kGetpid));
  for (u32 looks = 1;; looks++) {
    u32 holder = 0;
    const auto take = [&] {
      return __atomic_compare_exchange_n(&word, &holder, self, false, __ATOMIC_ACQUIRE,
                                         __ATOMIC_RELAXED);
    };
    if (take()) return;
    if (looks % kPatience == 0 && holder != self && is_dead(holder) && take()) return;
    raw(nr::kSchedYield);
  }
}

bool table_is_shared(const ThreadState* ts) {
  return ts->process->table()->shared || has_company(ts);
}

long own_table(ThreadState* ts, u64 unshare_flags) {
  if (!table_is_shared(ts)) return raw(kUnshare, unshare_flags);
  Process* const before = ts->process;
  bool asked;
  if (const long error = begin_fork(ts, asked)) return error;
  release_lane(ts);
  Process* own = copy_process(*before, kCloneSighand | kCloneFs | kCloneThread);
  const long result = own ? raw(kUnshare, unshare_flags) : err::kNoMem;
  // The answer must not arrive before: its descriptors are for the new table alone.
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
  constexpr u64 kFGetFd = 1;
  for (u64 fd = 0; fd < copy->table()->fd_limit; fd++) {
    const u8 flags = copy->fds[fd];
    if (!flags || (flags & kPrivate) || flags == original->flags(fd)) continue;
    if (is_error(raw(nr::kFcntl, fd, kFGetFd))) copy->set_flags(fd, 0);
  }
}

void settle_table(ThreadState* ts) {
  Process* const process = ts->process;
  // Another thread that is here for its first call waits: what it opened now would be closed.
  lock_table(process->table(), process->table()->fork_lock);
  u8* const bitmap = process->unsettled ? static_cast<u8*>(map_pages(abi::kMaxFd / 8)) : nullptr;
  const long bytes =
      bitmap ? offload_op(ts, abi::Op::kListFds, ptr(bitmap), abi::kMaxFd / 8, -1, kNoCancel) : 0;
  for (u64 fd = 0; bytes > 0 && fd < static_cast<u64>(bytes) * 8; fd++) {
    if (!(bitmap[fd / 8] & (1 << fd % 8)) || (process->flags(fd) & (kOffloaded | kCompanion)))
      continue;
    const u64 args[6] = {fd};
    offload(ts, *abi::find_row(nr::kClose), args, -1, 0, kNoCancel);
  }
  if (bitmap) unmap_pages(bitmap, abi::kMaxFd / 8);
  __atomic_store_n(&process->unsettled, false, __ATOMIC_RELEASE);
  unlock(process->table()->fork_lock);
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
  if (session.memory) unmap_pages(session.memory, session.memory_bytes);
  free_process(process);
}

namespace {

// The table at its address is memory that a process made with CLONE_FILES will share; false if
// there is none. Other threads go on with it, so nothing of it may change or be locked meanwhile.
bool move_to_shared_memory(Process* process) {
  Table* const table = process->table();
  u32* const locks[] = {&table->companion_lock, &table->kick_lock, &table->fork_lock};
  for (u32* word : locks) lock_table(table, *word);
  if (!table->mapped) {
    constexpr u64 kReadWrite = 3, kSharedAnonymousNoreserve = 0x4021;
    const long at = raw(nr::kMmap, 0, kTableBytes, kReadWrite, kSharedAnonymousNoreserve, ~0ull, 0);
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
  if (process->session().status == SessionStatus::kNone) ready(ts);  // one session for both
  if (!table->shared) {
    if (process->session().status == SessionStatus::kLive && !announce_sharing(process))
      return err::kAgain;
    table->shared = true;
  }
  if (!same_memory && !move_to_shared_memory(process)) return err::kNoMem;
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
  ts->has_lane = false;
  ts->bell = -1;  // the parent's
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

bool lane_has_rights(const ThreadState* ts) {
  const Table* const table = ts->process->table();
  return !ts->process->rights_changed ||
         (!table->shared && table->lane_rights[ts->lane_index] == table->rights_turn);
}

void follow_capabilities(ThreadState* ts, u8 submission_flags) {
  constexpr long kCapget = 125, kCapset = 126;
  struct {
    u32 version;
    int pid;
  } header{0x20080522, 0};
  u32 sets[6];  // effective, permitted, inheritable; then their upper halves
  if (raw(kCapget, ptr(&header), ptr(sets)) != 0 || (sets[1] == ~0u && sets[0] == ~0u)) return;
  const u64 args[6] = {ptr(&header), ptr(sets)};
  if (ready(ts) == 0) offload(ts, *abi::find_row(kCapset), args, -1, submission_flags, kNoCancel);
}

void follow_rights(ThreadState* ts) {
  constexpr int kGetgroups = 115, kSetgroups = 116, kSetresuid = 117, kGetresuid = 118,
                kSetresgid = 119, kGetresgid = 120;
  constexpr u64 kSetKeepcaps = 8, kMostGroups = 1024;
  const auto become = [ts](int number, u64 a, u64 b, u64 c) {
    const u64 args[6] = {a, b, c};
    offload(ts, *abi::find_row(static_cast<u64>(number)), args, -1, abi::kFlagOwnRights, kNoCancel);
  };
  u32 groups[kMostGroups], ids[3];
  const long count = raw(kGetgroups, kMostGroups, ptr(groups));
  if (!is_error(count)) become(kSetgroups, static_cast<u64>(count), ptr(groups), 0);
  raw(kGetresgid, ptr(&ids[0]), ptr(&ids[1]), ptr(&ids[2]));
  become(kSetresgid, ids[0], ids[1], ids[2]);
  become(nr::kPrctl, kSetKeepcaps, 1, 0);
  raw(kGetresuid, ptr(&ids[0]), ptr(&ids[1]), ptr(&ids[2]));
  become(kSetresuid, ids[0], ids[1], ids[2]);
  follow_capabilities(ts, abi::kFlagOwnRights);
  become(nr::kPrctl, kSetKeepcaps, 0, 0);
}

}  // namespace mino::hook
