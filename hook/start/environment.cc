// SPDX-License-Identifier: Apache-2.0
//
// See hook/start/environment.h. The form of MINO_RUN, which cli/run writes and this file reads:
//
//   v=1;sock=PATH;hook=auto|patch|sud|preload;windows=0|1;arena=N;trace=FD;families=2,10;
//   netlinks=0,4;paths=A:B;orig=0|1;instance=N;netns=0|1;load=0|1;rest=CALLS
//
// The hook itself adds these across exec:
//
//   ;s=FD;p=FD       the session's control connection and placeholder
//   ;c=1             credentials have changed
//   ;l=0             symbolic links are not followed
//   ;r=ADDRESS;f=FD  under a seccomp filter: the home (hook/start/home.h) and the filters
//   ;k=SITES         warm sites (hook/catch/warm.h)
//   ;x=PATH          last; where this library is executed in a program's place: the program
#include "hook/start/environment.h"

#include <initializer_list>

#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/catch/patch.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

constexpr char kVariable[] = "MINO_RUN=";
constexpr char kPreload[] = "LD_PRELOAD=";

u32 parse_bits(const char* s) {
  u32 bits = 0;
  while (*s >= '0' && *s <= '9') {
    const u64 n = parse_number(s);
    if (n < 32) bits |= 1u << n;
    if (*s == ',') s++;
  }
  return bits;
}

u64 copy_until(char* to, u64 room, const char* from, char end) {
  u64 n = 0;
  while (from[n] && from[n] != end && n + 1 < room) {
    to[n] = from[n];
    n++;
  }
  to[n] = 0;
  return n;
}

void parse_paths(const char* s) {
  char* to = settings.paths;
  char* const end = settings.paths + sizeof settings.paths;
  while (*s && *s != ';') {
    while (*s && *s != ';' && *s != ':' && to + 2 < end) *to++ = *s++;
    if (to > settings.paths && to[-1] == '/') to--;  // prefixes are kept without a trailing slash
    *to++ = 0;
    settings.path_count++;
    while (*s == ':') s++;
    if (to + 2 >= end) return;
  }
}

// False if there is no room.
bool add_head(const char* path) {
  u64 n = 0;
  while (path[n] && path[n] != '/') n++;
  char* to = settings.heads;
  for (u32 i = 0; i < settings.head_count; i++, to += length(to) + 1) {
    if (length(to) == n && starts_with(path, to)) return true;
  }
  if (to + n + 1 > settings.heads + sizeof settings.heads) return false;
  copy(to, path, n);
  to[n] = 0;
  settings.head_count++;
  return true;
}

// Learns what hook/calls/paths.cc and links.cc ask about the prefixes for nearly every path.
void learn_about_prefixes() {
  bool all = add_head("proc");
  settings.all_virtual = true;
  const char* prefix = settings.paths;
  for (u32 i = 0; i < settings.path_count; i++, prefix += length(prefix) + 1) {
    all &= *prefix && add_head(prefix + 1);  // "" stands for the root
    settings.all_virtual &= starts_with(prefix, "/proc/") || starts_with(prefix, "/sys/");
  }
  if (!all) settings.head_count = 0;
}

bool ends_with(const char* text, u64 bytes, const char* end) {
  const u64 n = length(end);
  bool same = bytes >= n;
  for (u64 i = 0; same && i < n; i++) same = text[bytes - n + i] == end[i];
  return same;
}

// Removes our library from an LD_PRELOAD value in place, and copies its path to `library`, unless
// that is nullptr. False if nothing is left of the value.
bool without_library(char* value, char* library = nullptr) {
  char* to = value;
  const char* from = value;
  while (*from) {
    u64 n = 0;
    while (from[n] && from[n] != ':' && from[n] != ' ') n++;
    if (ends_with(from, n, "libminoc.so") || ends_with(from, n, "libminoc-preload.so")) {
      if (library) copy_until(library, min(n + 1, sizeof settings.library), from, 0);
    } else if (n) {
      if (to != value) *to++ = ':';
      for (u64 i = 0; i < n; i++) *to++ = from[i];
    }
    from += n;
    while (*from == ':' || *from == ' ') from++;
  }
  *to = 0;
  return to != value;
}

}  // namespace

bool read_environment(char** envp, Inherited& inherited) {
  char** keep = envp;
  settings.links = true;
  for (char** e = envp; *e; e++) {
    if (starts_with(*e, kPreload) && !without_library(*e + sizeof kPreload - 1, settings.library))
      continue;
    if (!starts_with(*e, kVariable)) {
      *keep++ = *e;
      continue;
    }
    char* out = settings.variable;
    char* const out_end = settings.variable + sizeof settings.variable - 64;
    for (const char* s = *e + sizeof kVariable - 1; *s;) {
      if (starts_with(s, "x=")) {  // a path may contain anything
        copy_until(settings.program, sizeof settings.program, s + 2, 0);
        break;
      }
      const char* value = s;
      while (*value && *value != '=' && *value != ';') value++;
      const char* number = value + 1;
      const u64 key_bytes = static_cast<u64>(value - s);
      const auto is = [&](const char* key) {
        return key[0] == *s && length(key) == key_bytes && starts_with(s, key);
      };
      bool own = false;
      if (*value == '=') {
        if (is("load"))
          settings.load_all = *number == '1';
        else if (is("v"))
          settings.active = parse_number(number) == 1;
        else if (is("sock"))
          copy_until(settings.socket_path, sizeof settings.socket_path, number, ';');
        else if (is("hook")) {
          settings.preload = starts_with(number, "preload");
          settings.patch = !settings.preload && !starts_with(number, "sud");
          settings.sud = !settings.preload && !starts_with(number, "patch");
        } else if (is("windows"))
          settings.windows = *number != '0';
        else if (is("arena"))
          settings.arena_bytes = static_cast<u32>(parse_number(number));
        else if (is("trace"))
          settings.trace_fd = *number == '-' ? -1 : static_cast<int>(parse_number(number));
        else if (is("families"))
          settings.families = parse_bits(number);
        else if (is("netlinks"))
          settings.netlinks = parse_bits(number);
        else if (is("paths"))
          parse_paths(number);
        else if (is("rest"))
          settings.disarm_after = static_cast<u32>(parse_number(number));
        else if (is("netns"))
          settings.netns = *number == '1';
        else if (is("instance"))
          settings.instance = static_cast<u32>(parse_number(number));
        else if (is("orig"))
          settings.preload_was_set = *number == '1';
        else if (is("l"))
          own = true, settings.links = *number != '0';
        else if (is("s"))
          own = true, inherited.socket = static_cast<int>(parse_number(number));
        else if (is("c"))
          own = true, settings.credentials_changed = true;
        else if (is("p"))
          own = true, inherited.placeholder = static_cast<int>(parse_number(number));
        else if (is("r"))
          own = true, settings.home = parse_number(number);
        else if (is("k"))
          own = true, inherit_warm_sites(number);
        else if (is("f"))
          own = true, inherited.filters = static_cast<int>(parse_number(number));
      }
      const char* next = s;
      while (*next && *next != ';') next++;
      if (!own && out + (next - s) + 1 < out_end) {
        if (out != settings.variable) *out++ = ';';
        copy(out, s, static_cast<u64>(next - s));
        out += next - s;
      }
      s = *next ? next + 1 : next;
    }
    *out = 0;
  }
  *keep = nullptr;
  settings.links &= settings.path_count != 0;
  learn_about_prefixes();
  return settings.active;
}

namespace {

// The number of entries in an array of pointers that ends with a null pointer; ~0 if it cannot be
// read.
u64 count_pointers(u64 array) {
  u64 count = 0;
  for (u64 entry = 1; array; count++) {
    if (!user_read(array + count * 8, &entry, 8) || count > (1u << 20)) return ~0ull;
    if (!entry) break;
  }
  return count;
}

// Whether a string in the environment given to execve names this variable.
bool names(u64 entry, const char* variable) {
  char name[sizeof kPreload];
  name[user_copy_in(name, entry, sizeof name - 1)] = 0;
  return starts_with(name, variable);
}

// The bytes that an LD_PRELOAD of the program needs with our library in front. 0 for other
// variables, and for a string that execve will refuse.
u64 preload_bytes(u64 entry) {
  if (!names(entry, kPreload)) return 0;
  char part[256];
  for (u64 done = 0; done < MAX_ARG_STRLEN; done += sizeof part) {
    const i64 n = user_string(entry + done, part, sizeof part);
    if (n > 0) return done + static_cast<u64>(n) + length(settings.library) + 1;
    if (n == -EFAULT) return 0;
  }
  return 0;
}

// Writes that LD_PRELOAD. Returns its end, or nullptr if the string has changed meanwhile.
char* print_preload(char* to, u64 entry, u64 bytes) {
  char* end = print(print(to, kPreload), settings.library);
  const u64 room = bytes - static_cast<u64>(end + 1 - to);
  if (user_string(entry + sizeof kPreload - 1, end + 1, room) <= 0) return nullptr;
  if (without_library(end + 1)) {
    *end++ = ':';
    end += length(end);
  }
  *end++ = 0;
  return end;
}

}  // namespace

ExecEnvironment::ExecEnvironment(Process* process, u64 envp, const ProgramFile* file,
                                 const char* path, u64 argv, int filters)
    : process_(process), arguments_(argv) {
  const u64 count = count_pointers(envp);
  const u64 argc = file && file->script ? count_pointers(argv) : 0;
  if (count == ~0ull || argc == ~0ull) return;
  constexpr u64 kTextBytes = sizeof settings.variable + sizeof settings.library + kWarmTextBytes +
                             2 * sizeof(ProgramFile) + kMaxProgramPath + 1024;
  u64 entry, preloads = 0;
  for (u64 i = 0; i < count; i++) {
    if (user_read(envp + i * 8, &entry, 8)) preloads += preload_bytes(entry);
  }
  bytes_ = ((count + 3 + argc + 4) * 8 + kTextBytes + preloads + 4095) & ~4095ull;
  table_ = static_cast<u64*>(map_pages(bytes_));
  if (!table_) return;
  process->exec_memory = table_;
  process->exec_bytes = bytes_;
  char* text = reinterpret_cast<char*>(table_ + count + 3 + argc + 4);
  if (argc || (file && file->script)) {  // as fs/binfmt_script.c does
    u64* to = table_ + count + 3;
    arguments_ = ptr(to);
    for (const char* word : {file->path, file->argument, path}) {
      if (!*word) continue;
      *to++ = ptr(text);
      text = print(text, word);
      *text++ = 0;
    }
    for (u64 i = 1; i < argc; i++) {
      user_read(argv + i * 8, &entry, 8);
      *to++ = entry;
    }
    *to = 0;
  }
  // Put our library in front of every LD_PRELOAD of the program: if there are several, some C
  // libraries take the first, others the last.
  bool preloaded = false;
  u64 used = 0;
  for (u64 i = 0; i < count; i++) {
    user_read(envp + i * 8, &entry, 8);
    if (names(entry, kVariable)) continue;
    u64 bytes = preload_bytes(entry);
    if (bytes > preloads) bytes = 0;  // the string has changed
    preloads -= bytes;
    if (char* const end = bytes ? print_preload(text, entry, bytes) : nullptr) {
      entry = ptr(text);
      text = end;
      preloaded = true;
    }
    table_[used++] = entry;
  }
  if (!preloaded) {
    table_[used++] = ptr(text);
    text = print(print(text, kPreload), settings.library);
    *text++ = 0;
  }
  table_[used++] = ptr(text);
  text = print(text, kVariable);
  text = print(text, settings.variable);
  if (process->session().status == SessionStatus::kLive) {
    text = print(text, ";s=");
    text = print_number(text, static_cast<u64>(process->session().socket));
    text = print(text, ";p=");
    text = print_number(text, static_cast<u64>(process->session().placeholder));
    if (process->credentials_changed) text = print(text, ";c=1");
  }
  if (filters >= 0) {
    text = print_number(print(text, ";r="), settings.home);
    text = print_number(print(text, ";f="), static_cast<u64>(filters));
  }
  if (!settings.links) text = print(text, ";l=0");
  if (const WarmSites& warm = warm_sites(); warm.count)
    text = print_warm_sites(print(text, ";k="), warm);
  if (file) text = print(print(text, ";x="), file->path);
  *text = 0;
  table_[used] = 0;
}

ExecEnvironment::~ExecEnvironment() {
  if (!table_) return;
  process_->exec_memory = nullptr;
  unmap_pages(table_, bytes_);
}

}  // namespace mino::hook
