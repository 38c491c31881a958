// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/descriptor_list.h.
#include "hook/calls/descriptor_list.h"

#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"

namespace mino::hook {

namespace {

// Whether text[..bytes] ends with `end`; then `bytes` becomes what is left.
bool drop_end(const char* text, u64& bytes, const char* end) {
  const u64 n = length(end);
  if (bytes < n) return false;
  for (u64 i = 0; i < n; i++) {
    if (text[bytes - n + i] != end[i]) return false;
  }
  bytes -= n;
  return true;
}

// Reads the digits at the end.
bool drop_number(const char* text, u64& bytes, u64& number) {
  u64 at = bytes;
  while (at > 0 && text[at - 1] >= '0' && text[at - 1] <= '9') at--;
  if (at == bytes || at == 0 || text[at - 1] != '/') return false;
  const char* digits = text + at;
  number = parse_number(digits);
  bytes = at - 1;
  return true;
}

}  // namespace

// Asks the kernel what the directory is: "/proc/PID/fd", or "/proc/PID/task/TID/fdinfo".
bool lists_own_descriptors(u64 fd) {
  struct statfs info;
  if (raw(__NR_fstatfs, fd, ptr(&info)) != 0 || info.f_type != PROC_SUPER_MAGIC) return false;
  char link[48], name[256];
  print_number(print(link, "/proc/thread-self/fd/"), fd)[0] = 0;
  const long n = raw(__NR_readlink, ptr(link), ptr(name), sizeof name);
  if (n <= 0 || n == sizeof name) return false;
  u64 bytes = static_cast<u64>(n), process = 0;
  if (!drop_end(name, bytes, "/fd") && !drop_end(name, bytes, "/fdinfo")) return false;
  if (!drop_number(name, bytes, process)) return false;
  if (drop_end(name, bytes, "/task") && !drop_number(name, bytes, process)) return false;
  return process == static_cast<u64>(raw(__NR_getpid));
}

namespace {

struct Entry {  // struct linux_dirent and linux_dirent64 begin alike
  u64 inode, offset;
  u16 bytes;
  char name[14];  // from the type on, with linux_dirent64
};
static_assert(offsetof(Entry, name) == 18);

bool is_hidden(const Process* process, const Entry& entry, u64 known, bool old_form) {
  const u64 at = old_form ? 0 : 1;
  if (known < offsetof(Entry, name) + at + 2) return false;
  const char* digits = entry.name + at;
  const u64 fd = parse_number(digits);
  return digits != entry.name + at && *digits == 0 && (process->flags(fd) & kPrivate);
}

// Moves entries together in the program's buffer. Returns the bytes that are left.
long leave_out(const Process* process, u64 buffer, u64 bytes, bool old_form) {
  u64 to = 0;
  for (u64 from = 0; from < bytes;) {
    Entry entry{};
    const u64 known = user_copy_in(&entry, buffer + from, min(sizeof entry, bytes - from));
    if (known < offsetof(Entry, name) || entry.bytes == 0 || from + entry.bytes > bytes) break;
    if (!is_hidden(process, entry, min(known, entry.bytes), old_form)) {
      u8 whole[512];  // an entry with the longest name has 280
      if (to != from && entry.bytes <= sizeof whole && user_read(buffer + from, whole, entry.bytes))
        user_write(buffer + to, whole, entry.bytes);
      to += entry.bytes;
    }
    from += entry.bytes;
  }
  return static_cast<long>(to);
}

}  // namespace

long do_listing(ThreadState* ts, const abi::Row& row) {
  const Frame& f = ts->frame;
  if (!lists_own_descriptors(static_cast<u32>(f.rdi))) return kLocal;
  for (;;) {
    const long result = raw(row.nr, f.rdi, f.rsi, f.rdx);
    if (result <= 0) return result;
    // None left is not the end of the directory.
    if (const long left =
            leave_out(ts->process, f.rsi, static_cast<u64>(result), row.nr == __NR_getdents))
      return left;
  }
}

}  // namespace mino::hook
