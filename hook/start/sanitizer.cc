// SPDX-License-Identifier: Apache-2.0
//
// See hook/start/sanitizer.h. ld.so's list of libraries is found as debuggers find it: by DT_DEBUG
// in the program's dynamic section.
#include "hook/start/sanitizer.h"

#include "hook/base/library.h"
#include "hook/base/mem.h"
#include "hook/base/uapi.h"

namespace mino::hook {

namespace {

// <link.h>, which is not of the kernel.
struct LinkMap {
  u64 bias;
  const char* name;
  const u64* dynamic;
  LinkMap* next;
};
struct Debug {
  int version;
  LinkMap* first;
};

const u64* auxiliary(char** envp, u64 type) {
  while (*envp) envp++;
  for (auto* aux = reinterpret_cast<const u64*>(envp + 1); aux[0]; aux += 2) {
    if (aux[0] == type) return aux + 1;
  }
  return nullptr;
}

const Debug* list_of_libraries(char** envp) {
  const u64* const headers = auxiliary(envp, AT_PHDR);
  const u64* const count = auxiliary(envp, AT_PHNUM);
  if (!headers || !count) return nullptr;
  const auto* const header = reinterpret_cast<const Elf64_Phdr*>(*headers);
  u64 bias = 0;
  const Elf64_Phdr* dynamic = nullptr;
  for (u64 i = 0; i < *count; i++) {
    if (header[i].p_type == PT_PHDR) bias = *headers - header[i].p_vaddr;
    if (header[i].p_type == PT_DYNAMIC) dynamic = header + i;
  }
  if (!dynamic) return nullptr;
  for (auto* tag = reinterpret_cast<const u64*>(bias + dynamic->p_vaddr); tag[0]; tag += 2) {
    if (tag[0] == DT_DEBUG) return reinterpret_cast<const Debug*>(tag[1]);
  }
  return nullptr;
}

bool contains(const char* text, const char* part) {
  for (; *text; text++) {
    if (starts_with(text, part)) return true;
  }
  return false;
}

}  // namespace

void stand_behind_sanitizer(char** envp) {
  const Debug* const debug = list_of_libraries(envp);
  if (!debug) return;
  LinkMap* own = nullptr;
  bool found = false;
  for (LinkMap* map = debug->first; map; map = map->next) {
    if (map->bias == base()) own = map;
    found |=
        map->name && (contains(map->name, "libasan.so") || contains(map->name, "libclang_rt.asan"));
  }
  if (own && found) own->name = "linux-minoc.so";
}

}  // namespace mino::hook
