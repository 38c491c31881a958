// SPDX-License-Identifier: Apache-2.0
//
// See hook/start/home.h.
#include "hook/start/home.h"

#include "abi/patience.h"
#include "abi/run_variable.h"
#include "hook/base/library.h"
#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/start/program_file.h"

extern "C" {
extern const mino::hook::u64 _DYNAMIC[] __attribute__((visibility("hidden")));
}

namespace mino::hook {

// Between the addresses where the kernel puts programs with their heaps, and those where it puts
// everything else. The lower half is that of this copy, so that the front compares it only once for
// both.
u64 choose_home() {
  constexpr u64 kLowest = 0x5800, kPlaces = 0x100;
  u64 random = mino_cycles() >> 4;
  raw(__NR_getrandom, ptr(&random), sizeof random, GRND_NONBLOCK);
  return (kLowest + random % kPlaces) << 32 | (base() & 0xffffffff);
}

void relocate() {
  u64 at = 0, bytes = 0;
  for (const u64* entry = _DYNAMIC; entry[0]; entry += 2) {
    if (entry[0] == DT_RELA) at = base() + entry[1];
    if (entry[0] == DT_RELASZ) bytes = entry[1];
  }
  const auto* rela = reinterpret_cast<const Elf64_Rela*>(at);
  for (u64 i = 0; i < bytes / sizeof(Elf64_Rela); i++)
    *reinterpret_cast<u64*>(base() + rela[i].r_offset) =
        base() + static_cast<u64>(rela[i].r_addend);
}

u64 home_in(char** envp) {
  for (char** e = envp; *e; e++) {
    if (!starts_with(*e, abi::kRunPrefix)) continue;
    abi::RunReader reader(*e + sizeof abi::kRunPrefix - 1);
    for (abi::RunField field; reader.next(field);) {
      if (field.name == abi::RunName::kHome) return field.number();
    }
  }
  return 0;
}

long map_at_home(char** envp, u64 home) {
  char path[kMaxProgramPath];
  path[0] = 0;
  for (char** e = envp; *e; e++) {
    if (!starts_with(*e, "LD_PRELOAD=")) continue;
    const char* from = *e + 11;  // our library comes first
    u64 n = 0;
    for (; from[n] && from[n] != ':' && from[n] != ' ' && n + 1 < sizeof path; n++)
      path[n] = from[n];
    path[n] = 0;
  }
  return map_again(path, __ehdr_start, home);
}

void tell_no_way_home(long error) {
  char text[200];
  char* end = print(text,
                    "mino: the seccomp filter that this program was executed under leaves no way "
                    "to hook it (openat, mmap: error ");
  end = print_number(end, static_cast<u64>(-error));
  end = print(end, "); nothing will be offloaded\n");
  raw(__NR_write, 2, ptr(text), static_cast<u64>(end - text));
}

}  // namespace mino::hook
