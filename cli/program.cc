// SPDX-License-Identifier: Apache-2.0
#include "cli/program.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>

#include <cerrno>
#include <cstring>

#include "abi/program_file.h"
#include "base/fd.h"
#include "base/text.h"
#include "cli/commands.h"

namespace mino {

namespace {

constexpr const char* kConsequence =
    "its system calls will not be offloaded (everything runs on the host)";

// Tries whether the file can be executed. Returns 0 or the errno.
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

// The loader ignores LD_PRELOAD (AT_SECURE) only when the kernel really raises privileges
// (cap_bprm_creds_from_file() in security/commoncap.c): not when root runs a set-uid program that
// root owns, and not on a nosuid mount.
bool raises_privileges(const std::string& path, const struct stat& about) {
  struct statvfs mount;
  if (::statvfs(path.c_str(), &mount) == 0 && (mount.f_flag & ST_NOSUID) != 0) return false;
  if ((about.st_mode & S_ISUID) != 0 && about.st_uid != ::getuid()) return true;
  constexpr mode_t kSetGid = S_ISGID | S_IXGRP;
  if ((about.st_mode & kSetGid) == kSetGid && about.st_gid != ::getgid()) return true;
  return ::getuid() != 0 && ::getxattr(path.c_str(), "security.capability", nullptr, 0) > 0;
}

struct Opened {
  Fd file;
  abi::ScriptLine script{};
  bool is_script = false;
  abi::ElfFile elf{};
  bool is_elf = false;
  bool foreign = false;  // an ELF file of another machine
};

Opened open_program(const std::string& path) {
  Opened program{Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK))};
  char head[abi::ScriptLine::kMaxBytes]{};
  const int file = program.file.get();
  const ssize_t n = program.file.valid() ? ::pread(file, head, sizeof head - 1, 0) : -1;
  if (n <= 0) return program;
  program.is_script = program.script.parse(head, static_cast<unsigned>(n));
  program.is_elf = program.elf.load([&](void* to, size_t bytes, uint64_t at) {
    return ::pread(file, to, bytes, static_cast<off_t>(at)) == static_cast<ssize_t>(bytes);
  });
  program.foreign = n >= SELFMAG && std::memcmp(head, ELFMAG, SELFMAG) == 0 &&
                    (head[EI_CLASS] != ELFCLASS64 || program.elf.header.machine != EM_X86_64);
  return program;
}

bool may_be_loaded(const std::string& path, const Opened& program, bool all) {
  struct stat about;
  if (!program.is_elf || ::stat(path.c_str(), &about) != 0 || executable(path) != 0) return false;
  return !raises_privileges(path, about) &&
         (all || program.elf.find(abi::ProgramHeader::kInterpreter) == nullptr);
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

std::optional<Loading> needs_loading(const std::string& path, bool all) {
  const Opened program = open_program(path);
  if (may_be_loaded(path, program, all)) return Loading{path, {}, false};
  if (!program.is_script) return {};
  const std::string interpreter = program.script.interpreter;
  if (!may_be_loaded(interpreter, open_program(interpreter), all)) return {};
  return Loading{interpreter, program.script.argument, true};
}

std::string obstacle(const std::string& path, const std::string& hook) {
  std::string at = path;
  constexpr int kMaxInterpreters = 5;  // BINPRM_MAX_RECURSION and one
  for (int depth = 0; depth < kMaxInterpreters; depth++) {
    struct stat about;
    if (::stat(at.c_str(), &about) != 0) return {};
    if (raises_privileges(at, about)) {
      return std::string(
                 "changes its privileges at start (set-uid, set-gid or file capabilities), so the "
                 "loader "
                 "ignores LD_PRELOAD: ") +
             kConsequence;
    }
    const Opened program = open_program(at);
    if (program.foreign) return std::string("is not an x86-64 program: ") + kConsequence;
    if (program.is_elf && (hook == "patch" || hook == "preload") &&
        may_be_loaded(at, program, false))
      return "is statically linked: with --hook " + hook + " " + kConsequence;
    if (!program.is_script) return {};  // or the shell will read it
    at = program.script.interpreter;
  }
  return {};
}

}  // namespace mino
