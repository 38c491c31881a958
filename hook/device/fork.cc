// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/fork.h for what this does, and abi/message.h for the messages.
#include "hook/device/fork.h"

#include "hook/base/limits.h"
#include "hook/base/lock.h"
#include "hook/base/mem.h"
#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/lanes.h"
#include "hook/device/message.h"
#include "hook/device/session_memory.h"
#include "hook/state/private_descriptors.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// Before it lets a fork fail, the device says why the child cannot have a session. Reported once.
void tell_why_no_child(const Session& session) {
  static bool told;
  pollfd p{session.socket, POLLIN, 0};
  abi::Message message;
  if (raw(__NR_poll, ptr(&p), 1, 0) != 1 || !(p.revents & POLLIN) ||
      !receive_message(session.socket, message, nullptr, 0) ||
      message.type != abi::MessageType::kRefuse || told)
    return;
  told = true;
  tell_refusal(message);
}

}  // namespace

long begin_fork(ThreadState* ts, bool& asked) {
  Process* process = ts->process;
  asked = false;
  if (process->session().status != SessionStatus::kLive) return 0;
  long result = ready(ts);
  if (result == 0) {
    lock_table(process->table(), process->table()->fork_lock);
    result = offload_op(ts, abi::Op::kFork, 0, 0, -1, kNoCancel);
    asked = result == 0;
    if (result == -EAGAIN) tell_why_no_child(process->session());
    if (!asked) unlock(process->table()->fork_lock);
  }
  if (result == -ENETDOWN || process->session().status == SessionStatus::kDead)
    return 0;  // the device is dead: fork anyway
  return result == 0 ? 0 : -EAGAIN;
}

void receive_fork(Process* process, ForkedSession& child) {
  child.present = false;
  child.session = Session{};
  child.session.socket = child.session.memory_fd = -1;
  child.session.placeholder = child.session.broken = -1;
  abi::Message message;
  int fds[2] = {-1, -1};
  if (await_message(process->session(), abi::MessageType::kChild, message, fds, 2) &&
      take_memory(process, child.session, message, fds[1])) {
    child.session.socket = make_private(process, fds[0]);
    child.session.status = SessionStatus::kLive;
    child.present = true;
  } else if (fds[0] >= 0) {
    raw(__NR_close, static_cast<u64>(fds[0]));
  }
}

long prepare_fork(ThreadState* ts, ForkedSession& child) {
  Process* process = ts->process;
  bool asked;
  const long error = begin_fork(ts, asked);
  if (!asked) return error;
  {
    const LiftedLimits more(LiftedLimits::kNumbers);
    receive_fork(process, child);
  }
  unlock(process->table()->fork_lock);
  return child.present || process->session().status == SessionStatus::kDead ? 0 : -EAGAIN;
}

void close_child_files(Process* process, Session& session) {
  close_private(process, session.socket);
  close_private(process, session.memory_fd);
}

void finish_fork_in_parent(Process* process, ForkedSession& child) {
  if (!child.present) return;
  close_child_files(process, child.session);
}

void finish_fork_in_child(ThreadState* ts, ForkedSession& child) {
  Process* process = ts->process;
  Session& session = process->session();
  lose_lane(ts);
  close_private(process, ts->bell);
  close_private(process, ts->watch);
  ts->bell_sent = false;
  if (session.status == SessionStatus::kConnecting) session.status = SessionStatus::kNone;
  if (session.status != SessionStatus::kLive) return;
  const int placeholder = session.placeholder, broken = session.broken;
  close_private(process, session.socket);
  close_private(process, session.memory_fd);
  // In memory of our own the old header has no user any more; elsewhere it has the parent.
  u8* const old = process->shares_memory ? nullptr : session.memory;
  if (!child.present) {
    if (old) unmap_session(session);
    session.memory = nullptr;
    session_died(session);
    return;
  }
  session = child.session;
  session.placeholder = placeholder;  // only compared with its duplicates
  session.broken = broken;
  if (!map_session(session, old)) return session_died(session);
  mark_control(session.socket);
  abi::Message message;
  message.type = abi::MessageType::kAdopt;
  raw(__NR_prctl, PR_GET_NAME, ptr(message.text));
  if (!send_message(session, message)) session_died(session);
}

}  // namespace mino::hook
