// SPDX-License-Identifier: Apache-2.0
#include "base/run_dir.h"

#include <sys/un.h>

#include <cstdint>
#include <cstdio>
#include <filesystem>

namespace mino {

Result<RunDir> RunDir::at(const std::string& path) {
  if (path.empty()) return error("the run directory's name is empty; give --run-dir DIR");
  std::error_code failure;
  std::string whole = std::filesystem::absolute(path, failure).lexically_normal().string();
  if (failure) return error(path + ": " + failure.message());
  while (whole.size() > 1 && whole.back() == '/') whole.pop_back();
  if (whole == "/")
    return error("the run directory cannot be /; choose one of its own, as /run/mino");
  if (whole.find_first_of(";:\n") != std::string::npos) {
    return error(whole + ": a run directory's name cannot hold ';', ':' or a line break");
  }
  RunDir dir(whole);
  constexpr size_t kMax = sizeof(sockaddr_un::sun_path) - 1;
  if (dir.control_socket().size() > kMax) {
    return error(whole + ": too long for a socket's path (" + std::to_string(kMax) +
                 " characters with /control.sock); choose a shorter --run-dir");
  }
  return dir;
}

std::string RunDir::id() const {
  uint32_t hash = 2166136261u;  // FNV-1a
  for (const char c : path_) hash = (hash ^ static_cast<uint8_t>(c)) * 16777619u;
  char text[16];
  std::snprintf(text, sizeof text, "%08x", hash);
  return text;
}

std::string RunDir::host_link() const {
  return path_ == kDefault ? "mino0" : "mino-" + id();
}

std::string RunDir::nft_table() const {
  return "mino_" + id();
}

std::string RunDir::option() const {
  return path_ == kDefault ? "" : "--run-dir " + path_ + " ";
}

}  // namespace mino
