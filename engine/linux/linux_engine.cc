// SPDX-License-Identifier: Apache-2.0
//
// The linux engine: a Linux kernel in a process of its own (kernel/) executes the calls. Used by
// minod through engine/engine.h. Never executes a call itself.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <vector>

#include "engine/engine.h"
#include "engine/linux/session.h"

namespace mino {

namespace {

class LinuxEngine final : public Engine {
 public:
  const char* name() const override { return "linux"; }
  int serve(SessionStart start) override;
};

// Who the client is: this process has its credentials already (daemon/confine.h).
void add_credentials(usrcall_command& command, uint64_t capabilities) {
  command.uid = ::getuid();
  command.gid = ::getgid();
  command.capabilities = capabilities;
  std::vector<gid_t> groups(NGROUPS_MAX);
  const int count = ::getgroups(static_cast<int>(groups.size()), groups.data());
  command.group_count =
      static_cast<uint32_t>(std::clamp(count, 0, static_cast<int>(USRCALL_MAX_GROUPS)));
  std::copy_n(groups.begin(), command.group_count, command.groups);
}

int LinuxEngine::serve(SessionStart start) {
  ::signal(SIGPIPE, SIG_IGN);
  const int client_socket = start.socket.get();
  Fd client = pidfd_of_peer(client_socket, start.client_pid);
  if (!client.valid()) return kClientGone;
  auto made = SessionMemory::create(start.session_id, start.lane_count, start.arena_bytes);
  if (!made) return refuse_session(client_socket, made.error());
  // Neither is ever destroyed: clients learn of the end through the robust list.
  auto& memory = *new SessionMemory(std::move(*made));
  int pair[2];
  if (!report_senders(client_socket) ||
      ::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
    return refuse_session(client_socket, errno_error("socket to the kernel instance").error());
  }
  const LinuxHeritage heritage{start.stats, start.stats_table};
  auto& session = *new LinuxSession(heritage, memory, std::move(start.socket),
                                    std::move(start.minod), std::move(client), Fd(pair[0]));
  usrcall_command command = LinuxSession::new_session(memory, heritage);
  add_credentials(command, start.client_capabilities);
  Fd kernel_end(pair[1]);
  const bool sent = session.valid() &&
                    send_command(start.instance.get(), command, memory.object(), kernel_end.get());
  kernel_end.reset();  // the instance's end is the session's end
  const int started = sent ? session.await_start() : -EPIPE;
  if (started == -EUSERS) {
    return refuse_session(client_socket,
                          {"a kernel instance serves " + std::to_string(abi::kMaxInstanceSessions) +
                               " sessions at a time; have more of them (`mino up --instances`)",
                           0});
  }
  if (started != 0) {
    return refuse_session(client_socket,
                          {"the kernel instance did not start the session", -started});
  }
  start.instance.reset();
  if (!session.welcome()) return kClientGone;
  const int status = session.run();
  session.finish();
  return status;
}

}  // namespace

std::unique_ptr<Engine> make_linux_engine() {
  return std::make_unique<LinuxEngine>();
}

}  // namespace mino
