// SPDX-License-Identifier: Apache-2.0
//
// A device's run directory, which is also its identity: the names of everything that belongs to the
// device derive from the path, so that what a crash left behind can be found again. Used by daemon/
// and cli/.
#pragma once

#include <string>

#include "base/error.h"

namespace mino {

class RunDir {
 public:
  static constexpr const char* kDefault = "/run/mino";

  // `path` is made absolute. Refused if a socket's path would not fit, or MINO_RUN could not carry
  // it.
  static Result<RunDir> at(const std::string& path);

  const std::string& path() const { return path_; }
  std::string session_socket() const { return path_ + "/minod.sock"; }
  std::string control_socket() const { return path_ + "/control.sock"; }
  std::string lock_file() const { return path_ + "/minod.lock"; }  // locked while minod lives
  std::string log_file() const { return path_ + "/minod.log"; }    // what `mino up` redirects
  std::string remains_file() const { return path_ + "/remains"; }  // what a crash must not leave
  std::string root_dir() const { return path_ + "/root"; }  // where the proxies' root is made

  std::string id() const;         // eight hexadecimal digits
  std::string host_link() const;  // the uplink's end on the host, 15 characters at most
  std::string nft_table() const;  // mino_<id>

  // "--run-dir X " for use in a remedy, "" for the default directory.
  std::string option() const;

 private:
  explicit RunDir(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace mino
