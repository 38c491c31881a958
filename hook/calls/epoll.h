// SPDX-License-Identifier: Apache-2.0
//
// epoll over local and offloaded files. Every set is a real epoll file on the host. When the first
// offloaded file is added to it, it gets a companion: a set with the same number on the device.
// Level, edge, oneshot, exclusive and nested behaviour are therefore Linux's own on either side. A
// wait asks both sides (hook/device/mixed_wait.h). Used by hook/dispatch.cc; an event of the hook's
// own descriptors must never reach the program.
#pragma once

#include "hook/calls/handler.h"

namespace mino::hook {

// Before a set gets another number, or another process gets the set: from then on an offloaded file
// that is added through one of its descriptors must be seen through all of them. What the device
// copies with a descriptor table, or by dup, is one set; so the companion is made now. A set that
// stays local, because there is no device, is left as it is.
void share_epoll_set(ThreadState* ts, u64 epfd);
// All sets of the process; with `inherited_only` those that an exec leaves open.
void share_epoll_sets(ThreadState* ts, bool inherited_only = false);

// Before another process gets the set by a message: the same, and the set gets a tag, by which the
// receiver finds the companion.
void send_epoll_set(ThreadState* ts, u64 epfd);
// `epfd` is an epoll set that came from another process.
void adopt_epoll_set(ThreadState* ts, u64 epfd);

long do_epoll_create(ThreadState* ts, const abi::Row& row);
long do_epoll_ctl(ThreadState* ts, const abi::Row& row);
long do_epoll_wait(ThreadState* ts, const abi::Row& row);

}  // namespace mino::hook
