// SPDX-License-Identifier: Apache-2.0
//
// Shows pieces of client memory as text: data, addresses, vectors, message headers. Used by
// cli/trace. A piece may hold less than its length says, or nonsense. Nothing outside its bytes may
// be read; what cannot be decoded is shown as the pointer that it is.
#pragma once

#include <cstdint>
#include <cstring>
#include <span>
#include <string>

#include "cli/trace.h"

namespace mino {

using Bytes = std::span<const uint8_t>;

// "GET / HTTP/1.1\r\n"… : quoted and escaped, with dots if `whole` says that there is more.
std::string quoted(Bytes bytes, uint64_t whole);
std::string pointer_text(uint64_t address);
std::string sockaddr_text(Bytes bytes);

// The value at an offset, if the bytes reach that far.
template <class T>
std::optional<T> at(Bytes bytes, size_t offset) {
  T value;
  if (offset > bytes.size() || bytes.size() - offset < sizeof value) return {};
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

// Prints what one argument of one record points to.
class ArgumentText {
 public:
  ArgumentText(const TraceRecord& record, uint8_t argument)
      : record_(record), argument_(argument) {}

  // `limit`: how many bytes are of interest, for example after a short read.
  std::string data(uint64_t limit) const;
  std::string path() const;
  std::string sockaddr(uint64_t limit) const;
  std::string integer() const;  // "[16]": an int or a 64-bit offset behind a pointer
  std::string option_value(uint64_t level, uint64_t option, uint64_t limit) const;
  std::string epoll_event() const;
  std::string epoll_events(uint64_t count) const;
  std::string pollfds(uint64_t count) const;
  std::string times(const char* fraction) const;
  std::string fd_set(uint64_t bits) const;
  std::string vector(uint64_t count, uint64_t limit) const;
  std::string message(uint64_t limit) const;
  std::string messages(uint64_t count, bool receives) const;

 private:
  uint64_t address() const { return record_.header.args[argument_]; }
  const TraceRecord::Piece* piece(uint64_t address) const;
  const TraceRecord::Piece* own() const { return piece(address()); }
  std::string bare() const { return pointer_text(address()); }
  std::string vector_at(uint64_t address, uint64_t count, uint64_t limit) const;
  std::string header_text(Bytes header, uint64_t limit) const;

  const TraceRecord& record_;
  const uint8_t argument_;
};

}  // namespace mino
