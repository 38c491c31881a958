// SPDX-License-Identifier: Apache-2.0
//
// See hook/start/environment.h; the form of MINO_RUN is in abi/run_variable.h.
#include "hook/start/environment.h"

#include <initializer_list>

#include "abi/run_variable.h"
#include "hook/base/pages.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/catch/patch.h"
#include "hook/state/settings.h"

namespace mino::hook {

namespace {

// Every text that `mino run` writes fits, with what is made of it.
constexpr u64 kReserve = 64;  // of settings.variable
static_assert(sizeof settings.variable - kReserve > abi::kMaxRunText);
static_assert(sizeof settings.paths > abi::kMaxRunText);

u64 copy_until(char* to, u64 room, const char* from, char end) {
  u64 n = 0;
  while (from[n] && from[n] != end && n + 1 < room) {
    to[n] = from[n];
    n++;
  }
  to[n] = 0;
  return n;
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

bool is_library(const char* path, u64 bytes) {
  return ends_with(path, bytes, "libminoc.so") || ends_with(path, bytes, "libminoc-preload.so");
}

// Whether a value of LD_PRELOAD names our library.
bool names_library(const char* value) {
  while (*value) {
    u64 n = 0;
    while (value[n] && value[n] != ':' && value[n] != ' ') n++;
    if (is_library(value, n)) return true;
    value += n;
    while (*value == ':' || *value == ' ') value++;
  }
  return false;
}

// Removes our library from an LD_PRELOAD value in place, and copies its path to `library`, unless
// that is nullptr. Other values stay as they are. False if nothing but our library was there.
bool without_library(char* value, char* library = nullptr) {
  if (!names_library(value)) return true;
  char* to = value;
  const char* from = value;
  while (*from) {
    u64 n = 0;
    while (from[n] && from[n] != ':' && from[n] != ' ') n++;
    if (is_library(from, n)) {
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

void take(const abi::RunField& field, Inherited& inherited) {
  using enum abi::RunName;
  switch (field.name) {
    case kVersion:
      settings.active = field.number() == abi::kRunVersion;
      break;
    case kSocket:
      field.copy(settings.socket_path, sizeof settings.socket_path);
      break;
    case kHook:
      settings.preload = field.begins("preload");
      settings.patch = !settings.preload && !field.begins("sud");
      settings.sud = !settings.preload && !field.begins("patch");
      break;
    case kWindows:
      settings.windows = field.flag(true);
      break;
    case kArena:
      settings.arena_bytes = static_cast<u32>(field.number());
      break;
    case kTrace:
      settings.trace_fd = field.descriptor();
      break;
    case kFamilies:
      settings.families = field.set();
      break;
    case kNetlinks:
      settings.netlinks = field.set();
      break;
    case kPaths:
      settings.path_count = field.paths(settings.paths, sizeof settings.paths);
      break;
    case kUserPreload:
      settings.preload_was_set = field.flag(false);
      break;
    case kInstance:
      settings.instance = static_cast<u32>(field.number());
      break;
    case kNetns:
      settings.netns = field.flag(false);
      break;
    case kLoadAll:
      settings.load_all = field.flag(false);
      break;
    case kRestAfter:
      settings.disarm_after = static_cast<u32>(field.number());
      break;
    case kSession:
      inherited.socket = static_cast<int>(field.number());
      break;
    case kPlaceholder:
      inherited.placeholder = static_cast<int>(field.number());
      break;
    case kBroken:
      inherited.broken = static_cast<int>(field.number());
      break;
    case kCredentialsChanged:
      settings.credentials_changed = true;
      settings.own_users = field.number() == 2;
      break;
    case kHome:
      settings.home = field.number();
      break;
    case kFilters:
      inherited.filters = static_cast<int>(field.number());
      break;
    case kLinks:
      settings.links = field.flag(true);
      break;
    case kDirectory:
      inherited.directory = field.flag(false);
      break;
    case kWarmSites:
      inherit_warm_sites(field.value);
      break;
    case kProgram:
      field.copy(settings.program, sizeof settings.program);
      break;
    case kUnknown:
      break;
  }
}

// Everything but the hook's own fields, into settings.variable.
void take_all(const char* text, Inherited& inherited) {
  char* out = settings.variable;
  char* const out_end = settings.variable + sizeof settings.variable - kReserve;
  abi::RunReader reader(text);
  for (abi::RunField field; reader.next(field);) {
    take(field, inherited);
    if (!field.is_handed_on() || out + field.bytes + 1 >= out_end) continue;
    if (out != settings.variable) *out++ = ';';
    copy(out, field.text, field.bytes);
    out += field.bytes;
  }
  *out = 0;
}

}  // namespace

bool read_environment(char** envp, Inherited& inherited) {
  char** keep = envp;
  settings.links = true;
  bool kept = false;  // the program's own LD_PRELOAD is here under its other name
  for (char** e = envp; *e; e++) kept |= starts_with(*e, abi::kKeptPreloadPrefix);
  constexpr u64 kHead = sizeof abi::kPreloadPrefix - 1;
  for (char** e = envp; *e; e++) {
    const bool run = starts_with(*e, abi::kRunPrefix);
    bool remove = run;
    if (run) {
      take_all(*e + sizeof abi::kRunPrefix - 1, inherited);
    } else if (starts_with(*e, abi::kKeptPreloadPrefix)) {
      copy(*e, abi::kPreloadPrefix, kHead);
    } else if (starts_with(*e, abi::kPreloadPrefix) && names_library(*e + kHead)) {
      remove = !without_library(*e + kHead, settings.library) || kept;
    }
    if (!remove)
      *keep++ = *e;
    else if (inherited.removed_count < Inherited::kMaxRemoved)
      inherited.removed[inherited.removed_count++] = *e;
  }
  *keep = nullptr;
  settings.links &= settings.path_count != 0;
  learn_about_prefixes();
  return settings.active;
}

namespace {

// A text that grows where there is room for it.
struct Appended {
  char* end;
  void push_back(char c) { *end++ = c; }
};

// Entries of an array of pointers that a null pointer ends; ~0 if it cannot be read.
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
  char name[sizeof abi::kPreloadPrefix];
  name[user_copy_in(name, entry, sizeof name - 1)] = 0;
  return starts_with(name, variable);
}

// The length, with its NUL, of a string that is an LD_PRELOAD of the program's. 0 for other
// variables, and for a string that execve will refuse.
u64 preload_bytes(u64 entry) {
  if (!names(entry, abi::kPreloadPrefix) && !names(entry, abi::kKeptPreloadPrefix)) return 0;
  char part[256];
  for (u64 done = 0; done < MAX_ARG_STRLEN; done += sizeof part) {
    const i64 n = user_string(entry + done, part, sizeof part);
    if (n > 0) return done + static_cast<u64>(n);
    if (n == -EFAULT) return 0;
  }
  return 0;
}

// Copies it under its other name. Returns its value; nullptr if the string has changed meanwhile.
char* keep_preload(char* to, u64 entry, u64 bytes) {
  if (user_string(entry, to, bytes) <= 0) return nullptr;
  constexpr u64 kHead = sizeof abi::kPreloadPrefix - 1;
  copy(to, abi::kKeptPreloadPrefix, kHead);
  return to + kHead;
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
  bool kept = false;
  for (u64 i = 0; i < count; i++) {
    if (!user_read(envp + i * 8, &entry, 8)) continue;
    preloads += preload_bytes(entry);
    kept |= names(entry, abi::kKeptPreloadPrefix);
  }
  bytes_ = ((count + 3 + argc + 4) * 8 + kTextBytes + 2 * preloads + 4095) & ~4095ull;
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
  // Our library goes in front of the program's last LD_PRELOAD, which is the one that glibc takes.
  // It is the only one under that name: other C libraries take the first.
  const char* value = "";
  u64 used = 0;
  for (u64 i = 0; i < count; i++) {
    user_read(envp + i * 8, &entry, 8);
    if (names(entry, abi::kRunPrefix)) continue;
    u64 bytes = preload_bytes(entry);
    if (bytes > preloads) bytes = 0;  // the string has changed
    preloads -= bytes;
    if (char* const own = bytes ? keep_preload(text, entry, bytes) : nullptr) {
      // A program that the hook did not reach has passed on what it was given.
      const bool ours = names_library(own);
      if (!without_library(own) || (ours && kept)) continue;
      entry = ptr(text);
      value = own;
      text = own + length(own) + 1;
    }
    table_[used++] = entry;
  }
  table_[used++] = ptr(text);
  text = print(print(text, abi::kPreloadPrefix), settings.library);
  if (*value) text = print(print(text, ":"), value);
  *text++ = 0;
  table_[used++] = ptr(text);
  Appended out{print(print(text, abi::kRunPrefix), settings.variable)};
  abi::RunWriter to(out, abi::RunWriter<Appended>::Start::kAfterOthers);
  using enum abi::RunName;
  if (process->session().status == SessionStatus::kLive) {
    if (process->directory->offloaded) to.flag(kDirectory, true);
    to.number(kSession, static_cast<u64>(process->session().socket));
    to.number(kPlaceholder, static_cast<u64>(process->session().placeholder));
    to.number(kBroken, static_cast<u64>(process->session().broken));
    if (process->credentials_changed) to.number(kCredentialsChanged, process->own_users ? 2 : 1);
  }
  if (filters >= 0) {
    to.number(kHome, settings.home);
    to.number(kFilters, static_cast<u64>(filters));
  }
  if (!settings.links) to.flag(kLinks, false);
  if (const WarmSites& warm = warm_sites(); warm.count) {
    to.name(kWarmSites);
    out.end = print_warm_sites(out.end, warm);
  }
  if (file) to.text(kProgram, file->path);
  text = out.end;
  *text = 0;
  table_[used] = 0;
}

ExecEnvironment::~ExecEnvironment() {
  if (!table_) return;
  process_->exec_memory = nullptr;
  unmap_pages(table_, bytes_);
}

}  // namespace mino::hook
