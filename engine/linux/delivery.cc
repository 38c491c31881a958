// SPDX-License-Identifier: Apache-2.0
#include "engine/linux/delivery.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace mino {

namespace {

// Takes other credentials for the time of one signal. The saved uid stays, and brings them back.
class Credentials {
 public:
  Credentials(uid_t uid, uid_t euid) {
    if (uid == uid_ && euid == euid_) return;
    changed_ = ::setresuid(uid, euid, static_cast<uid_t>(-1)) == 0;
    good_ = changed_;
  }
  ~Credentials() {
    if (!changed_) return;
    if (::setresuid(uid_, euid_, static_cast<uid_t>(-1)) != 0) ::_exit(1);
    // A change of credentials clears both (daemon/confine.cc).
    ::prctl(PR_SET_DUMPABLE, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  }
  Credentials(const Credentials&) = delete;
  Credentials& operator=(const Credentials&) = delete;

  bool good() const { return good_; }

 private:
  uid_t uid_ = ::getuid(), euid_ = ::geteuid();
  bool changed_ = false, good_ = true;
};

// Signals a group; with the source, if the host kernel can (Linux 6.9) and the group's leader
// lives.
long to_group(pid_t group, siginfo_t* info) {
  constexpr unsigned kPidfdSignalProcessGroup = 4;
  const Fd leader(static_cast<int>(::syscall(SYS_pidfd_open, group, 0)));
  if (leader.valid() && ::syscall(SYS_pidfd_send_signal, leader.get(), info->si_signo, info,
                                  kPidfdSignalProcessGroup) == 0) {
    return 0;
  }
  return ::kill(-group, info->si_signo);
}

long send(const usrcall_signal& to, const SessionClient& client, siginfo_t* info) {
  // Pids of another pid namespace mean nothing here, except for the client's own.
  const bool same_numbers = to.client == client.pid;
  switch (to.kind) {
    case USRCALL_OWNER_THREAD:
      return ::syscall(SYS_rt_tgsigqueueinfo, client.pid, to.owner, info->si_signo, info);
    case USRCALL_OWNER_PROCESS:
      if (to.owner == to.client && client.pidfd >= 0)
        return ::syscall(SYS_pidfd_send_signal, client.pidfd, info->si_signo, info, 0);
      return same_numbers ? ::syscall(SYS_rt_sigqueueinfo, to.owner, info->si_signo, info) : 0;
    case USRCALL_OWNER_GROUP:
      return same_numbers && to.owner > 1 ? to_group(to.owner, info) : 0;
    default:
      return 0;
  }
}

}  // namespace

void deliver(const usrcall_signal& signal, const SessionClient& client) {
  const Credentials credentials(signal.uid, signal.euid);
  if (!credentials.good()) return;
  siginfo_t info{};
  info.si_signo = signal.number;
  info.si_code = SI_SIGIO;
  info.si_errno = signal.code;
  info.si_band = signal.band;
  info.si_fd = signal.fd;
  if (send(signal, client, &info) == 0 || errno != EAGAIN) return;
  // The queue is full. As in fs/fcntl.c: the plain signal instead, which needs no place.
  info = {};
  info.si_signo = SIGIO;
  info.si_code = SI_SIGIO;
  info.si_errno = SI_KERNEL;
  send(signal, client, &info);
}

}  // namespace mino
