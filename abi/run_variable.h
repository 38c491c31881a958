// SPDX-License-Identifier: Apache-2.0
//
// The variable MINO_RUN: what a program under mino is told of its device. `mino run` writes it
// (cli/hand_over.cc, cli/run.cc). The hook reads it and takes it out of the program's environment
// at start, and puts it back at every execve with fields of its own (hook/start/environment.cc,
// hook/start/home.cc). Both sides write and read by this header alone. It calls nothing: hook/ has
// no libc.
//
//   variable = "MINO_RUN=" [ field *( ";" field ) ]
//   field    = name "=" value
//
//   name      value                   meaning
//
//   written by `mino run`:
//   v         1                       the version; with another one, the hook does nothing
//   sock      PATH                    minod's socket
//   hook      auto|patch|sud|preload  how calls are caught (auto: patch and sud)
//   windows   0|1                     1: a submission carries the buffers that it names
//   arena     BYTES                   of each lane; 0: the device's default
//   trace     FD|-1                   where trace records go; -1: nowhere
//   families  N,N                     address families that are offloaded
//   netlinks  N,N                     the only protocols of AF_NETLINK that are offloaded
//   paths     PATH:PATH               prefixes served by the device
//   orig      0|1                     1: LD_PRELOAD was set before: what follows our own entry
//                                     there is the user's
//   instance  N                       the kernel instance that serves the program
//   netns     0|1                     1: the device makes the program's network namespaces
//   load      0|1                     1: libminoc.so loads dynamic programs, too
//   rest      CALLS                   after which the trap may be disarmed; 0: never
//
//   written by the hook, for the next program:
//   s         FD                      the session's socket
//   p         FD                      the placeholder of offloaded descriptors
//   b         FD                      the broken socket that stands for them after the device's
//                                     death
//   c         1|2                     credentials have changed; 2: in another user namespace
//   r         ADDRESS                 under a seccomp filter: where the library goes
//   f         FD                      under a seccomp filter: the memfd that holds the filters
//   l         0                       symbolic links are not followed
//   d         1                       the working directory is on the device
//   k         SITES                   common sites of libc (hook/catch/warm.h)
//
//   written by either, always last:
//   x         PATH                    what libminoc.so loads, when it is executed in PATH's place
//
// A value ends at the next ";" and cannot hold one. The value of x is an exception: it is all that
// follows, since a path may hold anything. Prefixes of `paths` hold no ":" either; `mino run`
// refuses those that would (base/policy.cc, base/run_dir.cc). Numbers are decimal.
//
// The reader refuses nothing but another version, since its text comes from a `mino run` of the
// same build. A number ends where its digits end. An unknown field, or one without "=", is handed
// on as it is. Of a field that comes twice, the last one counts. Rejected: a binary form, which
// `env` and a debugger would not show; a file, which a program in another mount namespace would not
// find.
#pragma once

#include <cstddef>
#include <cstdint>

namespace mino::abi {

inline constexpr char kRunVariable[] = "MINO_RUN";
inline constexpr char kRunPrefix[] = "MINO_RUN=";  // as in the environment

// The loader needs an LD_PRELOAD that names the hook's library. The program's own travels in its
// own place under a name of the same length, so that it arrives as the program wrote it: empty,
// with blanks, more than once. The hook's two variables follow last: what the program sees of its
// environment ends before them.
inline constexpr char kPreloadPrefix[] = "LD_PRELOAD=";
inline constexpr char kKeptPreloadPrefix[] = "MINO_PRELD=";
static_assert(sizeof kPreloadPrefix == sizeof kKeptPreloadPrefix);

// The most characters that `mino run` writes, x not included: the hook keeps the text in buffers.
inline constexpr size_t kMaxRunText = 1000;
inline constexpr uint64_t kRunVersion = 1;

// In the order of the table above.
enum class RunName : uint8_t {
  kVersion,
  kSocket,
  kHook,
  kWindows,
  kArena,
  kTrace,
  kFamilies,
  kNetlinks,
  kPaths,
  kUserPreload,
  kInstance,
  kNetns,
  kLoadAll,
  kRestAfter,
  kSession,
  kPlaceholder,
  kBroken,
  kCredentialsChanged,
  kHome,
  kFilters,
  kLinks,
  kDirectory,
  kWarmSites,
  kProgram,
  kUnknown,
};

// Names lie in the array itself: nothing here needs a relocation.
inline constexpr char kRunNames[][10] = {
    "v",     "sock", "hook",     "windows", "arena", "trace", "families", "netlinks",
    "paths", "orig", "instance", "netns",   "load",  "rest",  "s",        "p",
    "b",     "c",    "r",        "f",       "l",     "d",     "k",        "x"};
static_assert(sizeof kRunNames / sizeof kRunNames[0] == static_cast<size_t>(RunName::kUnknown));

// One field of a variable that is being read.
struct RunField {
  RunName name;
  const char* text;   // the whole field
  size_t bytes;       // its length, up to the ";" or the end
  const char* value;  // ends as the field does

  // Whether the next program gets the field as it is. The hook writes the others anew.
  constexpr bool is_handed_on() const {
    return name < RunName::kSession || name == RunName::kUnknown;
  }

  // Digits up to anything else; 0 without any.
  constexpr uint64_t number() const {
    const char* at = value;
    return read_number(at);
  }
  // -1 for any negative number.
  constexpr int descriptor() const { return *value == '-' ? -1 : static_cast<int>(number()); }
  // 0 or 1; `otherwise` for anything else.
  constexpr bool flag(bool otherwise) const {
    return *value == '1' || (otherwise && *value != '0');
  }
  // A list of numbers as a set; those from 32 on are left out.
  constexpr uint32_t set() const {
    uint32_t bits = 0;
    for (const char* at = value; is_digit(*at);) {
      const uint64_t n = read_number(at);
      if (n < 32) bits |= 1u << n;
      if (*at == ',') at++;
    }
    return bits;
  }
  // The value with a NUL, cut to the room that there is.
  constexpr void copy(char* to, size_t room) const {
    size_t n = 0;
    while (value + n < text + bytes && n + 1 < room) {
      to[n] = value[n];
      n++;
    }
    to[n] = 0;
  }
  // Prefixes, each with a NUL and without the slash at its end; answers how many there are. The
  // last one is cut to the room that there is, so give room for kMaxRunText.
  constexpr uint32_t paths(char* to, size_t room) const {
    char* const begin = to;
    char* const end = to + room;
    uint32_t count = 0;
    for (const char* at = value; at < text + bytes;) {
      while (at < text + bytes && *at != ':' && to + 2 < end) *to++ = *at++;
      if (to > begin && to[-1] == '/') to--;
      *to++ = 0;
      count++;
      while (*at == ':') at++;
      if (to + 2 >= end) break;
    }
    return count;
  }
  constexpr bool begins(const char* word) const {
    const char* at = value;
    while (*word && *at == *word) at++, word++;
    return *word == 0;
  }

 private:
  static constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
  static constexpr uint64_t read_number(const char*& at) {
    uint64_t n = 0;
    while (is_digit(*at)) n = n * 10 + static_cast<uint64_t>(*at++ - '0');
    return n;
  }
};

// Steps through what follows kRunPrefix.
class RunReader {
 public:
  explicit constexpr RunReader(const char* text) : at_(text) {}

  // False at the end.
  constexpr bool next(RunField& field) {
    if (*at_ == 0) return false;
    const char* equals = at_;
    while (*equals && *equals != '=' && *equals != ';') equals++;
    field.name = *equals == '=' ? find(at_, equals) : RunName::kUnknown;
    field.text = at_;
    field.value = equals + 1;  // looked at only where the name is known
    const char* end = equals;
    while (*end && (*end != ';' || field.name == RunName::kProgram)) end++;
    field.bytes = static_cast<size_t>(end - at_);
    at_ = *end ? end + 1 : end;
    return true;
  }

 private:
  static constexpr RunName find(const char* begin, const char* end) {
    for (uint8_t i = 0; i < static_cast<uint8_t>(RunName::kUnknown); i++) {
      const char* at = begin;
      const char* name = kRunNames[i];
      while (at < end && *name && *at == *name) at++, name++;
      if (at == end && *name == 0) return static_cast<RunName>(i);
    }
    return RunName::kUnknown;
  }

  const char* at_;
};

// Appends fields to `out`, which has push_back(char): a string, or a buffer with room enough.
template <class Out>
class RunWriter {
 public:
  enum class Start { kEmpty, kAfterOthers };

  constexpr RunWriter(Out& out, Start start) : out_(out), first_(start == Start::kEmpty) {}

  // The caller appends the value itself.
  constexpr void name(RunName name) {
    if (!first_) out_.push_back(';');
    first_ = false;
    put(kRunNames[static_cast<size_t>(name)]);
    out_.push_back('=');
  }
  constexpr void number(RunName field, uint64_t n) {
    name(field);
    put(n);
  }
  // Any negative `fd` means none.
  constexpr void descriptor(RunName field, int fd) {
    name(field);
    if (fd < 0) return put("-1");
    put(static_cast<uint64_t>(fd));
  }
  constexpr void flag(RunName field, bool value) { number(field, value ? 1 : 0); }
  constexpr void text(RunName field, const char* value) {
    name(field);
    put(value);
  }
  template <class Numbers>
  constexpr void set(RunName field, const Numbers& numbers) {
    name(field);
    bool first = true;
    for (const auto n : numbers) {
      if (!first) out_.push_back(',');
      first = false;
      put(static_cast<uint64_t>(n));
    }
  }
  template <class Paths>
  constexpr void paths(RunName field, const Paths& paths) {
    name(field);
    bool first = true;
    for (const auto& path : paths) {
      if (!first) out_.push_back(':');
      first = false;
      for (const char c : path) out_.push_back(c);
    }
  }

 private:
  constexpr void put(const char* text) {
    while (*text) out_.push_back(*text++);
  }
  constexpr void put(uint64_t n) {
    char digits[20]{};
    int count = 0;
    do digits[count++] = static_cast<char>('0' + n % 10);
    while (n /= 10);
    while (count) out_.push_back(digits[--count]);
  }

  Out& out_;
  bool first_;
};

}  // namespace mino::abi
