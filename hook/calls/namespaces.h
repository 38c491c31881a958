// SPDX-License-Identifier: Apache-2.0
//
// Network namespaces of processes. With the linux engine they are the device's: the program's own,
// those of other clients, and that of all processes which have no session and share this one's
// network namespace on the host: theirs is the one that the device started with. Used for paths
// (/proc/PID/ns/net), setns (setns.h), and numbers of processes in netlink messages.
#pragma once

#include "hook/state/thread.h"

namespace mino::hook {

// If `path` (absolute, normalised) is the network namespace of a process and that lies on the
// device, changes it to its name there.
bool rewrite_network_of_process(ThreadState* ts, char* path);

// Whether this local descriptor is of the network namespace that this process has on the host.
bool is_own_network_on_host(u64 fd);

// A process of the device that has the network namespace of process `pid` of the host. If there is
// none: with the linux engine 0, which is no process; with the native engine `pid` itself, since
// its kernel is the host's.
u32 process_with_network(ThreadState* ts, u32 pid);

}  // namespace mino::hook
