// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/session_memory.h.
#include "hook/device/session_memory.h"

#include "abi/layout.h"
#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/state/private_descriptors.h"
#include "hook/state/thread.h"

namespace mino::hook {

namespace {

bool is_sound(const abi::Message& message, u64 memory_fd) {
  if (message.version != abi::kVersion || message.lane_count == 0 ||
      message.lane_count > abi::kMaxLanes || message.arena_bytes < abi::kMinArenaBytes ||
      message.arena_bytes > abi::kMaxArenaBytes) {
    return false;
  }
  // The file must be large enough and must not shrink; otherwise a peer could make us fault.
  const long seals = raw(__NR_fcntl, memory_fd, F_GET_SEALS);
  const long size = raw(__NR_lseek, memory_fd, 0, SEEK_END);
  return !is_error(seals) && (static_cast<u64>(seals) & F_SEAL_SHRINK) && !is_error(size) &&
         static_cast<u64>(size) >= abi::session_bytes(message.lane_count, message.arena_bytes);
}

}  // namespace

bool take_memory(Process* process, Session& session, const abi::Message& message, int memory_fd) {
  if (!is_sound(message, static_cast<u64>(memory_fd))) {
    raw(__NR_close, static_cast<u64>(memory_fd));
    return false;
  }
  session.lane_count = message.lane_count;
  session.arena_bytes = message.arena_bytes;
  session.id = message.session_id;
  session.memory = nullptr;
  session.memory_fd = make_private(process, memory_fd);
  return true;
}

bool map_session(Session& session, u8* in_place) {
  const long p = map_memory(in_place, abi::kHeaderBytes, PROT_READ | PROT_WRITE,
                            MAP_SHARED | (in_place ? u64{MAP_FIXED} : 0),
                            static_cast<u64>(session.memory_fd), 0);
  if (is_error(p)) return false;
  session.memory = reinterpret_cast<u8*>(p);
  mino_paths_matter = 1;
  auto* header = reinterpret_cast<const abi::SessionHeader*>(p);
  return header->magic == abi::kMagic && header->version == abi::kVersion;
}

void unmap_session(const Session& session) {
  if (session.memory) unmap_pages(session.memory, abi::kHeaderBytes);
}

}  // namespace mino::hook
