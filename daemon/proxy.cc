// SPDX-License-Identifier: Apache-2.0
#include "daemon/proxy.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstring>

#include "base/check.h"
#include "base/log.h"
#include "base/random.h"
#include "base/text.h"
#include "channel/session_socket.h"
#include "daemon/confine.h"

namespace mino {

namespace {

constexpr int32_t kReserved = -1;  // proxy_pid of the rows beyond the configured limit

void clear(SessionStats& row) {
  row.client_pid = 0;
  row.session_id = 0;
  row.calls = 0;
  row.round_trips = 0;
  row.upcalls = 0;
  row.bytes_in = 0;
  row.bytes_out = 0;
  row.lanes = 0;
  row.uid = SessionStats::kNobody;
  std::memset(row.name, 0, sizeof row.name);
  row.proxy_pid = 0;  // last: from here on another proxy may claim the row
}

pid_t parent_of(pid_t pid) {
  const auto stat = read_file("/proc/" + std::to_string(pid) + "/stat", 4096);
  if (!stat) return 0;
  // The name in parentheses may hold anything; the state and the parent follow its end.
  const size_t at = stat->rfind(')');
  if (at == std::string::npos) return 0;
  const auto words = split(std::string_view(*stat).substr(at + 1), ' ');
  if (words.size() < 3) return 0;
  return static_cast<pid_t>(parse_integer(words[2], 0, INT32_MAX).value_or(0));
}

}  // namespace

void Counters::add(const SessionStats& row) {
  calls += row.calls;
  round_trips += row.round_trips;
  upcalls += row.upcalls;
  bytes_in += row.bytes_in;
  bytes_out += row.bytes_out;
}

Proxies::Proxies(Engine& engine, int netns, int mount_ns, const std::string& socket_path,
                 int64_t limit, int64_t limit_per_user)
    : engine_(engine),
      netns_(netns),
      mount_ns_(mount_ns),
      socket_path_(socket_path),
      own_pidfd_(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0))) {
  // An object of fixed size, because kernel instances map it as well.
  table_file_ = Fd(::memfd_create("mino-counters", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  CHECK(table_file_.valid() && ::ftruncate(table_file_.get(), sizeof(StatsTable)) == 0);
  ::fcntl(table_file_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  void* memory =
      ::mmap(nullptr, sizeof(StatsTable), PROT_READ | PROT_WRITE, MAP_SHARED, table_file_.get(), 0);
  CHECK(memory != MAP_FAILED && own_pidfd_.valid());
  table_ = new (memory) StatsTable();
  table_->most = static_cast<uint32_t>(limit);
  table_->most_per_user = static_cast<uint32_t>(limit_per_user);
  // Rows beyond the limit are marked as taken, so that a proxy that forks meets the limit as well.
  for (size_t i = static_cast<size_t>(limit); i < abi::kMaxSessions; i++) {
    table_->rows[i].proxy_pid = kReserved;
  }
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
}

Proxies::~Proxies() {
  ::munmap(table_, sizeof(StatsTable));
}

void Proxies::start(Fd socket, const Peer& peer, const abi::Message& hello) {
  if (const std::string why = table_->refusal(peer.uid); !why.empty())
    return post_refusal(socket.get(), abi::RefuseReason::kFull, why);
  const size_t instance = hello.turn == 0 ? 0 : hello.turn - 1;
  if (hello.turn != 0 && instance >= std::max<size_t>(instances_.size(), 1)) {
    return post_refusal(socket.get(), abi::RefuseReason::kBadRequest,
                        "this device has no kernel instance " + std::to_string(instance));
  }
  if (!instances_.empty() && instances_[instance] < 0) {
    return post_refusal(
        socket.get(), abi::RefuseReason::kInternal,
        "kernel instance " + std::to_string(instance) + " is starting anew; try again");
  }
  const int kernel = instances_.empty() ? -1 : instances_[instance];
  const pid_t child = fork_keeping({socket.get(), own_pidfd_.get(), kernel, netns_, mount_ns_});
  if (child == 0) serve(std::move(socket), peer, hello, instance);
  if (child < 0) {
    spdlog::error("cannot fork a proxy: {}", std::strerror(errno));
    return post_refusal(socket.get(), abi::RefuseReason::kInternal,
                        "the device cannot start a proxy; its log says why");
  }
  spdlog::debug("proxy {} serves {} (pid {}, uid {})", child,
                printable(std::string_view(hello.text, 15)), peer.pid, peer.uid);
}

void Proxies::serve(Fd socket, const Peer& peer, const abi::Message& hello, size_t instance) {
  const int kernel = instances_.empty() ? -1 : instances_[instance];
  const std::string name = printable(std::string_view(hello.text, 15));
  const pid_t minod = ::getppid();
  auto confined = confine_proxy({netns_, mount_ns_, minod, name}, peer,
                                {socket.get(), own_pidfd_.get(), kernel});
  if (!confined) {
    spdlog::error("cannot confine the proxy of pid {}: {}", peer.pid, confined.error().text);
    post_refusal(socket.get(), abi::RefuseReason::kInternal,
                 "the device cannot confine a proxy; its log says why");
    ::_exit(1);
  }
  SessionStats* row = table_->claim(::getpid(), peer.uid);
  if (row == nullptr) {
    const std::string why = table_->refusal(peer.uid);
    post_refusal(socket.get(), abi::RefuseReason::kFull,
                 why.empty() ? "too many sessions began at once; try again" : why);
    ::_exit(0);
  }
  SessionStart start;
  start.session_id = random_id();
  row->client_pid = peer.pid;
  row->session_id = start.session_id;
  std::memcpy(row->name, name.c_str(), std::min(name.size(), sizeof row->name - 1));
  start.socket = std::move(socket);
  start.minod = std::move(own_pidfd_);
  start.lane_count = hello.lane_count;
  start.arena_bytes = hello.arena_bytes;
  start.client_pid = peer.pid;
  start.client_capabilities = peer.capabilities;
  row->instance = static_cast<uint32_t>(instance);
  start.instance = Fd(kernel);
  start.stats = row;
  start.stats_table = table_;
  start.socket_path = socket_path_.c_str();
  ::_exit(engine_.serve(std::move(start)));
}

void Proxies::reap(const std::function<bool(pid_t pid, int status)>& other) {
  int status = 0;
  pid_t pid;
  while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
    if (!other(pid, status)) account(pid, status);
  }
}

void Proxies::account(pid_t pid, int status) {
  std::string of;
  for (SessionStats& row : table_->rows) {
    if (row.proxy_pid != pid) continue;
    of = " of " + printable(std::string_view(row.name, sizeof row.name)) + " (pid " +
         std::to_string(row.client_pid) + ")";
    ended_.add(row);
    clear(row);
    break;
  }
  if (status == 0 || !may_log_about_peers()) return;
  if (WIFSIGNALED(status)) {
    spdlog::error("proxy {}{} died by signal {} ({})", pid, of, WTERMSIG(status),
                  ::strsignal(WTERMSIG(status)));
  } else {
    spdlog::warn("proxy {}{} ended with status {}", pid, of, WEXITSTATUS(status));
  }
}

void Proxies::stop() {
  // The table is shared with the proxies and may be wrong; the kernel's list of our children cannot
  // be.
  const std::string list = "/proc/self/task/" + std::to_string(::getpid()) + "/children";
  for (int round = 0; round < 100; round++) {
    const auto children = read_file(list);
    if (children) {
      for (const auto word : split(trim(*children), ' ')) {
        if (const auto pid = parse_integer(word, 1, INT32_MAX))
          ::kill(static_cast<pid_t>(*pid), SIGKILL);
      }
    } else {
      for (const SessionStats* row : rows()) ::kill(row->proxy_pid, SIGKILL);
    }
    int status = 0;
    pid_t pid;
    while ((pid = ::waitpid(-1, &status, WNOHANG)) > 0) {
    }
    if (pid < 0 && errno == ECHILD) return;
    ::usleep(10'000);
  }
  spdlog::error("some proxies did not end within a second of SIGKILL");
}

bool Proxies::is_proxy(pid_t pid) const {
  return pid > 0 && parent_of(pid) == ::getpid();
}

std::vector<const SessionStats*> Proxies::rows() const {
  std::vector<const SessionStats*> live;
  for (const SessionStats& row : table_->rows) {
    if (row.proxy_pid > 0) live.push_back(&row);
  }
  return live;
}

Counters Proxies::counters() const {
  Counters sum = ended_;
  for (const SessionStats* row : rows()) sum.add(*row);
  return sum;
}

}  // namespace mino
