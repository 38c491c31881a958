// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/session_memory.h.
#include "hook/device/session_memory.h"

#include "abi/layout.h"
#include "hook/base/uapi.h"
#include "hook/state/thread.h"

namespace mino::hook {

bool map_session(Session& session, const abi::Message& message, int memory_fd) {
  if (message.version != abi::kVersion || message.lane_count == 0 ||
      message.lane_count > abi::kMaxLanes || message.arena_bytes < abi::kMinArenaBytes ||
      message.arena_bytes > abi::kMaxArenaBytes) {
    return false;
  }
  session.lane_count = message.lane_count;
  session.arena_bytes = message.arena_bytes;
  session.id = message.session_id;
  session.memory_bytes = abi::session_bytes(message.lane_count, message.arena_bytes);
  // The file must be large enough and must not shrink; otherwise a peer could make us fault.
  const long seals = raw(__NR_fcntl, static_cast<u64>(memory_fd), F_GET_SEALS);
  const long size = raw(__NR_lseek, static_cast<u64>(memory_fd), 0, SEEK_END);
  if (is_error(seals) || !(static_cast<u64>(seals) & F_SEAL_SHRINK) ||
      size < static_cast<long>(session.memory_bytes)) {
    return false;
  }
  const long p = raw(__NR_mmap, 0, session.memory_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
                     static_cast<u64>(memory_fd), 0);
  if (is_error(p)) return false;
  session.memory = reinterpret_cast<u8*>(p);
  mino_paths_matter = 1;
  auto* header = reinterpret_cast<const abi::SessionHeader*>(session.memory);
  return header->magic == abi::kMagic && header->version == abi::kVersion;
}

}  // namespace mino::hook
