// SPDX-License-Identifier: Apache-2.0
#include "engine/linux/session.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/random.h"
#include "channel/descriptor_passing.h"
#include "channel/futex.h"
#include "engine/linux/delivery.h"

namespace mino {

namespace {

constexpr int kEndPatience = 1'000;  // ms for the instance to close what the client had
constexpr int kPatience = 10'000;    // ms for the kernel instance's answers

usrcall_command command_of(uint32_t type) {
  usrcall_command command{};
  command.type = type;
  command.version = USRCALL_VERSION;
  return command;
}

// Receives one message, and the descriptor with it if there is one. False if the peer is gone,
// silent for `patience` ms, or of another version.
bool receive_command(int socket, usrcall_command& command, Fd& file, int patience) {
  pollfd readable{socket, POLLIN, 0};
  if (::poll(&readable, 1, patience) != 1) return false;
  Datagram datagram = receive_datagram(socket, &command, sizeof command);
  if (datagram.file_count != 0) file = std::move(datagram.files[0]);
  return datagram.bytes == sizeof command && command.version == USRCALL_VERSION;
}

bool is_eventfd(int fd) {
  const std::string path = "/proc/self/fd/" + std::to_string(fd);
  char name[32];
  const ssize_t bytes = ::readlink(path.c_str(), name, sizeof name);
  return bytes > 0 && std::string_view(name, static_cast<size_t>(bytes)) == "anon_inode:[eventfd]";
}

}  // namespace

bool send_command(int socket, const usrcall_command& command, int first, int second) {
  const int files[2] = {first, second};
  const size_t count = first < 0 ? 0 : second < 0 ? 1 : 2;
  // The instance reads soon. Its socket is full only when many sessions begin at once.
  return send_datagram(socket, &command, sizeof command, std::span(files, count), 0);
}

LinuxSession::LinuxSession(const LinuxHeritage& heritage, SessionMemory& memory, Fd socket,
                           Fd minod, Fd client, Fd kernel)
    : SessionControl(memory, *heritage.stats, *heritage.stats_table, std::move(socket),
                     std::move(minod), std::move(client)),
      heritage_(heritage),
      memory_(memory),
      kernel_(std::move(kernel)) {}

LinuxSession::~LinuxSession() {
  if (robust_entries_ != nullptr) ::munmap(robust_entries_, robust_bytes_);
}

usrcall_command LinuxSession::new_session(const SessionMemory& memory,
                                          const LinuxHeritage& heritage) {
  usrcall_command command = command_of(USRCALL_NEW);
  command.id = memory.session_id();
  command.lane_count = memory.lane_count();
  command.arena_bytes = memory.arena_bytes();
  command.row = static_cast<uint32_t>(heritage.stats - heritage.stats_table->rows);
  std::memcpy(command.text, heritage.stats->name, sizeof heritage.stats->name);
  return command;
}

int LinuxSession::await_start() {
  usrcall_command answer;
  Fd file;
  if (!receive_command(kernel_.get(), answer, file, kPatience)) return -EPIPE;
  if (answer.type != USRCALL_STARTED) return -EPROTO;
  if (answer.result != 0) return answer.result;
  return make_robust_list() && watch(kernel_.get()) ? 0 : -ENOMEM;
}

bool LinuxSession::make_robust_list() {
  robust_bytes_ = abi::session_bytes(memory_.lane_count(), memory_.arena_bytes());
  robust_entries_ = ::mmap(nullptr, robust_bytes_, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (robust_entries_ == MAP_FAILED) {
    robust_entries_ = nullptr;
    return false;
  }
  robust_.list.next = &robust_.list;
  robust_.futex_offset = reinterpret_cast<char*>(&memory_.lane(0).control->liveness) -
                         reinterpret_cast<char*>(robust_entry(0));
  return robust_.activate();
}

RobustEntry* LinuxSession::robust_entry(uint32_t lane) const {
  return reinterpret_cast<RobustEntry*>(static_cast<char*>(robust_entries_) +
                                        abi::lane_offset(lane, memory_.arena_bytes()));
}

bool LinuxSession::tell(uint32_t type, uint32_t lane, int file) {
  usrcall_command command = command_of(type);
  command.lane = lane;
  return send_command(kernel_.get(), command, file);
}

// The lane's client may sleep as long as this process lives. The kernel instance sets `attached`.
bool LinuxSession::attach(uint32_t lane) {
  const auto tid = static_cast<uint32_t>(::syscall(SYS_gettid));
  RobustEntry* entry = robust_entry(lane);
  if (entry->next == nullptr) {
    entry->next = robust_.list.next;
    robust_.list.next = entry;
  }
  memory_.lane(lane).control->liveness.store(tid | FUTEX_WAITERS, std::memory_order_seq_cst);
  return tell(USRCALL_ATTACH, lane);
}

// The instance serves other sessions, too: the last close of another kind of file might block it.
bool LinuxSession::bell(uint32_t lane, Fd file) {
  return is_eventfd(file.get()) && tell(USRCALL_BELL, lane, file.get());
}

// The client has written the turn into session memory already, and has rung the doorbell.
bool LinuxSession::cancel(uint32_t, uint32_t) {
  return true;
}

bool LinuxSession::begin_reattach() {
  return tell(USRCALL_REATTACH, 0);
}

bool LinuxSession::share() {
  return tell(USRCALL_SHARE, 0);
}

bool LinuxSession::clear(uint32_t number) {
  return tell(USRCALL_CLEAR, number);
}

bool LinuxSession::give(uint32_t number, Fd asker) {
  if (askers_.size() == kMaxAskers) askers_.pop_front();
  usrcall_command command = command_of(USRCALL_GIVE);
  command.lane = number;
  command.row = ++questions_;
  askers_.push_back({command.row, std::move(asker)});
  return send_command(kernel_.get(), command);
}

void LinuxSession::given(const usrcall_command& command, Fd parcel) {
  const auto asker = std::ranges::find(askers_, command.row, &Asker::question);
  if (asker == askers_.end()) return;
  if (parcel.valid())
    post_parcel(asker->socket.get(), std::move(parcel), command.id);
  else
    refuse_parcel(asker->socket.get(), command.result);
  askers_.erase(asker);
}

int LinuxSession::ready(int) {
  usrcall_command command;
  Fd file;
  if (!receive_command(kernel_.get(), command, file, 0)) return kClientGone;  // or the instance is
  switch (command.type) {
    case USRCALL_PARKED:
      return welcome() ? kServing : kClientGone;
    case USRCALL_CLEARED:
      cleared(command.lane);
      return kServing;
    case USRCALL_FORK:
      return fork_session(command.lane);
    case USRCALL_MAPPED:
      return post_mapped(socket(), file.get(), command.id) ? kServing : kClientGone;
    case USRCALL_SIGNAL: {
      const pid_t set_by = command.signal.client;
      deliver(command.signal,
              {client(set_by), has_client(set_by) ? set_by : heritage_.stats->client_pid.load()});
      return kServing;
    }
    case USRCALL_GIVEN:
      given(command, std::move(file));
      return kServing;
    case USRCALL_PARCEL:
      return post_parcel(socket(), std::move(file), command.id) ? kServing : kClientGone;
    default:
      return kOutOfResources;
  }
}

int LinuxSession::after_events(bool) {
  return -1;
}

void LinuxSession::finish() {
  ::shutdown(kernel_.get(), SHUT_WR);
  pollfd end{kernel_.get(), 0, 0};  // POLLHUP: the kernel instance has closed its end
  ::poll(&end, 1, kEndPatience);
}

namespace {

// What the process of the child's session starts with.
struct Child {
  Fd socket, client_end;    // the client's new connection
  Fd kernel, instance_end;  // the session socket
  Fd report, answer;        // pipe: the child's row (4 bytes, negative errno), then its start
  SessionMemory memory;
};

bool make_pair(Fd& one, Fd& other) {
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) return false;
  one = Fd(pair[0]);
  other = Fd(pair[1]);
  return true;
}

bool prepare(const SessionMemory& parent, Child& child) {
  int pipe[2];
  if (!make_pair(child.socket, child.client_end) || !make_pair(child.kernel, child.instance_end))
    return false;
  if (::pipe2(pipe, O_CLOEXEC) != 0) return false;
  child.answer = Fd(pipe[0]);
  child.report = Fd(pipe[1]);
  if (!report_senders(child.socket.get())) return false;
  auto memory = SessionMemory::create(random_id(), parent.lane_count(), parent.arena_bytes());
  if (!memory) return false;
  child.memory = std::move(*memory);
  return true;
}

void report(const Fd& to, int32_t value) {
  (void)!::write(to.get(), &value, sizeof value);
}

bool read_report(const Fd& from, int32_t& value) {
  pollfd readable{from.get(), POLLIN, 0};
  return ::poll(&readable, 1, kPatience) == 1 &&
         ::read(from.get(), &value, sizeof value) == sizeof value;
}

// In the new process.
[[noreturn]] void serve_child(LinuxHeritage heritage, Fd minod, Child& child) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const SessionMemory& made = child.memory;
  // Whoever holds an end of the parent's sockets keeps the parent's session alive.
  close_others(
      {child.socket.get(), child.kernel.get(), child.report.get(), minod.get(), made.object()});
  auto memory = SessionMemory::map(Fd(made.object()), made.session_id(), made.lane_count(),
                                   made.arena_bytes());
  child.memory.forget();
  SessionStats* row =
      memory ? claim_child_row(*heritage.stats_table, *heritage.stats, memory->session_id())
             : nullptr;
  if (row == nullptr) {
    report(child.report, -EAGAIN);
    ::_exit(kOutOfResources);
  }
  heritage.stats = row;
  report(child.report, static_cast<int32_t>(row - heritage.stats_table->rows));
  int status = kOutOfResources;
  {
    LinuxSession session(heritage, *memory, std::move(child.socket), std::move(minod), Fd(),
                         std::move(child.kernel));
    const int started = session.valid() ? session.await_start() : -ENOMEM;
    report(child.report, started);
    child.report.reset();
    if (started == 0) {
      status = session.run();
      session.finish();
    }
    ::_exit(status);  // without teardown: clients learn of the end through the robust list
  }
}

// Forks twice, so that minod becomes the new process's parent; false if it never ran.
bool fork_twice(const LinuxHeritage& heritage, int minod, Child& child) {
  const pid_t between = ::fork();
  if (between < 0) return false;
  if (between == 0) {
    const pid_t self = ::getpid();
    const pid_t grandchild = ::fork();
    if (grandchild != 0) ::_exit(grandchild > 0 ? 0 : 1);
    while (::getppid() == self) ::sched_yield();
    serve_child(heritage, Fd(::dup(minod)), child);
  }
  child.report.reset();
  child.socket.reset();
  child.kernel.reset();
  int status = 0;
  while (::waitpid(between, &status, __WALL) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

// A lane waits in the kernel instance until FORKED says what its child is.
int LinuxSession::fork_session(uint32_t lane) {
  usrcall_command command = command_of(USRCALL_FORKED);
  command.result = -EAGAIN;
  command.lane = lane;
  Child child;
  int32_t row = -EAGAIN, started = -EAGAIN;
  const bool made = !refuse_child(socket(), *heritage_.stats_table, *heritage_.stats) &&
                    prepare(memory_, child) && fork_twice(heritage_, minod(), child) &&
                    read_report(child.answer, row) && row >= 0;
  if (made) {
    command = new_session(child.memory, heritage_);
    command.type = USRCALL_FORKED;
    command.lane = lane;
    command.row = static_cast<uint32_t>(row);
  }
  if (!send_command(kernel_.get(), command, made ? child.memory.object() : -1,
                    made ? child.instance_end.get() : -1)) {
    return kClientGone;
  }
  child.instance_end.reset();
  if (!made || !read_report(child.answer, started) || started != 0) return kServing;
  announce_child(socket(), child.memory, child.client_end.get());
  return kServing;
}

}  // namespace mino
