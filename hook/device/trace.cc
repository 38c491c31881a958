// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/trace.h. The thread that made a call makes its record afterwards: what the kernel
// has read is still in memory, and what it has written has arrived.
#include "hook/device/trace.h"

#include "abi/trace.h"
#include "abi/walk.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/state/process.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

struct UserReader {
  bool read(u64 from, void* to, u32 bytes) { return user_read(from, to, bytes); }
  i64 string(u64 from, u32 max) {
    char text[abi::kMaxPath];
    return user_string(from, text, min(max, sizeof text));
  }
};

class RecordSink {
 public:
  explicit RecordSink(u8* record) : record_(record) {}

  int32_t piece(const abi::Piece& piece) {
    const u64 kept = min(piece.len, abi::kMaxTraceKept);
    if (used_ + sizeof(abi::TracePiece) + kept > abi::kMaxTraceRecord) {
      header().flags |= abi::kTraceCut;
      return -2;
    }
    u8* data = record_ + used_ + sizeof(abi::TracePiece);
    const abi::TracePiece out{piece.addr, static_cast<u32>(piece.len),
                              static_cast<u16>(user_copy_in(data, piece.addr, kept)), piece.arg,
                              static_cast<u8>(piece.dir)};
    copy(record_ + used_, &out, sizeof out);
    used_ += sizeof out + out.kept;
    return header().piece_count++;
  }

  u64 used() const { return used_; }

 private:
  abi::TraceHeader& header() { return *reinterpret_cast<abi::TraceHeader*>(record_); }

  u8* record_;
  u64 used_ = sizeof(abi::TraceHeader);
};

u64 now_ns() {
  u64 t[2];
  raw(__NR_clock_gettime, CLOCK_MONOTONIC, ptr(t));
  return t[0] * 1'000'000'000 + t[1];
}

}  // namespace

void trace_begin(ThreadState* ts) {
  if (settings.trace_fd >= 0) ts->call_start_ns = now_ns();
}

void trace_end(ThreadState* ts, const abi::Row& row, const u64 args[6], long result) {
  if (settings.trace_fd < 0) return;
  alignas(8) u8 record[abi::kMaxTraceRecord];
  abi::TraceHeader header{};
  const u64 took = now_ns() - ts->call_start_ns;
  header.magic = abi::kTraceMagic;
  header.pid = static_cast<u32>(raw(__NR_getpid));
  header.tid = static_cast<u32>(raw(__NR_gettid));
  header.nr = row.nr;
  header.result = result;
  header.start_ns = ts->call_start_ns;
  header.duration_ns = took > ~0u ? ~0u : static_cast<u32>(took);
  header.round_trips = static_cast<u16>(ts->call_trips);
  header.upcalls = static_cast<u16>(ts->call_upcalls);
  copy(header.args, args, sizeof header.args);
  copy(record, &header, sizeof header);
  UserReader reader;
  RecordSink sink(record);
  abi::walk(row, args, reader, sink);
  raw(__NR_sendto, static_cast<u64>(settings.trace_fd), ptr(record), sink.used(), MSG_NOSIGNAL, 0,
      0);
}

}  // namespace mino::hook
