// SPDX-License-Identifier: Apache-2.0
//
// What tests of files share that the kernel of the network serves. Used by the tests of paths and
// links.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>

#include <string>

#include "check.h"

inline constexpr const char* kTtl = "/proc/sys/net/ipv4/ip_default_ttl";

inline std::string contents(int fd) {
  std::string text;
  char bytes[4096];
  for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;)
    text.append(bytes, static_cast<size_t>(n));
  return text;
}

inline std::string contents(const char* path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd == -1) return check::error_name(errno);
  std::string text = contents(fd);
  close(fd);
  return text;
}

inline long openat2_of(int at, const char* path, open_how how, size_t size = sizeof(open_how)) {
  return syscall(SYS_openat2, at, path, &how, size);
}

// Whether /proc/net/tcp has a line for a listener at this port.
inline bool listed(uint16_t network_port, const char* path = "/proc/net/tcp") {
  char needle[40];
  snprintf(needle, sizeof needle, "0100007F:%04X 00000000:0000 0A", ntohs(network_port));
  return contents(path).find(needle) != std::string::npos;
}
