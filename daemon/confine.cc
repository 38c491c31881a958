// SPDX-License-Identifier: Apache-2.0
#include "daemon/confine.h"

#include <cap-ng.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "abi/limits.h"

namespace mino {

namespace {

// The client's capabilities that are of use on the device: its network, raw sockets, low ports,
// locked ring buffers (AF_PACKET), signals to the owners of its sockets (F_SETOWN), and setuid()
// and similar calls, which a proxy repeats after its client.
constexpr int kUseful[] = {CAP_CHOWN,   CAP_FOWNER,           CAP_DAC_OVERRIDE,  CAP_NET_ADMIN,
                           CAP_NET_RAW, CAP_NET_BIND_SERVICE, CAP_NET_BROADCAST, CAP_IPC_LOCK,
                           CAP_SETUID,  CAP_SETGID,           CAP_KILL};

Result<void> enter_namespaces(const Confinement& to) {
  if (::setns(to.netns, CLONE_NEWNET) != 0) return errno_error("setns(network)");
  if (::setns(to.mount_ns, CLONE_NEWNS) != 0) return errno_error("setns(mount)");
  if (::chdir("/") != 0) return errno_error("/");
  return {};
}

void set_limits() {
  // The proxy's descriptors have the client's numbers, whatever the client's limit is.
  rlimit files{abi::kMaxFd, abi::kMaxFd};
  if (::setrlimit(RLIMIT_NOFILE, &files) != 0) {
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
  }
  const rlimit none{0, 0};
  ::setrlimit(RLIMIT_CORE, &none);  // a core would hold the client's data
}

Result<void> take_credentials(const Peer& peer) {
  capng_clear(CAPNG_SELECT_BOTH);
  for (const int capability : kUseful) {
    const auto number = static_cast<unsigned>(capability);
    capng_update(CAPNG_ADD, CAPNG_BOUNDING_SET, number);
    if ((peer.capabilities >> number & 1) == 0) continue;
    capng_update(CAPNG_ADD, static_cast<capng_type_t>(CAPNG_EFFECTIVE | CAPNG_PERMITTED), number);
  }
  // The bounding set comes first: dropping from it needs CAP_SETPCAP, which the next step takes
  // away.
  if (capng_apply(CAPNG_SELECT_BOUNDS) != 0) return errno_error("capability bounding set");
  if (::prctl(PR_SET_KEEPCAPS, 1) != 0) return errno_error("PR_SET_KEEPCAPS");
  if (::setgroups(peer.groups.size(), peer.groups.data()) != 0) return errno_error("setgroups");
  if (::setresgid(peer.gid, peer.gid, peer.gid) != 0) return errno_error("setresgid");
  if (::setresuid(peer.uid, peer.uid, peer.uid) != 0) return errno_error("setresuid");
  if (capng_apply(CAPNG_SELECT_CAPS) != 0) return errno_error("capabilities");
  if (::prctl(PR_SET_KEEPCAPS, 0) != 0) return errno_error("PR_SET_KEEPCAPS");
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno_error("PR_SET_NO_NEW_PRIVS");
  // Other processes of the same user may neither trace the proxy nor reach its root through /proc.
  if (::prctl(PR_SET_DUMPABLE, 0) != 0) return errno_error("PR_SET_DUMPABLE");
  return {};
}

}  // namespace

uint64_t proxy_capabilities() {
  uint64_t mask = 0;
  for (const int capability : kUseful) mask |= uint64_t{1} << capability;
  return mask;
}

Result<void> confine_proxy(const Confinement& to, const Peer& peer, std::vector<int> keep) {
  for (int number = 1; number < NSIG; number++) ::signal(number, SIG_DFL);
  ::signal(SIGPIPE, SIG_IGN);  // the client raises its own
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::umask(0022);
  if (auto done = enter_namespaces(to); !done) return done;
  close_others(std::move(keep));
  set_limits();
  if (auto done = take_credentials(peer); !done) return done;
  ::prctl(PR_SET_NAME, ("mino:" + to.name).c_str());
  // The death signal comes in addition to the pidfd that the engine watches. It is set after the
  // credentials, whose change clears it. The parent may have ended before that.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != to.minod) return error("minod ended");
  return {};
}

}  // namespace mino
