// SPDX-License-Identifier: Apache-2.0
//
// Programs built with a shared address sanitizer. Its runtime wants to be the first library of the
// program, and refuses to run where ld.so lists another before it. It looks past the kernel's vDSO,
// which it knows by the beginning of its name. Used by startup, before any other constructor runs.
#pragma once

namespace mino::hook {

// If the program has such a runtime, gives this library a name that it looks past.
void stand_behind_sanitizer(char** envp);

}  // namespace mino::hook
