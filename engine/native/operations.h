// SPDX-License-Identifier: Apache-2.0
//
// mino's own operations (abi::Op) that take more than a line. Called by a lane's thread, inside the
// client's call. Results are those of a system call: a value, or -errno.
#pragma once

#include <cstdint>

#include "engine/split.h"

namespace mino {

struct Proxy;

// Op::kListFds: writes a bitmap of the client's files into client memory. Returns the bytes that
// matter.
int64_t list_files(Proxy& proxy, uint64_t addr, uint64_t bytes, Split& split);

// Op::kExport, kImport and kSettle: hands an open file to minod for another session, fetches one,
// or lets minod find out whether a file is still on its way. The parcel goes to `socket`, a number
// in the control thread's table.
int64_t export_file(Proxy& proxy, int number, int socket, uint64_t flags = 0);
int64_t import_file(Proxy& proxy, uint64_t id, int install_at);
int64_t settle_file(Proxy& proxy, uint64_t id);

// By the root thread, for another client: the parcel or the error goes to `socket`.
void give_file(Proxy& proxy, int number, int socket);

// Op::kPipe: a pipe of this kernel, for the client's hook.
int64_t make_pipe(Proxy& proxy, uint64_t read_end, uint64_t write_end);

// Op::kMap: sends the client the file that its mmap must map.
int64_t map_file(Proxy& proxy, int number);

// Op::kStandIn: this thread (or its process), if the client is that of this proxy.
int64_t stand_in(const Proxy& proxy, uint64_t client_pid, uint64_t how);

// Op::kFork: makes a proxy for the client's child and tells the client about it on the control
// socket.
int64_t fork_proxy(Proxy& proxy);

}  // namespace mino
