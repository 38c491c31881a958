// SPDX-License-Identifier: Apache-2.0
//
// mmap and munmap. An offloaded packet ring is mapped as memory that is shared with the device; a
// private mapping of an offloaded regular file is a copy. New text (dlopen) may bring system calls
// that are not patched yet. So a disarmed trap is armed again before the text is mapped; in the
// tier without a trap the text is patched as soon as it is mapped. The patcher's own memory is, to
// the program, memory that is not mapped.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

long do_mmap(ThreadState* ts, const abi::Row& row);
long do_munmap(ThreadState* ts);  // also of the stack that a thread runs on, at its end

}  // namespace mino::hook
