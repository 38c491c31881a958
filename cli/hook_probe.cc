// SPDX-License-Identifier: Apache-2.0
#include "cli/hook_probe.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#ifndef PR_SET_SYSCALL_USER_DISPATCH
#define PR_SET_SYSCALL_USER_DISPATCH 59
#endif

namespace mino {

namespace {

// Arms Syscall User Dispatch with every address exempt, and disarms it. Returns 0 or the errno.
int try_dispatch() {
  constexpr unsigned long kOff = 0, kOn = 1;
  if (::prctl(PR_SET_SYSCALL_USER_DISPATCH, kOn, 0ul, ~0ul, nullptr) != 0) return errno;
  ::prctl(PR_SET_SYSCALL_USER_DISPATCH, kOff, 0ul, 0ul, nullptr);
  return 0;
}

// Does to a page of this program's text what hook/catch/patch.cc does to a page of libc's text.
int try_patching() {
  constexpr size_t kTableBytes = 0x10000;
  void* const table = ::mmap(reinterpret_cast<void*>(0x60000), kTableBytes, PROT_READ,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  if (table == MAP_FAILED) return errno;
  ::munmap(table, kTableBytes);
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  void* const text =
      reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(&find_usable_tier) & ~(page - 1));
  if (::mprotect(text, page, PROT_READ | PROT_WRITE | PROT_EXEC) != 0) return errno;
  auto* const byte = static_cast<volatile char*>(text);
  *byte = *byte;  // a copy of its own, which is what execmod forbids to execute
  return ::mprotect(text, page, PROT_READ | PROT_EXEC) != 0 ? errno : 0;
}

}  // namespace

UsableTier find_usable_tier() {
  const int dispatch = try_dispatch(), patching = try_patching();
  const auto refusal = [](const char* what, int error) {
    return std::string(what) + " (" + std::strerror(error) + ")";
  };
  const std::string no_dispatch = refusal("Syscall User Dispatch", dispatch);
  const std::string no_patching = refusal("patching of code", patching);
  if (dispatch == 0 && patching == 0) return {"auto", {}};
  if (dispatch == 0) return {"sud", "this machine refuses " + no_patching};
  if (patching == 0) return {"patch", "this machine refuses " + no_dispatch};
  return {"preload", "this machine refuses " + no_dispatch + " and " + no_patching};
}

}  // namespace mino
