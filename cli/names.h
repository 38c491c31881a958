// SPDX-License-Identifier: Apache-2.0
//
// Names for the kernel's numbers: families, flags, options, requests. Used by cli/trace. Pure
// look-ups, which must accept any number: one without a name is shown as a number.
#pragma once

#include <cstdint>
#include <string>

namespace mino::names {

std::string family(uint64_t value);
std::string socket_type(uint64_t value);  // with SOCK_CLOEXEC and SOCK_NONBLOCK
std::string protocol(uint64_t family, uint64_t value);
std::string message_flags(uint64_t value);  // MSG_*
std::string open_flags(uint64_t value);
std::string at_flags(uint64_t value);
std::string level(uint64_t value);  // SOL_*
std::string option(uint64_t level, uint64_t value);
std::string epoll_operation(uint64_t value);
std::string epoll_events(uint64_t value);
std::string poll_events(uint64_t value);
std::string ioctl_request(uint64_t value);
std::string fcntl_command(uint64_t value);
std::string shutdown_how(uint64_t value);
std::string whence(uint64_t value);
std::string splice_flags(uint64_t value);
std::string descriptor_flags(uint64_t value);  // FD_CLOEXEC
std::string error_name(int64_t code);          // "ECONNREFUSED (Connection refused)"

}  // namespace mino::names
