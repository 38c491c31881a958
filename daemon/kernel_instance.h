// SPDX-License-Identifier: Apache-2.0
//
// A kernel instance of the linux engine: the process in which a whole Linux runs (kernel/). Starts
// it with its uplink, waits until it serves, follows its console, and starts another one when it
// has died. Used by minod's main(). Session processes talk to it through the instance socket
// (abi/usrcall.h), which they inherit. It must never serve a session itself.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "abi/usrcall.h"
#include "base/error.h"
#include "base/fd.h"
#include "daemon/address.h"
#include "daemon/event_loop.h"
#include "daemon/host_interface.h"

namespace mino {

class KernelInstance {
 public:
  struct Options {
    std::string kernel;                // the executable that kernel/build.sh makes
    int64_t memory_mib;                // of the instance; taken from the machine as it is used
    std::vector<std::string> sysctls;  // of the configuration, "NAME=VALUE"
    std::string link;                  // a tap, or
    std::optional<MacAddress> mac;     // with this: any interface of the host
    int64_t mtu;
    UplinkAddresses uplink;
    std::string address6, gateway6;   // 32 hexadecimal digits, or ""
    std::vector<std::string> paths;   // directories of this machine that it serves
    std::string root;                 // an empty directory to mount its root on
    std::string directory;            // for its few files
    int stats = -1;                   // the table of counters, a sealed memory object
    std::function<void(int)> serves;  // told the instance socket, or -1 when it has ended
  };

  KernelInstance(EventLoop& loop, Options options) : loop_(loop), options_(std::move(options)) {}
  ~KernelInstance();
  KernelInstance(const KernelInstance&) = delete;
  KernelInstance& operator=(const KernelInstance&) = delete;

  // Boots it and waits until it serves, about a tenth of a second.
  Result<void> start();

  pid_t pid() const { return pid_; }
  const std::string& release() const { return release_; }
  std::chrono::duration<double> uptime() const { return EventLoop::Clock::now() - started_; }

  // The instance has ended. Logs that and starts another one, at most once a second. If that fails,
  // tries again every few seconds.
  void ended(int status);

  // Another interface has taken the place of the host interface that the instance is on.
  void renew_uplink();

  // The number of TCP and UDP sockets in use; -1 when the instance does not answer.
  int64_t sockets();

 private:
  std::string own_folder() const;
  std::vector<std::string> arguments(int socket, int stats) const;
  std::string build_command() const;
  Result<void> receive(uint32_t type, usrcall_command& command, std::chrono::milliseconds patience);
  void watch_console(Fd console);
  void read_console();
  void start_again();
  void stop();

  EventLoop& loop_;
  const Options options_;
  pid_t pid_ = 0;
  Fd socket_, console_;
  Fd uplink_;         // a packet socket, as the instance has it
  std::string line_;  // of the console, not complete yet
  std::string release_;
  EventLoop::Clock::time_point started_{};
};

}  // namespace mino
