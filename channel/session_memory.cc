// SPDX-License-Identifier: Apache-2.0
#include "channel/session_memory.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <utility>

namespace mino {

Result<SessionMemory> SessionMemory::create(uint64_t session_id, uint32_t lanes,
                                            uint32_t arena_bytes) {
  const uint64_t bytes = abi::session_bytes(lanes, arena_bytes);
  Fd object(::memfd_create("mino-session", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!object.valid()) return errno_error("session memory");
  if (::ftruncate(object.get(), static_cast<off_t>(bytes)) != 0) {
    return errno_error("size of session memory");
  }
  if (::fcntl(object.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return errno_error("seal of session memory");
  }
  return map(std::move(object), session_id, lanes, arena_bytes);
}

Result<SessionMemory> SessionMemory::map(Fd object, uint64_t session_id, uint32_t lanes,
                                         uint32_t arena_bytes) {
  SessionMemory memory;
  memory.bytes_ = abi::session_bytes(lanes, arena_bytes);
  void* base = ::mmap(nullptr, memory.bytes_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                      object.get(), 0);
  if (base == MAP_FAILED) return errno_error("mapping of session memory");
  ::madvise(base, memory.bytes_, MADV_DONTFORK);
  memory.base_ = base;
  memory.object_ = std::move(object);
  memory.session_id_ = session_id;
  memory.lane_count_ = lanes;
  memory.arena_bytes_ = arena_bytes;
  auto* header = static_cast<abi::SessionHeader*>(base);
  header->magic = abi::kMagic;
  header->version = abi::kVersion;
  header->lane_count = lanes;
  header->lane_stride = abi::lane_stride(arena_bytes);
  header->arena_bytes = arena_bytes;
  header->session_id = session_id;
  header->total_bytes = memory.bytes_;
  return memory;
}

SessionMemory::SessionMemory(SessionMemory&& other) noexcept {
  *this = std::move(other);
}

SessionMemory& SessionMemory::operator=(SessionMemory&& other) noexcept {
  if (this == &other) return *this;
  if (base_ != nullptr) ::munmap(base_, bytes_);
  object_ = std::move(other.object_);
  base_ = std::exchange(other.base_, nullptr);
  bytes_ = other.bytes_;
  session_id_ = other.session_id_;
  lane_count_ = other.lane_count_;
  arena_bytes_ = other.arena_bytes_;
  return *this;
}

SessionMemory::~SessionMemory() {
  if (base_ != nullptr) ::munmap(base_, bytes_);
}

void SessionMemory::forget() {
  base_ = nullptr;
  object_.release();
}

}  // namespace mino
