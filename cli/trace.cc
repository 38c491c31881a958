// SPDX-License-Identifier: Apache-2.0
#include "cli/trace.h"

#include <fcntl.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "abi/syscalls.h"
#include "cli/names.h"
#include "cli/trace_values.h"

namespace mino {

namespace {

using abi::Kind;
using abi::Print;

constexpr uint32_t kFcntl = 72;  // its third argument depends on the second

std::string decimal(uint64_t value) {
  return std::to_string(static_cast<int64_t>(value));
}

// A register that holds an int may have anything in its upper half.
std::string int_text(uint64_t value) {
  return std::to_string(static_cast<int32_t>(value));
}

class Line {
 public:
  Line(const TraceRecord& record, const abi::Row& row)
      : record_(record), row_(row), args_(record.header.args) {}

  std::string arguments() const {
    uint8_t count = 6;
    while (count > 0 && row_.args[count - 1].kind == Kind::kNone) count--;
    std::string text;
    for (uint8_t i = 0; i < count; i++) text += (i == 0 ? "" : ", ") + argument(i);
    return text;
  }

  std::string result() const {
    const int64_t value = record_.header.result;
    if (value < 0 && value > -4096) return "-1 " + names::error_name(-value);
    std::string text = std::to_string(value);
    if (row_.nr == kFcntl && args_[1] == F_GETFL)
      text += " (" + names::open_flags(static_cast<uint64_t>(value)) + ")";
    if (row_.nr == kFcntl && args_[1] == F_GETFD)
      text += " (" + names::descriptor_flags(static_cast<uint64_t>(value)) + ")";
    return text;
  }

 private:
  bool failed() const { return record_.header.result < 0; }

  // Whether this argument is the length of another one's memory. If so, it is never negative.
  bool is_count(uint8_t i) const {
    for (const abi::Arg& arg : row_.args) {
      if (arg.len.how == abi::Len::kArg && arg.len.arg == i && arg.kind != Kind::kNone &&
          arg.len.unit != 0)
        return true;
    }
    return false;
  }

  // How much of the memory behind argument i is worth showing.
  uint64_t limit(uint8_t i) const {
    const abi::Arg& arg = row_.args[i];
    const auto written = static_cast<uint64_t>(std::max<int64_t>(record_.header.result, 0));
    const bool out =
        arg.kind == Kind::kOut || arg.kind == Kind::kIovOut || arg.kind == Kind::kMsgOut;
    if (out && (arg.wrote == abi::Wrote::kResult || arg.wrote == abi::Wrote::kVector ||
                arg.wrote == abi::Wrote::kMsg)) {
      return written;
    }
    if (arg.len.how == abi::Len::kSockLen) return length_behind(arg.len.arg);
    return UINT64_MAX;
  }

  // The value of the socklen_t that argument i points to.
  uint64_t length_behind(uint8_t i) const {
    for (const TraceRecord::Piece& piece : record_.pieces) {
      if (piece.about.arg != i) continue;
      if (const auto value = at<uint32_t>(piece.bytes, 0)) return *value;
    }
    return UINT64_MAX;
  }

  std::string argument(uint8_t i) const {
    const abi::Arg& arg = row_.args[i];
    const uint64_t value = args_[i];
    switch (arg.kind) {
      case Kind::kNone:
      case Kind::kValue:
      case Kind::kFd:
        return plain(i, arg.print, value);
      case Kind::kHost:
      case Kind::kSigmask:
        return pointer_text(value);
      // A failed call has written nothing, so only the address is of interest.
      case Kind::kOut:
      case Kind::kIovOut:
      case Kind::kMsgOut:
      case Kind::kMmsgOut:
        return failed() ? pointer_text(value) : memory(i, arg);
      case Kind::kFcntl:
        return fcntl_argument(i, value);
      default:
        return memory(i, arg);
    }
  }

  std::string plain(uint8_t i, Print print, uint64_t value) const {
    const uint64_t low = value & 0xffffffff;  // these are ints
    char text[32];
    switch (print) {
      case Print::kHex:
        std::snprintf(text, sizeof text, "%#" PRIx64, value);
        return text;
      case Print::kPointer:
        return pointer_text(value);
      case Print::kFd:
        return static_cast<int32_t>(value) == AT_FDCWD ? "AT_FDCWD" : int_text(value);
      case Print::kFamily:
        return names::family(low);
      case Print::kSockType:
        return names::socket_type(low);
      case Print::kProtocol:
        return names::protocol(args_[0] & 0xffffffff, low);
      case Print::kMsgFlags:
        return names::message_flags(low);
      case Print::kOpenFlags:
        return names::open_flags(low);
      case Print::kMode:
        std::snprintf(text, sizeof text, "%#o", static_cast<unsigned>(low));
        return text;
      case Print::kAtFlags:
        return names::at_flags(low);
      case Print::kLevel:
        return names::level(low);
      case Print::kOptName:
        return names::option(args_[1] & 0xffffffff, low);
      case Print::kEpollOp:
        return names::epoll_operation(low);
      case Print::kIoctl:
        return names::ioctl_request(low);
      case Print::kFcntlCmd:
        return names::fcntl_command(low);
      case Print::kHow:
        return names::shutdown_how(low);
      case Print::kWhence:
        return names::whence(low);
      case Print::kSpliceFlags:
        return names::splice_flags(low);
      default:
        break;
    }
    if (is_count(i)) return std::to_string(value);
    return value >> 31 == 1 ? int_text(value) : decimal(value);
  }

  std::string memory(uint8_t i, const abi::Arg& arg) const {
    const ArgumentText text(record_, i);
    const uint64_t count = arg.len.how == abi::Len::kArg ? args_[arg.len.arg] : 0;
    const auto result = static_cast<uint64_t>(std::max<int64_t>(record_.header.result, 0));
    switch (arg.kind) {
      case Kind::kPath:
      case Kind::kString:
        return text.path();
      case Kind::kIovIn:
      case Kind::kIovOut:
        return text.vector(count, limit(i));
      case Kind::kMsgIn:
      case Kind::kMsgOut:
        return text.message(limit(i));
      case Kind::kMmsgIn:
        return text.messages(count & 0xffffffff, false);
      case Kind::kMmsgOut:
        return text.messages(result, true);
      case Kind::kFdSet:
        return text.fd_set(count & 0xffffffff);
      default:
        break;
    }
    switch (arg.print) {
      case Print::kSockaddr:
        return text.sockaddr(limit(i));
      case Print::kOptValue:
        return text.option_value(args_[1] & 0xffffffff, args_[2] & 0xffffffff, limit(i));
      case Print::kEpollEvent:
        return text.epoll_event();
      case Print::kEpollEvents:
        return text.epoll_events(result);
      case Print::kPollfds:
        return text.pollfds(count & 0xffffffff);
      case Print::kTimespec:
        return text.times("tv_nsec");
      case Print::kTimeval:
        return text.times("tv_usec");
      case Print::kData:
        return text.data(limit(i));
      case Print::kStruct: {
        const bool small =
            arg.len.how == abi::Len::kFixed && (arg.len.unit == 4 || arg.len.unit == 8);
        return small ? text.integer() : pointer_text(args_[i]);
      }
      default:
        return arg.kind == Kind::kIoctl ? text.integer() : pointer_text(args_[i]);
    }
  }

  std::string fcntl_argument(uint8_t i, uint64_t value) const {
    switch (args_[1]) {
      case F_SETFL:
        return names::open_flags(value & 0xffffffff);
      case F_SETFD:
        return names::descriptor_flags(value & 0xffffffff);
      case F_GETFL:
      case F_GETFD:
        return "0";
      case F_DUPFD:
      case F_DUPFD_CLOEXEC:
        return int_text(value);
      default:
        return plain(i, Print::kHex, value);
    }
  }

  const TraceRecord& record_;
  const abi::Row& row_;
  const uint64_t* args_;
};

std::string plural(unsigned count, const char* noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace

std::optional<TraceRecord> TraceRecord::parse(std::span<const uint8_t> bytes) {
  TraceRecord record;
  if (bytes.size() < sizeof record.header || bytes.size() > abi::kMaxTraceRecord) return {};
  std::memcpy(&record.header, bytes.data(), sizeof record.header);
  if (record.header.magic != abi::kTraceMagic) return {};
  record.cut = (record.header.flags & abi::kTraceCut) != 0;
  bytes = bytes.subspan(sizeof record.header);
  for (uint16_t i = 0; i < record.header.piece_count; i++) {
    Piece piece;
    if (bytes.size() < sizeof piece.about) return {};
    std::memcpy(&piece.about, bytes.data(), sizeof piece.about);
    bytes = bytes.subspan(sizeof piece.about);
    if (piece.about.kept > bytes.size() || piece.about.kept > abi::kMaxTraceKept) return {};
    piece.bytes = bytes.first(piece.about.kept);
    bytes = bytes.subspan(piece.about.kept);
    record.pieces.push_back(piece);
  }
  return record;
}

std::string trace_line(std::span<const uint8_t> bytes) {
  const auto record = TraceRecord::parse(bytes);
  if (!record) return {};
  const abi::TraceHeader& header = record->header;
  // A call that is not in the table has six registers and no names.
  abi::Row unknown;
  for (abi::Arg& arg : unknown.args) arg = {Kind::kValue, Print::kHex, {}, {}};
  const abi::Row* row = abi::find_row(header.nr);
  const Line line(*record, row != nullptr ? *row : unknown);

  std::string text = "[pid " + std::to_string(header.pid);
  if (header.tid != header.pid) text += " tid " + std::to_string(header.tid);
  text += "] " +
          (row != nullptr ? std::string(row->name) : "syscall_" + std::to_string(header.nr)) + "(" +
          line.arguments() + ")";
  char figures[96];
  std::snprintf(figures, sizeof figures, " <%u.%06u s, ", header.duration_ns / 1'000'000'000,
                header.duration_ns % 1'000'000'000 / 1000);
  return text + " = " + line.result() + figures + plural(header.round_trips, "trip") + ", " +
         plural(header.upcalls, "upcall") + ">";
}

}  // namespace mino
