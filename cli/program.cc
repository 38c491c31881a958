// SPDX-License-Identifier: Apache-2.0
#include "cli/program.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "base/text.h"
#include "cli/commands.h"
#include "hook/program_file.h"

namespace mino {

namespace {

constexpr const char* kConsequence =
    "its system calls will not be offloaded (everything runs on the host)";

// 0, or the errno of an attempt to execute.
int executable(const std::string& path) {
  struct stat about;
  if (::stat(path.c_str(), &about) != 0) return errno;
  if (S_ISDIR(about.st_mode)) return EISDIR;
  if (!S_ISREG(about.st_mode) || ::access(path.c_str(), X_OK) != 0) return EACCES;
  return 0;
}

Program verdict(const std::string& name, const std::string& path, int code) {
  if (code == 0) return {path, 0, {}};
  const bool absent = code == ENOENT || code == ENOTDIR;
  return {{}, absent ? kNotFound : kNotExecutable, name + ": " + std::strerror(code)};
}

// Only when the kernel really raises privileges does the loader ignore LD_PRELOAD (AT_SECURE;
// cap_bprm_creds_from_file() in security/commoncap.c): not when root runs root's set-uid program,
// nor on a nosuid mount.
bool raises_privileges(const std::string& path, const struct stat& about) {
  struct statvfs mount;
  if (::statvfs(path.c_str(), &mount) == 0 && (mount.f_flag & ST_NOSUID) != 0) return false;
  if ((about.st_mode & S_ISUID) != 0 && about.st_uid != ::getuid()) return true;
  constexpr mode_t kSetGid = S_ISGID | S_IXGRP;
  if ((about.st_mode & kSetGid) == kSetGid && about.st_gid != ::getgid()) return true;
  return ::getuid() != 0 && ::getxattr(path.c_str(), "security.capability", nullptr, 0) > 0;
}

// "#!/usr/bin/env python3" -> "/usr/bin/env"; "" if it is no script.
std::string interpreter_of(const char* head, size_t size) {
  std::string_view line(head, size);
  if (!line.starts_with("#!")) return {};
  line = trim(line.substr(2, line.find('\n') - 2));
  return std::string(line.substr(0, line.find_first_of(" \t")));
}

std::string elf_obstacle(const std::string& path, const Elf64_Ehdr& header,
                         const std::string& hook) {
  if (header.e_ident[EI_CLASS] != ELFCLASS64 || header.e_machine != EM_X86_64) {
    return std::string("is not an x86-64 program: ") + kConsequence;
  }
  hook::ProgramFile file;
  if (hook != "patch" || !hook::needs_loading(path.c_str(), false, file)) return {};
  return std::string("is statically linked: with --hook patch ") + kConsequence;
}

}  // namespace

Program find_program(const std::string& name) {
  if (name.find('/') != std::string::npos) return verdict(name, name, executable(name));
  if (name.empty()) return verdict("\"\"", name, ENOENT);
  const char* path = ::getenv("PATH");
  int best = ENOENT;
  for (const std::string_view dir : split(path != nullptr ? path : "/bin:/usr/bin", ':')) {
    const std::string candidate = (dir.empty() ? std::string(".") : std::string(dir)) + "/" + name;
    const int code = executable(candidate);
    if (code == 0) return {candidate, 0, {}};
    if (code == EACCES) best = code;
  }
  if (best == ENOENT) return {{}, kNotFound, name + ": not found in PATH"};
  return verdict(name, name, best);
}

std::string obstacle(const std::string& path, const std::string& hook) {
  std::string at = path;
  constexpr int kMaxInterpreters = 5;  // BINPRM_MAX_RECURSION and one
  for (int depth = 0; depth < kMaxInterpreters; depth++) {
    const Fd file(::open(at.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    struct stat about;
    char head[256]{};
    if (::stat(at.c_str(), &about) != 0) return {};
    if (raises_privileges(at, about)) {
      return std::string(
                 "changes its privileges at start (set-uid, set-gid or file capabilities), so the "
                 "loader "
                 "ignores LD_PRELOAD: ") +
             kConsequence;
    }
    const ssize_t n = file.valid() ? ::pread(file.get(), head, sizeof head, 0) : -1;
    if (n < static_cast<ssize_t>(sizeof(Elf64_Ehdr))) {
      const std::string next = n > 2 ? interpreter_of(head, static_cast<size_t>(n)) : "";
      if (next.empty()) return {};  // unreadable, or the shell will read it
      at = next;
      continue;
    }
    if (std::memcmp(head, ELFMAG, SELFMAG) == 0) {
      Elf64_Ehdr header;
      std::memcpy(&header, head, sizeof header);
      return elf_obstacle(at, header, hook);
    }
    const std::string next = interpreter_of(head, static_cast<size_t>(n));
    if (next.empty()) return {};
    at = next;
  }
  return {};
}

}  // namespace mino
