// SPDX-License-Identifier: Apache-2.0
//
// See hook/device/device_paths.h.
#include "hook/device/device_paths.h"

#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/device/call.h"
#include "hook/state/filters.h"

namespace mino::hook {

namespace {

bool take_number(const char*& at, u64& number) {
  const char* const digits = at;
  number = parse_number(at);
  return at != digits;
}

}  // namespace

u64 name_on_host(ThreadState* ts, char* path, u64 bytes) {
  path[bytes] = 0;
  const char* at = path;
  u64 task;
  if (!starts_with(at, "/proc/") || !take_number(at += 6, task) || (*at && *at != '/'))
    return bytes;
  char own[24];
  const long n = device_call(ts, __NR_readlink, ptr("/proc/self"), ptr(own), sizeof own - 1);
  if (n <= 0) return bytes;
  own[n] = 0;
  const char* digits = own;
  if (parse_number(digits) != task) return bytes;
  char tail[abi::kMaxPath];
  constexpr u64 kMostDigits = 40;
  if (bytes + kMostDigits > sizeof tail) return bytes;
  u64 thread;
  const char* after = at;
  char* to = print(tail, "");
  if (starts_with(after, "/task/") && take_number(after += 6, thread)) {
    // The lane's thread stands for this one.
    to = print_number(print(to, "/task/"), static_cast<u64>(raw(__NR_gettid)));
    at = after;
  }
  print(to, at)[0] = 0;
  char* const end = print_number(print(path, "/proc/"), static_cast<u64>(raw(__NR_getpid)));
  print(end, tail)[0] = 0;
  return length(path);
}

namespace {

// "/net" of "/proc/12/net"; nullptr if the path is none of a process.
const char* below_process(const char* path) {
  u64 number;
  if (!starts_with(path, "/proc/")) return nullptr;
  path += 6;
  return take_number(path, number) ? path : nullptr;
}

// A directory of another process, such as the parent, has that process's number. The device does
// not know it; the host does, if whoever went there has gone there on the host, too.
void take_number_from_host(char* name) {
  char there[abi::kMaxPath];
  if (raw(__NR_getcwd, ptr(there), sizeof there) <= 0) return;
  const char* const known = below_process(name);
  const char* const same = below_process(there);
  if (known && same && equal(known, same)) print(name, there)[0] = 0;
}

}  // namespace

// The device has the name of the directory.
void learn_offloaded_directory(ThreadState* ts) {
  Directory* const directory = ts->process->directory;
  const long bytes = device_call(ts, __NR_getcwd, ptr(directory->path), sizeof directory->path - 1);
  if (bytes <= 0) return;
  const u64 before = static_cast<u64>(bytes) - 1;
  char name[sizeof directory->path];
  copy(name, directory->path, before + 1);
  name_on_host(ts, directory->path, before);
  if (equal(name, directory->path)) take_number_from_host(directory->path);
  directory->offloaded = true;
  if (!ts->filters || filters_allow_own(ts, __NR_chdir)) raw(__NR_chdir, ptr(directory->path));
}

}  // namespace mino::hook
