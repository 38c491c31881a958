// SPDX-License-Identifier: Apache-2.0
//
// See hook/preload/exec.h.
#include "hook/preload/exec.h"

#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/preload/libc.h"

#include <cstdarg>

namespace mino::hook {

namespace {

u64 count_arguments(va_list list) {
  u64 count = 1;
  while (va_arg(list, char*)) count++;
  return count;
}

// Executes a file that is neither ELF nor #! by a shell, as execvp(3) does.
long execute_shell(const char* path, StringList argv, StringList envp) {
  u64 argc = 0;
  while (argv[argc]) argc++;
  auto* const words = static_cast<char**>(__builtin_alloca((argc + 3) * sizeof(char*)));
  words[0] = const_cast<char*>("/bin/sh");
  words[1] = const_cast<char*>(path);
  for (u64 i = 1; i <= argc; i++) words[i + 1] = argv[i];
  if (argc == 0) words[2] = nullptr;
  return mino_call(__NR_execve, ptr(words[0]), ptr(words), ptr(envp));
}

int execute(const char* path, StringList argv, StringList envp) {
  return static_cast<int>(answer(mino_call(__NR_execve, ptr(path), ptr(argv), ptr(envp))));
}

int execute_path(const char* file, StringList argv, StringList envp) {
  return static_cast<int>(answer(execute_named(file, argv, envp, true)));
}

}  // namespace

long execute_named(const char* file, StringList argv, StringList envp, bool by_shell) {
  constexpr u64 kRoom = 4096;
  bool slash = false, denied = false;
  for (const char* p = file; *p; p++) slash |= *p == '/';
  const auto attempt = [&](const char* path) {
    const long result = mino_call(__NR_execve, ptr(path), ptr(argv), ptr(envp));
    return result == -ENOEXEC && by_shell ? execute_shell(path, argv, envp) : result;
  };
  if (!*file) return -ENOENT;
  if (slash) return attempt(file);
  const char* path = "/bin:/usr/bin";
  for (StringList e = libc::environment; e && *e; e++) {
    if (starts_with(*e, "PATH=")) path = *e + 5;
  }
  char candidate[kRoom];
  for (;; path++) {
    u64 n = 0;
    while (path[n] && path[n] != ':') n++;
    const u64 bytes = length(file);
    if (n + 1 + bytes + 1 <= kRoom) {
      copy(candidate, path, n);
      if (n) candidate[n] = '/';
      copy(candidate + n + (n != 0), file, bytes + 1);
      const long result = attempt(candidate);
      if (result == -EACCES)
        denied = true;
      else if (result != -ENOENT && result != -ENOTDIR && result != -ENODEV)
        return result;
    }
    path += n;
    if (!*path) return denied ? -EACCES : -ENOENT;
  }
}

}  // namespace mino::hook

namespace mino::libc {

using namespace mino::hook;

MINO_EXPORT(int, execv, const char* path, StringList argv) {
  return execute(path, argv, environment);
}
MINO_EXPORT(int, execvp, const char* file, StringList argv) {
  return execute_path(file, argv, environment);
}
MINO_EXPORT(int, execvpe, const char* file, StringList argv, StringList envp) {
  return execute_path(file, argv, envp);
}
MINO_EXPORT(int, fexecve, int fd, StringList argv, StringList envp) {
  return static_cast<int>(
      answer(mino_call(__NR_execveat, number(fd), ptr(""), ptr(argv), ptr(envp), AT_EMPTY_PATH)));
}
#define MINO_EXECL(name, path, ending, call)                                               \
  MINO_EXPORT(int, name, const char* path, const char* first, ...) {                       \
    va_list list;                                                                          \
    va_start(list, first);                                                                 \
    const u64 count = first ? count_arguments(list) : 0;                                   \
    va_end(list);                                                                          \
    auto* const argv = static_cast<char**>(__builtin_alloca((count + 1) * sizeof(char*))); \
    va_start(list, first);                                                                 \
    argv[0] = const_cast<char*>(first);                                                    \
    for (u64 i = 1; i <= count; i++) argv[i] = va_arg(list, char*);                        \
    ending;                                                                                \
    va_end(list);                                                                          \
    return call;                                                                           \
  }
MINO_EXECL(execl, path, (void)0, execute(path, argv, environment))
MINO_EXECL(execlp, file, (void)0, execute_path(file, argv, environment))
MINO_EXECL(execle, path, StringList envp = va_arg(list, StringList), execute(path, argv, envp))

}  // namespace mino::libc
