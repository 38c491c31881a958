// SPDX-License-Identifier: Apache-2.0
//
// Names in /proc of a process: its view of the network, its descriptors, its working directory
// (proc(5)). The same name means another process on the device, so these are translated; the
// way back is in hook/device/device_paths.h. Used by hook/calls/path_text.cc. Who is meant is
// asked of the host kernel: the text says only where to ask.
#pragma once

#include "hook/state/process.h"
#include "hook/state/thread.h"

namespace mino::hook {

// The device serves names in /proc and /sys in place of the host's procfs and sysfs. Where these
// are not mounted, as in many a chroot, such a path means something else, or nothing: false.
bool is_mounted(const char* path);

// Whether an absolute, normalised path of at most abi::kMaxPath bytes is such a name and leads to
// the device; it has then become the file's name there. A descriptor of the hook's own becomes one
// that does not exist.
bool leads_to_device_by_proc(ThreadState* ts, char* path);

}  // namespace mino::hook
