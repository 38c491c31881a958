// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/export.h.
#include "hook/device/export.h"

#include "hook/base/lock.h"
#include "hook/base/uapi.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/device/message.h"

namespace mino::hook {

long fetch_mapping(ThreadState* ts, u64 fd, u64 bytes, MapPiece pieces[2]) {
  long result = ready(ts);
  if (result != 0) return result;
  Process* process = ts->process;
  lock_table(process->table(), process->table()->fork_lock);
  result = offload_op(ts, abi::Op::kMap, fd, bytes, -1, kNoCancel);
  const long count = result < 0 ? 0 : result + 1;
  if (count > 2) result = -ENODEV;
  for (long i = 0; i < count && i < 2 && result >= 0; i++) {
    abi::Message message;
    const bool good =
        await_message(process->session(), abi::MessageType::kMapped, message, &pieces[i].file, 1);
    pieces[i].bytes = message.session_id;
    result = good ? 0 : -ENODEV;
  }
  unlock(process->table()->fork_lock);
  return result;
}

long fetch_parcel(ThreadState* ts, u64 fd, u64& id, u64 flags) {
  if (const long error = ready(ts)) return error;
  Process* process = ts->process;
  lock_table(process->table(), process->table()->fork_lock);
  long result = offload_op(ts, abi::Op::kExport, fd, flags, -1);
  if (!is_error(result)) {
    id = static_cast<u64>(result);
    abi::Message message;
    int parcel = -1;
    const bool good =
        await_message(process->session(), abi::MessageType::kParcel, message, &parcel, 1);
    if (good) await_message(process->session(), abi::MessageType::kSettle, message, nullptr, 0);
    result = good ? parcel : -ENFILE;
  }
  unlock(process->table()->fork_lock);
  return result;
}

}  // namespace mino::hook
