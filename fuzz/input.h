// SPDX-License-Identifier: Apache-2.0
//
// The fuzzer's bytes as a stream of values; zeros when they are used up. Used by every fuzz target.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace mino {

class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  template <class T>
  T take() {
    T value{};
    bytes(&value, sizeof value);
    return value;
  }
  void bytes(void* to, size_t n) {
    const size_t here = n < left() ? n : left();
    if (here != 0) std::memcpy(to, data_ + at_, here);
    if (here < n) std::memset(static_cast<uint8_t*>(to) + here, 0, n - here);
    at_ += here;
  }
  uint32_t below(uint32_t n) { return take<uint16_t>() % n; }
  size_t left() const { return size_ - at_; }

 private:
  const uint8_t* data_;
  size_t size_;
  size_t at_ = 0;
};

// What must hold, even without assertions.
#define REQUIRE(condition)                                                 \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      std::abort();                                                        \
    }                                                                      \
  } while (0)

}  // namespace mino
