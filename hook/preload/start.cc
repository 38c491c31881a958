// SPDX-License-Identifier: Apache-2.0
//
// Startup of the preload tier: before main, once libc is there. Called by hook/start/startup.cc.
// With a libc that is not supported, it says so and leaves the program alone.
#include "hook/base/uapi.h"
#include "hook/preload/fork.h"
#include "hook/preload/libc.h"
#include "hook/preload/streams.h"
#include "hook/preload/threads.h"

extern "C" __attribute__((visibility("hidden"))) void mino_preload_start() {
  using namespace mino;
  using namespace mino::hook;
  if (!libc::gnu_get_libc_version || !libc::dlsym || !libc::__errno_location) {
    constexpr char kText[] =
        "mino: --hook preload needs the GNU C library, 2.34 or later; nothing will be offloaded\n";
    raw(__NR_write, 2, ptr(kText), sizeof kText - 1);
    for (u8& interest : mino_interest) interest = kNoInterest;
    return;
  }
  mino_interest[kErrand] = kAsk;
  prepare_threads();
  prepare_forks();
  prepare_streams();
}
