// SPDX-License-Identifier: Apache-2.0
//
// The preload tier: libminoc-preload.so is the hook and, under their own names, the functions of
// libc by which programs make system calls. It is for machines that allow neither patching nor
// Syscall User Dispatch. What libc does inside itself it does not see; where that matters, the
// function is made here again of parts that are seen (spawn.cc, streams.cc, directories.cc).
//
// Unlike the rest of hook/, this code is called as functions are and may call libc: by weak
// references, since the library names no dependency, and by dlsym where the name is its own.
#pragma once

#include "hook/preload/libc_constants.h"
#include "hook/state/process.h"
#include "hook/state/thread.h"

// Defines a function of libc's name; declares one, or a variable, that libc has or has not. In a
// namespace of their own, where no header's declaration is in the way.
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
// In hook/preload/calls.S: a system call as the hook sees one; a failure is a negative number.
long mino_call(long nr, mino::hook::u64 a = 0, mino::hook::u64 b = 0, mino::hook::u64 c = 0,
               mino::hook::u64 d = 0, mino::hook::u64 e = 0, mino::hook::u64 f = 0)
    __attribute__((visibility("hidden")));
// The same as a cancellation point.
long mino_waiting_call(long nr, mino::hook::u64 a = 0, mino::hook::u64 b = 0, mino::hook::u64 c = 0,
                       mino::hook::u64 d = 0, mino::hook::u64 e = 0, mino::hook::u64 f = 0)
    __attribute__((visibility("hidden")));
}

namespace mino::hook {

// A result as libc has it: -1, and errno.
inline long answer(long result) {
  if (!is_error(result)) return result;
  *libc::__errno_location() = static_cast<int>(-result);
  return -1;
}

// Runs `errand` as a system call is run: inside the hook, with signals deferred.
using Errand = long (*)(ThreadState* ts, u64 argument);
inline long run_inside(Errand errand, u64 argument = 0) {
  return mino_call(kErrand, reinterpret_cast<u64>(errand), argument);
}

// libc's own function of a name that this library has, too.
template <class Function>
Function real(const char* name) {
  return reinterpret_cast<Function>(libc::dlsym(reinterpret_cast<void*>(kRtldNext), name));
}

inline Process* this_process() {
  const ThreadState* ts = this_thread();
  return ts ? ts->process : main_process();
}
inline bool held() {
  return mino_interest[kErrand] != kNoInterest;  // hook/preload/start.cc
}
// Then nobody can cancel this thread, and no other has credentials of its own.
inline bool alone() {
  return &libc::single_threaded && libc::single_threaded;
}
inline bool on_device(int fd) {
  return held() && fd >= 0 && this_process()->offloaded(static_cast<u64>(fd));
}

inline u64 number(int value) {  // as a register holds it
  return static_cast<u64>(i64{value});
}

}  // namespace mino::hook
