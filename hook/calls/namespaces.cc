// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/namespaces.h. Whether a process may be asked about its namespaces is the host
// kernel's decision: its link is read there first.
#include "hook/calls/namespaces.h"

#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/calls/proc_names.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

constexpr u64 kLink = 32;  // "net:[4026531840]"
constexpr u64 kName = 64;  // "/proc/PID/task/TID/ns/net"

long read_link(const char* path, char (&target)[kLink]) {
  const long n = raw(__NR_readlink, ptr(path), ptr(target), kLink - 1);
  target[n > 0 ? n : 0] = 0;
  return n;
}

// Whether this is the host's link of a process in this process's network namespace on the host. A
// process that must not be asked is taken to be there too: a netlink message may name it.
bool is_own_on_host(const char* path) {
  char own[kLink], other[kLink];
  if (const long n = read_link(path, other); n <= 0) return n == -EACCES || n == -EPERM;
  return read_link("/proc/self/ns/net", own) > 0 && equal(own, other);
}

bool is_own_thread(u64 tid) {
  char path[kName];
  *print_number(print(path, "/proc/self/task/"), tid) = 0;
  return raw(__NR_faccessat2, AT_FDCWD, ptr(path), F_OK, 0) == 0;
}

void print_name(char* to, u64 pid) {
  *print(print_number(print(to, "/proc/"), pid), "/ns/net") = 0;
}

// The process of the device for this one of the host, or 0. `link` is its link on the host.
u64 stand_in(ThreadState* ts, u64 pid, const char* link) {
  if (ready(ts) != 0) return 0;
  const long found = offload_op(ts, abi::Op::kStandIn, pid, 0, -1, kNoCancel);
  if (found > 0) return static_cast<u64>(found);
  constexpr u64 kFirstProcess = 1;  // of the device; it keeps the namespace that it began with
  return is_own_on_host(link) ? kFirstProcess : 0;
}

// The parts of /proc/PID/ns/net or /proc/PID/task/TID/ns/net. 0 stands for "self" and
// "thread-self"; `thread` is true for these two forms.
struct Name {
  u64 pid = 0, tid = 0;
  bool thread = false;
};

bool parse(const char* path, Name& name) {
  if (!starts_with(path, "/proc/")) return false;
  const char* rest = path + 6;
  if (starts_with(rest, "self/")) {
    rest += 4;
  } else if (starts_with(rest, "thread-self/")) {
    rest += 11;
    name.thread = true;
  } else if (*rest >= '1' && *rest <= '9') {
    name.pid = parse_number(rest);
  } else {
    return false;
  }
  if (starts_with(rest, "/task/") && rest[6] >= '1' && rest[6] <= '9') {
    rest += 6;
    name.tid = parse_number(rest);
    name.thread = true;
  }
  return equal(rest, "/ns/net");
}

}  // namespace

bool rewrite_network_of_process(ThreadState* ts, char* path) {
  Name name;
  if (!settings.netns || !parse(path, name) || !is_mounted(path)) return false;
  const u64 own = static_cast<u64>(raw(__NR_getpid));
  if (name.thread && (name.tid == 0 || name.tid == ts->tid)) {
    print(path, "/proc/thread-self/ns/net")[0] = 0;
    return true;
  }
  if (name.pid == 0 || name.pid == own || is_own_thread(name.pid)) {
    print(path, "/proc/self/ns/net")[0] = 0;
    return true;
  }
  char link[kLink];
  if (read_link(path, link) <= 0) return false;  // the host kernel's error
  const u64 there = stand_in(ts, name.pid, path);
  if (there) print_name(path, there);
  return there;
}

bool is_own_network_on_host(u64 fd) {
  char link[kName];
  print_number(print(link, "/proc/self/fd/"), fd)[0] = 0;
  return is_own_on_host(link);
}

u32 process_with_network(ThreadState* ts, u32 pid) {
  const u64 own = static_cast<u64>(raw(__NR_getpid));
  char link[kName];
  print_name(link, pid);
  if (settings.netns) return static_cast<u32>(stand_in(ts, pid, link));
  // All sessions have the device's one network namespace.
  if (!is_own_on_host(link) || ready(ts) != 0) return pid;
  const long here = offload_op(ts, abi::Op::kStandIn, own, 0, -1, kNoCancel);
  return here > 0 ? static_cast<u32>(here) : pid;
}

}  // namespace mino::hook
