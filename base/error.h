// SPDX-License-Identifier: Apache-2.0
//
// mino's own failures: a sentence for the user, and the errno behind it if there is one. Used
// outside hook/. A forwarded system call's failure is data, never an Error.
#pragma once

#include <cerrno>
#include <cstring>
#include <expected>
#include <string>
#include <utility>

namespace mino {

struct Error {
  std::string text;  // names the thing and, where there is one, the remedy
  int code = 0;      // errno, or 0
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> error(std::string text) {
  return std::unexpected(Error{std::move(text), 0});
}

// "what: Permission denied", from the current errno.
inline std::unexpected<Error> errno_error(std::string what) {
  const int code = errno;
  return std::unexpected(Error{std::move(what) + ": " + std::strerror(code), code});
}

}  // namespace mino
