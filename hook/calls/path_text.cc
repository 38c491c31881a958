// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/path_text.h.
#include "hook/calls/path_text.h"

#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/calls/namespaces.h"
#include "hook/calls/proc_names.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// A part of a path: a name or "..". Empty parts and "." are skipped.
struct Part {
  const char* at;
  u64 bytes;
  bool is_up() const { return bytes == 2 && at[0] == '.' && at[1] == '.'; }
};

bool next_part(const char*& p, Part& part) {
  while (*p) {
    while (*p == '/') p++;
    part.at = p;
    while (*p && *p != '/') p++;
    part.bytes = static_cast<u64>(p - part.at);
    if (part.bytes > 1 || (part.bytes == 1 && part.at[0] != '.')) return true;
  }
  return false;
}

// Whether `part` is the first part of a prefix. Also true if that is not known.
bool begins_a_prefix(const char* part, u64 n) {
  const char* head = settings.heads;
  for (u32 i = 0; i < settings.head_count; i++) {
    u64 same = 0;
    while (same < n && head[same] == part[same]) same++;
    if (same == n && head[n] == 0) return true;
    while (*head++) {
    }
  }
  return settings.head_count == 0;
}

}  // namespace

bool normalise(char* to, u64& used, const char* path) {
  for (Part part; next_part(path, part);) {
    if (part.is_up()) {
      while (used > 0 && to[--used] != '/') {
      }
      continue;
    }
    if (used + 1 + part.bytes + 1 > abi::kMaxPath) return false;
    to[used++] = '/';
    copy(to + used, part.at, part.bytes);
    used += part.bytes;
  }
  to[used] = 0;
  return true;
}

Relation relation(const char* path) {
  Relation best = Relation::kFar;
  const char* prefix = settings.paths;
  for (u32 i = 0; i < settings.path_count; i++, prefix += length(prefix) + 1) {
    u64 n = 0;
    while (prefix[n] && prefix[n] == path[n]) n++;
    if (prefix[n] == 0 && (path[n] == 0 || path[n] == '/')) return Relation::kInside;
    if (path[n] == 0 && prefix[n] == '/') best = Relation::kAbove;
  }
  return best;
}

namespace {

// Whether the directory holds names that belong on the device, or has a way to some without "..".
bool is_near(const char* directory) {
  return relation(directory) != Relation::kFar || starts_with(directory, "/proc/") ||
         starts_with(directory, "/sys/devices");
}

}  // namespace

bool is_surely_far(const char* path) {
  if (*path != '/') return false;
  u32 depth = 0;
  for (Part part; next_part(path, part);) {
    if (part.is_up()) {
      if (depth <= 1) return false;
      depth--;
    } else if (depth++ == 0 && begins_a_prefix(part.at, part.bytes)) {
      return false;
    }
  }
  return depth > 0;
}

bool has_dotdot(const char* path) {
  for (const char* p = path; *p; p++) {
    if (p[0] == '.' && p[1] == '.' && (p == path || p[-1] == '/') && (p[2] == 0 || p[2] == '/'))
      return true;
  }
  return false;
}

namespace {

void learn_cwd(Process* process) {
  if (process->directory->offloaded || process->directory->path[0]) return;
  const long n = raw(__NR_getcwd, ptr(process->directory->path), sizeof process->directory->path);
  if (is_error(n) || process->directory->path[0] != '/') {
    process->directory->path[0] = '?';
    process->directory->path[1] = 0;
  }
  process->directory->near = is_near(process->directory->path[1] ? process->directory->path : "");
}

}  // namespace

bool name_of_directory(Process* process, int dirfd, char* to, u64& used) {
  used = 0;
  if (dirfd == AT_FDCWD) {
    learn_cwd(process);
    return process->directory->path[0] == '/' && normalise(to, used, process->directory->path);
  }
  char link[40];
  char* end = print(link, "/proc/self/fd/");
  end = print_number(end, static_cast<u32>(dirfd));
  *end = 0;
  char target[abi::kMaxPath];
  const long n = raw(__NR_readlink, ptr(link), ptr(target), sizeof target - 1);
  if (n <= 0 || target[0] != '/') return false;
  target[n] = 0;
  return normalise(to, used, target);
}

bool start_directory(Process* process, int dirfd, const char* path, char* to, u64& used) {
  if (dirfd == AT_FDCWD) {
    learn_cwd(process);
    if (!process->directory->near && !process->directory->offloaded && !has_dotdot(path))
      return false;
    return name_of_directory(process, dirfd, to, used);
  }
  const u8 flags = process->flags(static_cast<u32>(dirfd));
  if ((flags & kFarDirectory) && !has_dotdot(path)) return false;
  if (!name_of_directory(process, dirfd, to, used)) return false;
  if (!is_near(to) && !has_dotdot(path)) {
    process->add_flags(static_cast<u32>(dirfd), kFarDirectory);
    return false;
  }
  return true;
}

namespace {

// /sys/devices/…/net/NAME, where the links of /sys/class/net lead: the interfaces of the device,
// whatever they hang on.
bool is_interface(const char* path) {
  if (!starts_with(path, "/sys/devices/") || relation("/sys/class/net") != Relation::kInside)
    return false;
  for (const char* at = path; *at; at++) {
    if (starts_with(at, "/net") && (at[4] == 0 || at[4] == '/')) return true;
  }
  return false;
}

}  // namespace

bool is_device_path(ThreadState* ts, char* path) {
  if (rewrite_network_of_process(ts, path) || leads_to_device_by_proc(ts, path)) return true;
  return (relation(path) == Relation::kInside || is_interface(path)) && is_mounted(path);
}

}  // namespace mino::hook
