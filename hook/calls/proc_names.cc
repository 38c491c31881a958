// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/proc_names.h.
#include "hook/calls/proc_names.h"

#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/device/attach.h"
#include "hook/device/call.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// "/proc/WHO[/task/TID]/REST"
struct Name {
  u64 pid = 0;  // 0: this process
  u64 tid = 0;  // 0: the process as such
  const char* rest;
  u64 head;  // bytes before `rest`
};

bool take(const char*& at, const char* word) {
  if (!starts_with(at, word)) return false;
  at += length(word);
  return true;
}

bool take_number(const char*& at, u64& number) {
  const char* const digits = at;
  number = parse_number(at);
  return at != digits;
}

// A word that ends the path or a part of it.
bool take_part(const char*& at, const char* word) {
  const char* to = at;
  if (!take(to, word) || (*to && *to != '/')) return false;
  at = to;
  return true;
}

bool is_self(u64 id, u64& tid) {
  const bool process = id == static_cast<u64>(raw(__NR_getpid));
  if (!process && id != static_cast<u64>(raw(__NR_gettid))) return false;
  tid = process ? 0 : id;
  return true;
}

bool parse(const char* path, Name& name) {
  const char* at = path;
  if (!take(at, "/proc/")) return false;
  if (take(at, "thread-self/")) {
    name.tid = static_cast<u64>(raw(__NR_gettid));
  } else if (!take(at, "self/")) {
    if (!take_number(at, name.pid) || !take(at, "/")) return false;
    if (is_self(name.pid, name.tid)) name.pid = 0;
  }
  if (!name.tid && take(at, "task/") && (!take_number(at, name.tid) || !take(at, "/")))
    return false;
  name.rest = at;
  name.head = static_cast<u64>(at - path);
  return name.head <= 60;
}

// Replaces all before `rest`.
bool rename(char* path, const char* head, const char* rest) {
  char tail[abi::kMaxPath];
  print(tail, rest)[0] = 0;
  if (length(head) + length(tail) + 1 > abi::kMaxPath) return false;
  print(print(path, head), tail)[0] = 0;
  return true;
}

// Whether this is a process, or a thread of the process, that the host kernel knows.
bool exists(const char* path, const Name& name) {
  char directory[64];
  copy(directory, path, name.head);
  directory[name.head] = 0;
  return raw(__NR_faccessat2, AT_FDCWD, ptr(directory), F_OK, 0) == 0;
}

// The network namespace on the host, as text. False if the host kernel does not tell.
bool host_namespace(const char* head, char* text, u64 room) {
  char link[80];
  print(print(link, head), "ns/net")[0] = 0;
  const long n = raw(__NR_readlink, ptr(link), ptr(text), room - 1);
  text[n > 0 ? n : 0] = 0;
  return n > 0;
}

// A process in another network namespace of the host is none of the device's. One that cannot be
// asked (only its tracer may) is taken for a neighbour.
bool is_neighbour(const char* path, const Name& name) {
  char head[64], theirs[40], ours[40];
  copy(head, path, name.head);
  head[name.head] = 0;
  return !host_namespace(head, theirs, sizeof theirs) ||
         !host_namespace("/proc/self/", ours, sizeof ours) || equal(theirs, ours);
}

bool serves_network() {
  const char* prefix = settings.paths;
  for (u32 i = 0; i < settings.path_count; i++, prefix += length(prefix) + 1) {
    if (equal(prefix, "/proc/self/net")) return true;
  }
  return false;
}

// The task of the device that stands for a client; 0 if it has none.
u64 stand_in(ThreadState* ts, u64 pid) {
  if (ready(ts) != 0) return 0;
  const long task = offload_op(ts, abi::Op::kStandIn, pid, 0, -1, kNoCancel);
  return task > 0 ? static_cast<u64>(task) : 0;
}

bool network(ThreadState* ts, char* path, const Name& name) {
  if (!serves_network()) return false;
  if (name.pid == 0 && name.tid && name.tid == static_cast<u64>(raw(__NR_gettid)))
    return rename(path, "/proc/thread-self/", name.rest);
  if (name.pid == 0 && name.tid == 0) return rename(path, "/proc/self/", name.rest);
  if (!exists(path, name)) return false;
  if (name.pid == 0) return rename(path, "/proc/self/", name.rest);
  if (!is_neighbour(path, name)) return false;
  if (const u64 task = stand_in(ts, name.pid)) {
    char head[40];
    print(print_number(print(head, "/proc/"), task), "/")[0] = 0;
    return rename(path, head, name.rest);
  }
  // It has no session, and so it never left the device's first namespace.
  return rename(path, settings.netns ? "/proc/1/" : "/proc/self/", name.rest);
}

// fdinfo says whether a descriptor is close-on-exec. Only the host knows that of ours.
void tell_close_on_exec(ThreadState* ts, u64 fd) {
  const long flags = raw(__NR_fcntl, fd, F_GETFD);
  const u64 args[6] = {fd, F_SETFD, static_cast<u64>(flags)};
  if (!is_error(flags) && ready(ts) == 0)
    offload(ts, *abi::find_row(__NR_fcntl), args, -1, 0, kNoCancel);
}

// Another client's offloaded file is known by its placeholder. `ss -p` finds the owners of sockets
// so.
bool descriptor_of_client(ThreadState* ts, char* path, const Name& name, u64 fd) {
  char link[96], target[32];
  copy(link, path, name.head);
  print_number(print(link + name.head, "fd/"), fd)[0] = 0;
  const long n = raw(__NR_readlink, ptr(link), ptr(target), sizeof target - 1);
  if (n <= 0) return false;
  target[n] = 0;
  if (!starts_with(target, "/memfd:mino:")) return false;
  const u64 task = stand_in(ts, name.pid);
  if (!task) return false;
  char head[40];
  print(print_number(print(head, "/proc/"), task), "/")[0] = 0;
  return rename(path, head, name.rest);
}

bool descriptor(ThreadState* ts, char* path, const Name& name, const char* after, bool info) {
  u64 fd;
  if (!take(after, "/") || !take_number(after, fd) || (*after && *after != '/')) return false;
  if (info && *after) return false;
  if (name.pid) return descriptor_of_client(ts, path, name, fd);
  if (ts->process->flags(fd) & kPrivate) return rename(path, "/proc/self/fd/none", "");
  if (!ts->process->offloaded(fd) || !exists(path, name)) return false;
  if (info) tell_close_on_exec(ts, fd);
  return rename(path, "/proc/thread-self/", name.rest);
}

}  // namespace

bool is_mounted(const char* path) {
  const auto holds = [](const char* directory, long magic) {
    struct statfs info;
    return raw(__NR_statfs, ptr(directory), ptr(&info)) == 0 && info.f_type == magic;
  };
  if (starts_with(path, "/proc/")) return holds("/proc", PROC_SUPER_MAGIC);
  if (starts_with(path, "/sys/")) return holds("/sys", SYSFS_MAGIC);
  return true;
}

bool leads_to_device_by_proc(ThreadState* ts, char* path) {
  Name name;
  if (!parse(path, name)) return false;
  const char* at = name.rest;
  const bool net = take_part(at, "net"), fd = !net && take_part(at, "fd"),
             info = !net && !fd && take_part(at, "fdinfo"), cwd = take_part(at, "cwd");
  if (!(net || fd || info || cwd) || !is_mounted(path)) return false;
  if (net) return network(ts, path, name);
  if (fd || info) return descriptor(ts, path, name, at, info);
  return name.pid == 0 && ts->process->directory->offloaded &&
         rename(path, "/proc/thread-self/", name.rest);
}

}  // namespace mino::hook
