// SPDX-License-Identifier: Apache-2.0
//
// What a kernel that was built from other sources says when it has booted, as minod starts one.
// Used by device_test.py.
#include <sys/socket.h>
#include <unistd.h>

#include "abi/usrcall.h"

int main() {
  constexpr int kInstanceSocket = 3;  // daemon/kernel_instance.cc
  usrcall_command ready{};
  ready.type = USRCALL_READY;
  ready.version = USRCALL_VERSION + 1;
  ::send(kInstanceSocket, &ready, sizeof ready, 0);
  for (;;) ::pause();
}
