// SPDX-License-Identifier: Apache-2.0
//
// `mino down`: ends the device, and returns when nothing of it is left. Called by main().

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "base/fd.h"
#include "base/parts.h"
#include "cli/commands.h"
#include "cli/device_client.h"
#include "cli/progress.h"

namespace mino {

namespace {

constexpr std::chrono::seconds kPatience{30};

// Removes what a killed minod has left on the host. Its successor would do that; otherwise `minod
// --clean` does.
void clean(const RunDir& dir) {
  const bool crashed = ::access(dir.remains_file().c_str(), F_OK) == 0 ||
                       ::access(dir.lock_file().c_str(), F_OK) == 0;
  if (!crashed || ::geteuid() != 0) return;
  const auto minod = find_part(Part::kMinod);
  if (!minod) {
    complain(kFailed, "the remains of a killed minod are still there: " + minod.error().text);
    return;
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl(minod->c_str(), minod->c_str(), "--run-dir", dir.path().c_str(), "--clean", nullptr);
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status == 0) std::printf("removed what a minod that was killed had left\n");
}

}  // namespace

int down(const RunDir& dir) {
  auto status = ask_device(dir, "status");
  if (!status && is_absent(status.error())) {
    std::printf("no device runs at %s\n", dir.path().c_str());
    clean(dir);
    return kOk;
  }
  if (!status) return complain(kFailed, status.error().text);
  const pid_t pid = (*status)["pid"].get<pid_t>();
  const Fd handle(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  auto answer = ask_device(dir, "down");
  if (!answer && !is_absent(answer.error())) return complain(kFailed, answer.error().text);
  if (handle.valid() && !wait_with_progress(handle.get(), kPatience, "waiting for minod to end")) {
    return complain(kFailed, "minod (pid " + std::to_string(pid) +
                                 ") has not ended after half a minute; its log is " +
                                 dir.log_file());
  }
  std::printf("device down\n");
  return kOk;
}

}  // namespace mino
