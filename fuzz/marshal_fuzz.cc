// SPDX-License-Identifier: Apache-2.0
//
// Fuzz target: split and marshal, for every row, with windows, arguments, arena and answers as a
// hostile client would choose them. A second walk takes the kernel's place: it follows the
// registers that came out as the kernel would, checks that nothing leads outside what the marshal
// may show, and writes wherever the kernel may write.
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <memory>

#include "engine/native/testing/fake_client.h"
#include "fuzz/input.h"

using namespace mino;

namespace {

constexpr uint64_t kKernelHalf = 0xffff800000000000;
constexpr uint64_t kSmallValue = 0xffff;

// The client's addresses are few, so that windows, arguments and structures collide.
constexpr uint64_t kClientBase = 0x500000000000;

struct Stage {
  uint32_t arena_bytes;
  uint8_t* arena;  // with an unmapped page behind it
  Scratch scratch;
  Marshal marshal{scratch};
  SessionStats stats{};

  explicit Stage(uint32_t bytes) : arena_bytes(bytes) {
    void* at =
        ::mmap(nullptr, bytes + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    REQUIRE(at != MAP_FAILED);
    arena = static_cast<uint8_t*>(at);
    REQUIRE(::mprotect(arena + bytes, 4096, PROT_NONE) == 0);
  }
  uint64_t arena_start() const { return reinterpret_cast<uint64_t>(arena); }
  uint64_t data_start() const {
    return reinterpret_cast<uint64_t>(scratch.table()) + Scratch::kTableBytes;
  }
  uint64_t guard_start() const { return data_start() + Scratch::kDataBytes; }
  uint64_t guard_end() const { return guard_start() + Scratch::kGuardBytes; }

  bool in_arena(uint64_t addr, uint64_t n) const {
    return addr >= arena_start() && addr <= arena_start() + arena_bytes &&
           n <= arena_start() + arena_bytes - addr;
  }
  bool in_scratch(uint64_t addr) const { return addr >= data_start() && addr < guard_end(); }
};

class HostileClient final : public Upcaller {
 public:
  HostileClient(Input& input, Stage& stage) : input_(input), stage_(stage) {}
  int64_t upcall(abi::CompletionKind kind, uint64_t addr, uint32_t len,
                 uint32_t arena_off) override {
    REQUIRE(kind != abi::CompletionKind::kDone);
    REQUIRE(len != 0);
    REQUIRE(addr + len >= addr);
    if (kind != abi::CompletionKind::kUpcallProbe) {
      REQUIRE(abi::inside_arena(arena_off, len, stage_.arena_bytes));
      input_.bytes(stage_.arena + arena_off, std::min<uint32_t>(len, 128));
    }
    switch (input_.below(8)) {
      case 0:
        return -EFAULT;
      case 1:
        return 0;
      case 2:
        return input_.take<int64_t>();
      case 3:
        return len / 2;
      case 4:
        return int64_t{len} & ~int64_t{4095};
      default:
        return len;
    }
  }

 private:
  Input& input_;
  Stage& stage_;
};

// Ends the call at the first byte that is not there, as the kernel does.
struct KernelReader {
  bool failed = false;
  bool read(uint64_t addr, void* to, uint32_t bytes) {
    failed = failed || OwnMemory::in(to, addr, bytes) != bytes;
    return !failed;
  }
  int64_t string(uint64_t addr, uint32_t max) {
    static char buffer[abi::kMaxPath];
    return OwnMemory::string(addr, buffer, max);
  }
};

// Checks every address that the kernel would follow, and remembers where it would write.
struct KernelSink {
  Stage& stage;
  const abi::Row& row;
  struct Range {
    uint64_t addr, len;
  };
  static constexpr uint32_t kMost = 64;
  Range outs[kMost]{}, structures[kMost]{};
  uint32_t out_count = 0, structure_count = 0, count = 0;

  // Whether it holds pointers that the kernel follows.
  bool is_structure(const abi::Piece& piece) const {
    const abi::Kind kind = row.args[piece.arg].kind;
    const bool message = kind >= abi::Kind::kMsgIn && kind <= abi::Kind::kMmsgOut;
    const bool vector = kind == abi::Kind::kIovIn || kind == abi::Kind::kIovOut;
    if (piece.parent < 0) return message || vector;
    return message && piece.len_slot == 0 && piece.slot == piece.index * 64 + 16;
  }

  int32_t piece(const abi::Piece& piece) {
    const uint64_t addr = piece.addr;
    if (addr >= kKernelHalf || addr <= kSmallValue) return -1;
    const bool structure = is_structure(piece);
    if (stage.in_arena(addr, piece.asked)) {
      // What the kernel and the marshal must agree about is never used in place.
      REQUIRE(!structure && piece.dir != 3);
    } else {
      if (!stage.in_scratch(addr)) {
        std::fprintf(stderr, "%s: argument %d, parent %d, slot %u, address %llx, %llu bytes\n",
                     row.name, piece.arg, piece.parent, piece.slot,
                     static_cast<unsigned long long>(addr),
                     static_cast<unsigned long long>(piece.asked));
      }
      REQUIRE(stage.in_scratch(addr));
    }
    if (structure && structure_count < kMost) structures[structure_count++] = {addr, piece.asked};
    if (piece.dir == 2 && out_count < kMost) outs[out_count++] = {addr, piece.asked};
    return static_cast<int32_t>(count++);
  }

  // What the kernel writes into one buffer must not change where it writes next.
  void check_overlaps() const {
    for (uint32_t i = 0; i < out_count; i++) {
      const uint64_t len =
          OwnMemory::writable(outs[i].addr, std::min<uint64_t>(outs[i].len, 1u << 20));
      for (uint32_t k = 0; k < structure_count; k++) {
        Range structure = structures[k];
        structure.len = OwnMemory::writable(structure.addr, structure.len);
        REQUIRE(outs[i].addr + len <= structure.addr ||
                structure.addr + structure.len <= outs[i].addr);
      }
    }
  }
};

uint64_t address(Input& input) {
  switch (input.below(12)) {
    case 0:
      return 0;
    case 1:
      return input.take<uint64_t>();
    case 2:
      return kKernelHalf + input.take<uint16_t>();
    case 3:
      return 0x7ffffffff000 - input.below(9000);
    default:
      return kClientBase + input.below(16384);
  }
}

void run(Stage& stage, Input& input) {
  static auto slot = std::make_unique<abi::Submission>();
  static auto checked = std::make_unique<abi::CheckedSubmission>();
  const abi::Row& row = abi::kSyscalls[input.below(abi::kSyscalls.size())];
  slot->nr = row.nr;
  slot->kind = static_cast<uint8_t>(abi::SubmissionKind::kCall);
  slot->arch = static_cast<uint8_t>(abi::Arch::kX86_64);
  slot->window_count = static_cast<uint8_t>(input.below(8));
  for (uint8_t i = 0; i < slot->window_count; i++) {
    const uint32_t place = input.below(stage.arena_bytes) & ~7u;
    slot->windows[i] = {address(input), input.below(stage.arena_bytes - place + 1),
                        place | (1 + input.below(3))};
  }
  for (uint64_t& arg : slot->args) {
    switch (input.below(8)) {
      case 0:
        arg = input.take<uint64_t>();
        break;
      case 1:
        arg = input.below(32);
        break;
      case 2:
        arg = input.take<uint32_t>();
        break;
      case 3:
        arg = input.below(8192);
        break;
      default:
        arg = address(input);
    }
  }
  // Requests and options that have a shape of their own.
  constexpr uint32_t kRequests[] = {0x8912, 0x8946, 0x890b, 0x541b,    0x89b0,
                                    0x89f1, 0x8b01, 0x8913, 0x401054d5};
  if (row.route == abi::Route::kIoctl) slot->args[1] = kRequests[input.below(9)];
  constexpr uint32_t kOptions[][2] = {{1, 26},  {0, 64}, {6, 35}, {263, 22},
                                      {0, 128}, {1, 13}, {0, 96}};
  if (row.nr == SYS_setsockopt || row.nr == SYS_getsockopt) {
    const auto& option = kOptions[input.below(7)];
    slot->args[1] = option[0];
    slot->args[2] = option[1];
    if (row.nr == SYS_setsockopt) slot->args[4] = input.below(200);
  }
  if (!abi::decode_submission(*slot, stage.arena_bytes, *checked)) return;
  input.bytes(stage.arena, 1024);

  HostileClient client(input, stage);
  Split split(*checked, stage.arena, stage.arena_bytes, client, stage.stats);
  uint64_t local[6];
  stage.marshal.prepare(row, checked->args, split, local);

  for (int i = 0; i < 6; i++) {
    const abi::Kind kind = row.args[i].kind;
    if (kind == abi::Kind::kHost || kind == abi::Kind::kSigmask || kind == abi::Kind::kNone)
      REQUIRE(local[i] == 0);
    if (kind <= abi::Kind::kFd || local[i] <= kSmallValue || local[i] >= kKernelHalf) continue;
    if (kind == abi::Kind::kFcntl && !abi::fcntl_shape(static_cast<uint32_t>(local[1])).pointer)
      continue;
    REQUIRE(stage.in_scratch(local[i]) || stage.in_arena(local[i], 0));
  }
  KernelReader reader;
  KernelSink sink{stage, row};
  abi::walk(row, local, reader, sink);
  sink.check_overlaps();

  // Meanwhile the client scribbles over the arena, and the kernel writes.
  input.bytes(stage.arena + input.below(512), 512);
  uint8_t noise[256];
  input.bytes(noise, sizeof noise);
  for (uint32_t i = 0; i < sink.out_count; i++) {
    OwnMemory::out(sink.outs[i].addr, noise, std::min<uint64_t>(sink.outs[i].len, sizeof noise));
  }
  for (int i = 0; i < 6; i++) {
    const abi::Arg& arg = row.args[i];
    if (arg.kind == abi::Kind::kMsgOut || arg.kind == abi::Kind::kMmsgOut ||
        arg.kind == abi::Kind::kMmsgIn) {
      const uint32_t messages = arg.kind == abi::Kind::kMsgOut ? 1 : 3;
      for (uint32_t k = 0; k < messages; k++) {
        const uint64_t header = local[i] + k * 64;
        OwnMemory::out(header + 8, noise + k, 4);
        OwnMemory::out(header + 40, noise + 8 + k, 12);
        if (arg.kind != abi::Kind::kMsgOut) OwnMemory::out(header + 56, noise + 20 + k, 4);
      }
    } else if (arg.kind == abi::Kind::kInOut && arg.len.how == abi::Len::kFixed) {
      OwnMemory::out(local[i], noise + 30, arg.len.unit);
    }
  }
  int64_t result = 0;
  switch (input.below(4)) {
    case 0:
      result = -static_cast<int64_t>(input.below(600));
      break;
    case 1:
      result = input.below(20000);
      break;
    case 2:
      result = input.below(5);
      break;
    default:
      result = static_cast<int64_t>(input.take<uint64_t>() >> 2);
  }
  const int64_t finished = stage.marshal.finish(result, split);
  REQUIRE(finished == result || finished == -EFAULT);
  REQUIRE(split.extent_count() <= abi::kMaxExtents);
  for (uint16_t i = 0; i < split.extent_count(); i++) {
    const abi::Extent& extent = split.extents()[i];
    REQUIRE(abi::inside_arena(extent.arena_off, extent.len, stage.arena_bytes));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static Stage small(4096), large(64 << 10);
  Input input(data, size);
  Stage& stage = input.take<uint8_t>() & 1 ? small : large;
  std::memset(stage.arena, 0, stage.arena_bytes);
  do run(stage, input);
  while (input.left() > 64);
  return 0;
}
