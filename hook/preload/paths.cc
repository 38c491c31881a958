// SPDX-License-Identifier: Apache-2.0
//
// See hook/preload/paths.h.
#include "hook/preload/paths.h"

#include <initializer_list>

#include "hook/base/mem.h"
#include "hook/preload/libc.h"
#include "hook/state/settings.h"

namespace mino::hook {

bool may_be_on_device(const char* path) {
  if (!hook_started()) return false;
  if (*path != '/') return this_process()->directory->offloaded || this_process()->directory->near;
  for (const char* others : {"/proc/", "/sys/devices/", "/dev/fd", "/dev/std"}) {
    if (starts_with(path, others)) return true;
  }
  const char* prefix = settings.paths;
  for (u32 i = 0; i < settings.path_count; i++, prefix += length(prefix) + 1) {
    if (starts_with(path, prefix)) return true;
  }
  return false;
}

}  // namespace mino::hook
