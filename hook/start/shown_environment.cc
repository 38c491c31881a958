// SPDX-License-Identifier: Apache-2.0
//
// See hook/start/shown_environment.h.
#include "hook/start/shown_environment.h"

#include "hook/base/mem.h"
#include "hook/base/proc.h"
#include "hook/base/uapi.h"

namespace mino::hook {

namespace {

// Fields of /proc/self/stat (proc(5)), which are where the kernel has its own note of these
// addresses.
enum Field {
  kStartCode = 26,
  kEndCode,
  kStartStack,
  kStartData = 45,
  kEndData,
  kStartBrk,
  kArgStart,
  kArgEnd,
  kEnvStart,
  kEnvEnd,
  kFields
};

bool read_fields(u64 fields[kFields]) {
  char text[1024];
  const u64 got = read_proc("/proc/self/stat", text, sizeof text);
  const char* at = text + got;
  while (at > text && *at != ')') at--;  // the name in field 2 may contain anything
  if (at == text) return false;
  at++;
  for (int field = 3; field < kFields; field++) {
    while (*at == ' ') at++;
    const char* digits = at;
    fields[field] = parse_number(digits);
    while (*at && *at != ' ') at++;
  }
  return true;
}

// PR_SET_MM_MAP needs no privilege, but takes all addresses at once.
void end_environment(u64 end) {
  u64 fields[kFields] = {};
  if (!read_fields(fields) || end < fields[kEnvStart] || end > fields[kEnvEnd]) return;
  prctl_mm_map map{};
  map.start_code = fields[kStartCode];
  map.end_code = fields[kEndCode];
  map.start_data = fields[kStartData];
  map.end_data = fields[kEndData];
  map.start_brk = fields[kStartBrk];
  map.brk = static_cast<u64>(raw(__NR_brk, 0));
  map.start_stack = fields[kStartStack];
  map.arg_start = fields[kArgStart];
  map.arg_end = fields[kArgEnd];
  map.env_start = fields[kEnvStart];
  map.env_end = end;
  map.exe_fd = ~0u;
  raw(__NR_prctl, PR_SET_MM, PR_SET_MM_MAP, ptr(&map), sizeof map, 0);
}

}  // namespace

void hide_variables(char** envp, const Inherited& inherited) {
  if (inherited.removed_count == 0) return;
  u64 first = ~0ull, kept = 0;
  for (u32 i = 0; i < inherited.removed_count; i++) first = min(first, ptr(inherited.removed[i]));
  for (char** e = envp; *e; e++) {
    if (ptr(*e) > kept) kept = ptr(*e);
  }
  if (first > kept) end_environment(first);
  // For a kernel that does not let us, and for variables between others.
  for (u32 i = 0; i < inherited.removed_count; i++) {
    char* const text = const_cast<char*>(inherited.removed[i]);
    fill(text, 0, length(text));
  }
}

}  // namespace mino::hook
