// SPDX-License-Identifier: Apache-2.0
//
// What the files of the preload tier have in common. libminoc-preload.so is the hook and, under
// their own names, the functions of libc by which programs make system calls. It is for machines
// that allow neither patching nor Syscall User Dispatch. Calls that libc makes inside itself are
// not seen. Where that matters, the libc function is written again here, from parts that are seen
// (spawn.cc, streams.cc, directories.cc).
//
// Unlike the rest of hook/, this code is called as functions are and may call libc. It does so by
// weak references, because the library must name no dependency, and by dlsym for names that it
// defines itself.
#pragma once

#include "hook/preload/libc_constants.h"
#include "hook/state/process.h"
#include "hook/state/thread.h"

// MINO_EXPORT defines a function under libc's name. MINO_LIBC and MINO_LIBC_VARIABLE declare a
// function or a variable of libc that may be missing. All are used in namespace mino::libc, where
// no header's declaration is in the way.
#define MINO_EXPORT(result, name, ...)                                        \
  __attribute__((visibility("default"))) result name(__VA_ARGS__) asm(#name); \
  result name(__VA_ARGS__)
#define MINO_LIBC(result, name, ...) \
  __attribute__((weak, visibility("default"))) result name(__VA_ARGS__) asm(#name)
#define MINO_LIBC_VARIABLE(type, name, symbol) \
  extern __attribute__((weak, visibility("default"))) type name asm(symbol)

namespace mino::libc {
MINO_LIBC(int*, __errno_location);
MINO_LIBC(void*, dlsym, void* handle, const char* name);
MINO_LIBC(const char*, gnu_get_libc_version);
MINO_LIBC(int, pthread_setcanceltype, int type, int* old);
MINO_LIBC_VARIABLE(char, single_threaded, "__libc_single_threaded");
MINO_LIBC_VARIABLE(char**, environment, "environ");
}  // namespace mino::libc

extern "C" {
// Makes a system call through the hook (hook/preload/calls.S). A failure is a negative error
// number.
long mino_call(long nr, mino::hook::u64 a = 0, mino::hook::u64 b = 0, mino::hook::u64 c = 0,
               mino::hook::u64 d = 0, mino::hook::u64 e = 0, mino::hook::u64 f = 0)
    __attribute__((visibility("hidden")));
// The same, as a cancellation point (hook/preload/arguments.cc).
long mino_waiting_call(long nr, mino::hook::u64 a = 0, mino::hook::u64 b = 0, mino::hook::u64 c = 0,
                       mino::hook::u64 d = 0, mino::hook::u64 e = 0, mino::hook::u64 f = 0)
    __attribute__((visibility("hidden")));
}

namespace mino::hook {

// A result as libc returns it: a failure becomes -1 and errno.
inline long answer(long result) {
  if (!is_error(result)) return result;
  *libc::__errno_location() = static_cast<int>(-result);
  return -1;
}

// Runs `errand` inside the hook, as a system call is run: with signals deferred.
using Errand = long (*)(ThreadState* ts, u64 argument);
inline long run_inside(Errand errand, u64 argument = 0) {
  return mino_call(kErrand, reinterpret_cast<u64>(errand), argument);
}

// libc's function of a name that this library defines too.
template <class Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(libc::dlsym(reinterpret_cast<void*>(kRtldNext), name));
}

inline Process* this_process() {
  const ThreadState* ts = this_thread();
  return ts ? ts->process : main_process();
}
// False until hook/preload/start.cc has run, and for a program that the tier does not serve.
inline bool hook_started() {
  return mino_interest[kErrand] != kNoInterest;
}
// The process has one thread: nobody can cancel it, and no other has credentials of its own.
inline bool only_thread() {
  return &libc::single_threaded && libc::single_threaded;
}
inline bool on_device(int fd) {
  return hook_started() && fd >= 0 && this_process()->offloaded(static_cast<u64>(fd));
}

// An int as a register holds it.
inline u64 number(int value) {
  return static_cast<u64>(i64{value});
}

}  // namespace mino::hook
