// SPDX-License-Identifier: Apache-2.0
//
// Session memory: the pages that a client and its proxy share. One sealed memory object per session
// holds a header and `lane_count` lanes; a lane belongs to one client thread and one proxy thread.
// Used by hook/, by channel/ and by every engine. Nothing here may be trusted after it was written
// by the other side: read a field once into private memory, check it, then use the copy.
//
//   offset                         content
//   0                              SessionHeader (two pages)
//   8192 + i * lane_stride         lane i:
//      + 0                           LaneControl (one page, four cache lines used)
//      + 4096                        submission ring, kRingSlots x Submission (1024 B)
//      + 4096 +  8 KiB               completion ring, kRingSlots x Completion (1024 B)
//      + 4096 + 16 KiB               arena, arena_bytes
//
// A slot is published by its `turn`: position p (counting from 0) lives in slot p % kRingSlots and
// is ready when turn == p + 1 (mod 2^32). Publication is one release store of `turn` after the rest
// of the slot; it pairs with the acquire load of the consumer, which therefore finds request and
// signal in the same cache line: a null call costs two line transfers. Rejected: separate head and
// tail indexes (two more lines per call) and one mailbox per lane (asynchronous calls need order
// and depth).
//
// Sleeping: a consumer that stops spinning stores its `*_sleeping` word (seq_cst), looks at the
// slot once more, and then waits with FUTEX_WAIT on the slot's `turn`. A producer publishes,
// executes a full fence, and wakes the futex only if the word says so. The two fences pair
// (store-buffer pattern): one of the two sides sees the other, so no wake-up is lost. A device
// whose lanes sleep together waits on the session's doorbell instead, by the same rules
// (SessionHeader).
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "abi/limits.h"

namespace mino::abi {

inline constexpr uint64_t kMagic = 0x314f4e494dull;  // "MINO1"
inline constexpr uint32_t kPage = 4096;

enum class Arch : uint8_t { kX86_64 = 1, kAarch64 = 2 };

// What a submission is. kCall carries a system call; kOp one of mino's own operations (Op, in
// `nr`); kUpcallReply answers the upcall that the device posted last: args[0] = bytes served or
// -errno.
enum class SubmissionKind : uint8_t { kCall = 1, kOp = 2, kUpcallReply = 3 };

enum class CompletionKind : uint8_t {
  kDone = 1,          // result is final; extents say what was copied out into windows
  kUpcallRead = 2,    // client memory extents[0].addr, len bytes -> arena at arena_off
  kUpcallWrite = 3,   // arena at arena_off, len bytes -> client memory
  kUpcallString = 4,  // like kUpcallRead, but stop after the first NUL; answers bytes including it
  kUpcallProbe = 5,   // how many bytes from addr are writable, up to len? Changes nothing
};

// Operations of mino's own (SubmissionKind::kOp).
enum class Op : uint32_t {
  kFork = 1,       // forks this proxy; the new session's socket and memory arrive on the control
                   // socket
  kListFds = 2,    // args: buffer, bytes. Fills a bitmap of open fds; result: bytes that matter
  kLaneExit = 3,   // the client thread ends: the lane thread drops per-thread state and waits for
                   // the next owner
  kExport = 4,     // args: fd. Result: an id under which any session of this device can import the
                   // open file, as long as its parcel is open. The parcel arrives on the control
                   // socket
  kImport = 5,     // args: id. Installs the exported file at install_fd
  kNull = 6,       // result: 0; measures the channel
  kMap = 7,        // args: fd, bytes to map. The file to map arrives on the control socket
                   // (Mapped). Result: how many more follow, to be mapped behind it
  kStandIn = 8,    // args: pid of a client, as on its host. Result: the task of the device whose
                   // /proc/PID/fd shows what that client has open; with kAsSender, the process
                   // that is the sender of what it sends
  kSetOwner = 9,   // who gets the signals of an open file, on the client's host (linux engine only;
                   // with the native engine, fcntl says it). args: fd | Owner << 32 | kOnlySocket;
                   // pid (0: nobody) | the client's own pid << 32
  kGetOwner = 10,  // args: fd | kOnlySocket. Result: Owner << 32 | pid
  kSettle = 11,    // args: id. A descriptor of that parcel has been closed here: was it the last?
  kPipe = 12,      // args: number of the read end, of the write end. A pipe of the device's kernel
  kNewUsers = 13,  // args: CLONE_NEWUSER, CLONE_NEWNET, both, or 0. The client is in a new user
                   // namespace; the linux engine makes one as well. With the native engine, and
                   // with 0, the lane only has no capabilities over the device any more
};

enum class Owner : uint32_t { kThread = 0, kProcess = 1, kGroup = 2 };
inline constexpr uint64_t kAsSender = 1;
inline constexpr uint64_t kOnlySocket = 1ull << 63;  // other files: ENOTTY, as for FIOSETOWN

enum SubmissionFlags : uint8_t {
  // The call is part of a mixed wait: the client may sleep on its bell (an eventfd).
  kFlagBell = 1,
  // Credentials change for this lane alone: the other lanes have them already.
  kFlagOwnCredentials = 2,
};

enum WindowDir : uint32_t { kWindowIn = 1, kWindowOut = 2, kWindowInOut = 3 };

// A piece of client memory that travels with the request. Arena offsets are 8-byte aligned; the low
// three bits of `place` hold the direction.
struct Window {
  uint64_t addr;
  uint32_t len;
  uint32_t place;

  uint32_t arena_off() const { return place & ~7u; }
  uint32_t dir() const { return place & 7u; }
};
static_assert(sizeof(Window) == 16);

struct Submission {
  std::atomic<uint32_t> turn;   // offset 0
  uint32_t nr;                  // 4: system-call number of `arch`, or Op
  int32_t install_fd;           // 8: where a new file goes, or -1
  uint8_t kind;                 // 12: SubmissionKind
  uint8_t flags;                // 13: SubmissionFlags
  uint8_t window_count;         // 14
  uint8_t arch;                 // 15: Arch
  uint64_t args[6];             // 16
  Window windows[kMaxWindows];  // 64
};
static_assert(sizeof(Submission) == 1024 && offsetof(Submission, args) == 16 &&
              offsetof(Submission, windows) == 64);

// A piece of an out-window that the device filled: copy len bytes from arena_off to addr.
struct Extent {
  uint64_t addr;
  uint32_t len;
  uint32_t arena_off;
};
static_assert(sizeof(Extent) == 16);

struct Completion {
  std::atomic<uint32_t> turn;   // offset 0
  uint8_t kind;                 // 4: CompletionKind
  uint8_t reserved;             // 5
  uint16_t extent_count;        // 6
  int64_t result;               // 8: of the call; -512…-516 are the kernel's ERESTART codes
  Extent extents[kMaxExtents];  // 16
};
static_assert(sizeof(Completion) == 1024 && offsetof(Completion, extents) == 16);

// Restart codes as in include/linux/errno.h: the client decides, as arch/x86/kernel/signal.c does.
inline constexpr int64_t kErestartsys = -512;
inline constexpr int64_t kErestartnointr = -513;
inline constexpr int64_t kErestartnohand = -514;
inline constexpr int64_t kErestartRestartblock = -516;

// Processes that share a descriptor table share its session: kOwned + n is a lane of the n-th one.
enum class LaneState : uint32_t { kFree = 0, kOwned = 1 };
// Whether a lane thread serves a lane. The device may have none left to give.
enum Attached : uint32_t { kNoLane = 0, kServes = 1, kNoThread = 2 };
enum Sleeping : uint32_t { kAwake = 0, kOnFutex = 1, kOnBell = 2 };

struct alignas(64) LaneControl {
  // Written by the client.
  alignas(64) uint32_t reserved;          // 0
  std::atomic<uint32_t> client_sleeping;  // 4: Sleeping
  std::atomic<uint32_t> cancel_turn;      // 8: turn of the submission to interrupt, or 0
  // Written by the device.
  alignas(64) std::atomic<uint32_t> device_sleeping;  // 64: Sleeping
  std::atomic<uint32_t> attached;                     // 68: futex; Attached
  // The lane thread's tid | FUTEX_WAITERS, entered in its robust list: when the thread dies,
  // however violently, the kernel sets FUTEX_OWNER_DIED here and wakes the client
  // (Documentation/locking/robust-futexes).
  alignas(64) std::atomic<uint32_t> liveness;  // 128
  // Where the device reads and writes next. A client that takes a lane over starts from these.
  alignas(64) std::atomic<uint32_t> submission_position;  // 192
  std::atomic<uint32_t> completion_position;              // 196
};
static_assert(sizeof(LaneControl) == 256 && offsetof(LaneControl, device_sleeping) == 64 &&
              offsetof(LaneControl, liveness) == 128 &&
              offsetof(LaneControl, submission_position) == 192);

struct SessionHeader {
  uint64_t magic;        // 0
  uint32_t version;      // 8
  uint32_t lane_count;   // 12
  uint32_t lane_stride;  // 16
  uint32_t arena_bytes;  // 20
  uint64_t session_id;   // 24
  uint64_t total_bytes;  // 32
  // An engine whose lanes sleep together says so here instead of in each lane's device_sleeping
  // (0: awake); the client then adds one to `doorbell` and wakes that futex.
  alignas(64) std::atomic<uint32_t> device_sleeping;  // 64
  std::atomic<uint32_t> doorbell;                     // 68
  // Written by the client: LaneState by lane; claimed by compare-exchange. They are here because a
  // client maps no lane that it does not use.
  alignas(64) std::atomic<uint32_t> lane_states[kMaxLanes];  // 128
};
static_assert(offsetof(SessionHeader, device_sleeping) == 64 &&
              offsetof(SessionHeader, lane_states) == 128);

inline constexpr uint32_t kHeaderBytes = 2 * kPage;
static_assert(sizeof(SessionHeader) <= kHeaderBytes);
inline constexpr uint32_t kSubmissionsOffset = kPage;
inline constexpr uint32_t kCompletionsOffset = kSubmissionsOffset + kRingSlots * 1024;
inline constexpr uint32_t kArenaOffset = kCompletionsOffset + kRingSlots * 1024;

constexpr uint32_t lane_stride(uint32_t arena_bytes) {
  return kArenaOffset + ((arena_bytes + kPage - 1) & ~(kPage - 1));
}
constexpr uint64_t session_bytes(uint32_t lanes, uint32_t arena_bytes) {
  return kHeaderBytes + uint64_t{lanes} * lane_stride(arena_bytes);
}
constexpr uint64_t lane_offset(uint32_t lane, uint32_t arena_bytes) {
  return kHeaderBytes + uint64_t{lane} * lane_stride(arena_bytes);
}

// One lane as either side sees it: pointers into the mapping, computed once from checked numbers.
struct LaneView {
  std::atomic<uint32_t>* state = nullptr;
  LaneControl* control = nullptr;
  Submission* submissions = nullptr;
  Completion* completions = nullptr;
  uint8_t* arena = nullptr;
  uint32_t arena_bytes = 0;

  static LaneView at(void* session, uint32_t lane, uint32_t arena_bytes) {
    return at(session, lane, static_cast<uint8_t*>(session) + lane_offset(lane, arena_bytes),
              arena_bytes);
  }
  // For a lane that is mapped apart from the session's header.
  static LaneView at(void* header, uint32_t lane, uint8_t* base, uint32_t arena_bytes) {
    return {&static_cast<SessionHeader*>(header)->lane_states[lane],
            reinterpret_cast<LaneControl*>(base),
            reinterpret_cast<Submission*>(base + kSubmissionsOffset),
            reinterpret_cast<Completion*>(base + kCompletionsOffset),
            base + kArenaOffset,
            arena_bytes};
  }
};

}  // namespace mino::abi
