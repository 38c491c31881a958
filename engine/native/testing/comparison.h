// SPDX-License-Identifier: Apache-2.0
//
// For tests: runs a scenario of system calls directly, and through Split and Marshal. Compares what
// each call answered and every byte that it left in the client's memory. Scenarios keep all memory
// in the Region, so that two runs can be compared literally. Never linked into a program.
#pragma once

#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "engine/native/testing/fake_client.h"

namespace mino {

// Client memory: writable, then read-only, then nothing; then the same again.
//   0        128 KiB read-write
//   128 KiB  4 KiB read-only
//   132 KiB  4 KiB nothing
//   136 KiB  8 KiB read-write
//   144 KiB  4 KiB nothing
//   148 KiB  4 KiB read-write: for a second pointer
//   152 KiB  4 KiB nothing
class Region {
 public:
  static constexpr uint64_t kOpen = 128 << 10;
  static constexpr uint64_t kBytes = kOpen + 7 * 4096;
  static constexpr uint8_t kFill = 0xa5;
  // Reserved once, so that addresses are the same in every run.
  inline static const uint64_t kBase = reinterpret_cast<uint64_t>(
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  inline static const uint64_t kReadOnly = kBase + kOpen;
  inline static const uint64_t kNothing = kReadOnly + 4096;
  inline static const uint64_t kIsland = kNothing + 4096;
  inline static const uint64_t kIslandEnd = kIsland + 8192;
  inline static const uint64_t kSecond = kIslandEnd + 4096;
  inline static const uint64_t kSecondEnd = kSecond + 4096;

  using Content = std::vector<uint8_t>;

  // Makes the memory what a program finds at its start.
  static void reset() {
    protect(kBase, kBytes, PROT_READ | PROT_WRITE);
    std::memset(reinterpret_cast<void*>(kBase), kFill, kBytes);
    protect(kReadOnly, 4096, PROT_READ);
    for (const uint64_t hole : {kNothing, kIslandEnd, kSecondEnd}) protect(hole, 4096, PROT_NONE);
  }

  // For changes of a read-only page, which a program makes before the call.
  static void open_read_only(bool open) {
    protect(kReadOnly, 4096, PROT_READ | (open ? PROT_WRITE : 0));
  }

  static void save(Content& to) {
    to.resize(kBytes);
    for (const Part& part : parts()) std::memcpy(to.data() + part.offset, part.bytes(), part.len);
  }
  static void restore(const Content& from) {
    open_read_only(true);
    for (const Part& part : parts()) std::memcpy(part.bytes(), from.data() + part.offset, part.len);
    open_read_only(false);
  }

  // " offset+length:bytes" for every run of bytes that has changed. The rest of a long run is a
  // hash.
  static std::string differences(const Content& before) {
    std::string text;
    for (const Part& part : parts()) {
      const uint8_t* const was = before.data() + part.offset;
      const uint8_t* const is = part.bytes();
      if (std::memcmp(was, is, part.len) == 0) continue;
      for (size_t i = 0; i < part.len; i++) {
        if (was[i] == is[i]) continue;
        size_t end = i;
        while (end < part.len && was[end] != is[end]) end++;
        describe(text, part.offset + i, is + i, end - i);
        i = end;
      }
    }
    return text;
  }

 private:
  struct Part {
    uint64_t offset;
    size_t len;
    uint8_t* bytes() const { return reinterpret_cast<uint8_t*>(kBase + offset); }
  };
  static std::array<Part, 3> parts() {
    return {{{0, kOpen + 4096}, {kIsland - kBase, kIslandEnd - kIsland}, {kSecond - kBase, 4096}}};
  }
  static void protect(uint64_t addr, uint64_t bytes, int protection) {
    if (::mprotect(reinterpret_cast<void*>(addr), bytes, protection) != 0) std::abort();
  }
  static void describe(std::string& text, uint64_t offset, const uint8_t* bytes, size_t n) {
    char word[64];
    std::snprintf(word, sizeof word, " %llx+%zu:", static_cast<unsigned long long>(offset), n);
    text += word;
    uint32_t hash = 17;
    for (size_t i = 0; i < n; i++) {
      hash = hash * 31 + bytes[i];
      std::snprintf(word, sizeof word, "%02x", bytes[i]);
      if (i < 32) text += word;
    }
    if (n > 32) text += "#" + std::to_string(hash);
  }
};

// What a scenario sees: memory, and a way to make calls that are logged.
class World {
 public:
  explicit World(FakeClient* client) : client_(client) {}

  template <class T = uint8_t>
  T* at(uint64_t offset) {
    return reinterpret_cast<T*>(Region::kBase + offset);
  }
  template <class T>
  static uint64_t address(T* p) {
    return reinterpret_cast<uint64_t>(p);
  }

  // Makes a call, and logs it. What a call that ended in EFAULT has left behind is up to the
  // kernel, and is undone.
  template <class... Args>
  int64_t call(const char* label, uint64_t nr, Args... arguments) {
    const uint64_t args[6] = {to_register(arguments)...};
    Region::save(before_);
    const int64_t result = client_ ? client_->call(nr, args) : FakeClient::raw(nr, args);
    if (result == -EFAULT) Region::restore(before_);
    log.push_back(std::string(label) + " = " + std::to_string(result) +
                  Region::differences(before_));
    return result;
  }

  // Only the result counts: the kernel had begun to write when the call failed, and what that left
  // is undone.
  template <class... Args>
  int64_t call_for_result(const char* label, uint64_t nr, Args... arguments) {
    const int64_t result = call(label, nr, arguments...);
    Region::restore(before_);
    log.back() = std::string(label) + " = " + std::to_string(result);
    return result;
  }

  // Places where a buffer of n bytes is good, or bad in each of the possible ways.
  static std::vector<uint64_t> places(uint64_t n) {
    return {Region::kBase + 4096,        // good
            Region::kIslandEnd - n,      // good to its end
            Region::kIslandEnd - n / 2,  // the first half is good
            Region::kIslandEnd - 1,
            Region::kReadOnly + 8,      // cannot be written
            Region::kReadOnly - n / 2,  // only the first half can be written
            Region::kNothing - n / 2,   // half read-only, half nothing
            Region::kNothing + 16,      0, 1, 0x7fffffffe000, ~uint64_t{0}, 0xffff888000000000};
  }

  // The same for another pointer of the same call: none of it overlaps.
  static std::vector<uint64_t> other_places(uint64_t n) {
    return {Region::kBase + 65536,
            Region::kSecondEnd - n,
            Region::kSecondEnd - n / 2,
            Region::kReadOnly + 2048,
            Region::kNothing + 2048,
            0,
            ~uint64_t{0}};
  }

  // Writes content wherever there is memory, as the program would have done before.
  static void put(uint64_t addr, const void* from, uint64_t n) {
    Region::open_read_only(true);
    OwnMemory::out(addr, from, n);
    Region::open_read_only(false);
  }
  template <class T>
  static void put(uint64_t addr, const T& value) {
    put(addr, &value, sizeof value);
  }

  std::vector<std::string> log;

 private:
  template <class T>
  static uint64_t to_register(T value) {
    if constexpr (std::is_pointer_v<T>) {
      return reinterpret_cast<uint64_t>(value);
    } else {
      return static_cast<uint64_t>(value);
    }
  }
  FakeClient* client_;
  Region::Content before_;
};

using Scenario = std::function<void(World&)>;

// In a network namespace of its own, with the loopback up, so that port numbers and interfaces are
// the same each time.
inline bool in_own_network(const std::function<void()>& body) {
  bool done = false;
  std::thread([&] {
    if (::unshare(CLONE_NEWNET) != 0) return;
    const int fd = ::socket(AF_INET, SOCK_DGRAM, 0);
    ifreq request{};
    std::strcpy(request.ifr_name, "lo");
    request.ifr_flags = IFF_UP;
    ::ioctl(fd, SIOCSIFFLAGS, &request);
    ::close(fd);
    body();
    done = true;
  }).join();
  return done;
}

inline std::vector<std::string> run_scenario(const Scenario& scenario, FakeClient* client) {
  Region::reset();
  World world(client);
  scenario(world);
  return world.log;
}

struct Way {
  const char* name;
  uint32_t arena_bytes;
  Windows windows;
};

inline constexpr Way kWays[] = {
    {"windows", 1 << 20, Windows::kAll},       {"no windows", 1 << 20, Windows::kNone},
    {"half windows", 1 << 20, Windows::kHalf}, {"some windows", 64 << 10, Windows::kAlternate},
    {"small arena", 4096, Windows::kAll},      {"small arena, no windows", 4096, Windows::kNone},
};

inline void compare_ways(const Scenario& scenario) {
  const bool done = in_own_network([&] {
    const std::vector<std::string> expected = run_scenario(scenario, nullptr);
    for (const Way& way : kWays) {
      FakeClient client(way.arena_bytes, way.windows);
      const std::vector<std::string> got = run_scenario(scenario, &client);
      ASSERT_EQ(got.size(), expected.size()) << way.name;
      int shown = 0;
      for (size_t i = 0; i < got.size() && shown < 8; i++) {
        EXPECT_EQ(got[i], expected[i])
            << way.name << ", call " << i << ", after " << (i ? got[i - 1] : "");
        shown += got[i] != expected[i];
      }
    }
  });
  if (!done) GTEST_SKIP() << "needs a network namespace (CAP_SYS_ADMIN)";
}

}  // namespace mino
