// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/children.h.
#include "hook/device/children.h"

#include "hook/base/lock.h"
#include "hook/device/message.h"

namespace mino::hook {

void remember_child(Process* process, long pid) {
  Children* const children = process->children;
  lock(children->lock);
  constexpr u32 kKnown = sizeof children->pids / sizeof *children->pids;
  if (children->count < kKnown) children->pids[children->count] = static_cast<int>(pid);
  children->count++;
  unlock(children->lock);
}

void await_end_of_child(ThreadState* ts, long pid) {
  Process* process = ts->process;
  Children* const children = process->children;
  constexpr u32 kKnown = sizeof children->pids / sizeof *children->pids;
  lock(children->lock);
  const u32 known = children->count < kKnown ? children->count : kKnown;
  u32 at = 0;
  while (at < known && children->pids[at] != pid) at++;
  bool ask = at < known;
  if (ask) {
    children->count--;
    children->pids[at] = children->pids[known - 1];
  } else if (children->count > kKnown) {
    ask = true;
  }
  unlock(children->lock);
  if (!ask || process->session().status != SessionStatus::kLive) return;
  lock_table(process->table(), process->table()->fork_lock);
  abi::Message message;
  message.type = abi::MessageType::kReaped;
  message.turn = static_cast<u32>(pid);
  if (send_message(process->session(), message))
    await_message(process->session(), abi::MessageType::kReaped, message, nullptr, 0);
  unlock(process->table()->fork_lock);
}

}  // namespace mino::hook
