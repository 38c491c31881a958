// SPDX-License-Identifier: Apache-2.0
//
// SIGIO, SIGURG and what F_SETSIG put in their place, from the kernel instance to the owner that a
// client has named. They are sent with the credentials of the client that named it, since
// fs/fcntl.c (sigio_perm) judges by those: a client can signal nobody whom it could not signal
// natively. Used by session.cc, in a process with one thread.
#pragma once

#include <sys/types.h>

#include "abi/usrcall.h"
#include "base/fd.h"

namespace mino {

struct SessionClient {
  int pidfd;  // or -1
  pid_t pid;  // as this process sees it
};

// The owner gets the si_code SI_SIGIO, since no process may claim to be a kernel, and the real code
// in si_errno. hook/catch/on_signal.cc puts it right.
void deliver(const usrcall_signal& signal, const SessionClient& client);

}  // namespace mino
