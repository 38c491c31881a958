// SPDX-License-Identifier: Apache-2.0
//
// Stands in for a kernel that was built from other sources: minod starts it, and it sends what such
// a kernel sends when it has booted. Used by device_test.py. No product target may use it.
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
