// SPDX-License-Identifier: Apache-2.0
//
// libminoc.so as a program. It maps the program that MINO_RUN names, performs the startup, and
// enters the program as the kernel would have, with the stack that the kernel made. This way the
// hook is there before the first instruction of a static program, and of ld.so. start.S calls it;
// nothing else does.
#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/start/home.h"
#include "hook/start/program_file.h"
#include "hook/start/startup.h"
#include "hook/state/process.h"
#include "hook/state/settings.h"

extern "C" {
extern const char mino_start[] __attribute__((visibility("hidden")));
[[noreturn]] void mino_enter_program(mino::hook::u64* stack, mino::hook::u64 start)
    __attribute__((visibility("hidden")));
}

namespace mino::hook {

namespace {

[[noreturn]] void give_up(const char* what, long error) {
  char text[kMaxProgramPath + 80];
  char* end = print(print(text, "mino: "), what);
  if (error) end = print_number(print(end, ": cannot be loaded: error "), static_cast<u64>(-error));
  *end++ = '\n';
  raw(__NR_write, 2, ptr(text), static_cast<u64>(end - text));
  for (;;) raw(__NR_exit_group, 127);
}

// Ends the program as exec does when it is too late for an error: fs/exec.c, force_fatal_sig().
[[noreturn]] void die_as_in_exec() {
  constexpr u64 kAll = ~0ull;
  const u64 action[4] = {0, 0, 0, 0}, unblocked = kAll & ~(1ull << (SIGSEGV - 1));
  raw(__NR_rt_sigaction, SIGSEGV, ptr(action), 0, 8);
  raw(__NR_rt_sigprocmask, SIG_SETMASK, ptr(&unblocked), 0, 8);
  const u64 process = static_cast<u64>(raw(__NR_getpid));
  for (;;) raw(__NR_tgkill, process, static_cast<u64>(raw(__NR_gettid)), SIGSEGV);
}

// The kernel has named this process after libminoc.so.
void set_name(const char* path) {
  const char* name = path;
  for (const char* p = path; *p; p++) {
    if (*p == '/') name = p + 1;
  }
  raw(__NR_prctl, PR_SET_NAME, ptr(name));
}

// Learns what /proc/self/exe must show.
void learn_executable(const char* path) {
  const long fd = raw(__NR_openat, AT_FDCWD, ptr(path), O_CLOEXEC | O_PATH);
  if (is_error(fd)) return;
  char link[40];
  print_number(print(link, "/proc/self/fd/"), static_cast<u64>(fd))[0] = 0;
  const long n =
      raw(__NR_readlink, ptr(link), ptr(settings.executable), sizeof settings.executable - 1);
  settings.executable[n > 0 ? n : 0] = 0;
  raw(__NR_close, static_cast<u64>(fd));
}

void describe(u64* aux, const LoadedProgram& loaded) {
  for (; aux[0]; aux += 2) {
    switch (aux[0]) {
      case AT_PHDR:
        aux[1] = loaded.headers;
        break;
      case AT_PHENT:
        aux[1] = sizeof(Elf64_Phdr);
        break;
      case AT_PHNUM:
        aux[1] = loaded.header_count;
        break;
      case AT_BASE:
        aux[1] = loaded.interpreter;
        break;
      case AT_ENTRY:
        aux[1] = loaded.entry;
        break;
      case AT_EXECFN:
        aux[1] = ptr(settings.program);
        break;
      default:
        break;
    }
  }
}

// A thread control block until the program makes its own: the hook finds its thread by %fs.
alignas(64) u64 first_block[8];

}  // namespace

}  // namespace mino::hook

extern "C" __attribute__((visibility("hidden"), noreturn)) void mino_load(mino::hook::u64* stack) {
  using namespace mino::hook;
  relocate();
  const u64 argc = stack[0];
  char** const envp = reinterpret_cast<char**>(stack + 1 + argc + 1);
  long no_way = 0;
  if (const u64 home = home_in(envp); home && home != base()) {
    no_way = map_at_home(envp, home);
    if (no_way == 0) mino_enter_program(stack, at_home(home, mino_start));
    tell_no_way_home(no_way);
  }
  first_block[0] = ptr(first_block);
  raw(__NR_arch_prctl, ARCH_SET_FS, ptr(first_block));
  u64 count = 0;
  while (envp[count]) count++;
  u64* const aux = reinterpret_cast<u64*>(envp + count + 1);
  u64 aux_words = 2;
  for (const u64* a = aux; a[0]; a += 2) aux_words += 2;
  const bool usable = prepare_startup(envp, no_way == 0);
  if (!settings.program[0]) give_up("libminoc.so is not a program; use mino run", 0);
  LoadedProgram loaded;
  const long error = load_program(settings.program, loaded);
  if (error == -EINVAL) die_as_in_exec();
  if (error) give_up(settings.program, error);
  set_name(settings.program);
  learn_executable(settings.program);
  // The removed variables leave a gap in front of the auxiliary vector: close it.
  u64 kept = 0;
  while (envp[kept]) kept++;
  const u64 words = 1 + argc + 1 + kept + 1 + aux_words;
  auto* const to = reinterpret_cast<u64*>((ptr(__builtin_alloca(words * 8 + 32)) + 15) & ~15ull);
  copy(to, stack, (1 + argc + 1 + kept + 1) * 8);
  copy(to + 1 + argc + 1 + kept + 1, aux, aux_words * 8);
  describe(to + 1 + argc + 1 + kept + 1, loaded);
  if (usable) finish_startup();
  mino_enter_program(to, loaded.start);
}
