// SPDX-License-Identifier: Apache-2.0
//
// A thread's bell: an eventfd that the device rings on completion, while the thread says that it
// sleeps on it (abi::kOnBell). Used where a wait on the host must hear of the device, and where it
// must notice that the process has been stopped and continued: epoll_wait answers EINTR then
// (signal(7)), as no other wait for several files does. Used by mixed_wait.cc and call.cc.
#pragma once

#include "hook/base/uapi.h"
#include "hook/state/thread.h"

namespace mino::hook {

// Makes the thread's bell and sends it to the device, unless that has happened. False if the
// program has no number left: its waits then look at the device from time to time.
bool prepare_bell(ThreadState* ts);
// Takes the ring back after a sleep.
void quiet_bell(ThreadState* ts);

// Sleeps until the bell rings, the session's socket hangs up, the epoll set `epfd` of the program
// (-1: none) is ready, or a signal is deferred. The thread has a bell. kCannot: it has not slept,
// since the set cannot be watched; only with one.
enum class Woken { kByDevice, kBySet, kBySignal, kByStop, kCannot };
Woken sleep_on_bell_and_set(ThreadState* ts, int epfd);

// Whether waits of this process must notice a stop: it has set SO_RCVTIMEO or SO_SNDTIMEO, or may
// have got such a socket from another program.
bool stops_matter();
void note_socket_timeouts();

}  // namespace mino::hook
