// SPDX-License-Identifier: Apache-2.0
#include "daemon/exchange.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "abi/parcel.h"
#include "daemon/confine.h"

namespace mino {

namespace {

// Makes the memfd that travels. `watch` becomes another open file description of it, which does not
// travel.
Result<Fd> make_parcel(uint64_t id, Fd& watch) {
  Fd made(::memfd_create("mino-passing", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!made.valid()) return errno_error("memfd_create");
  abi::Parcel content;
  std::memcpy(content.text, abi::kParcelText, sizeof content.text);
  std::snprintf(content.id, sizeof content.id, "%016" PRIx64, id);
  content.id[sizeof content.id - 1] = '\n';
  constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  if (::write(made.get(), &content, sizeof content) != sizeof content ||
      ::fcntl(made.get(), F_ADD_SEALS, kSeals) != 0 || ::flock(made.get(), LOCK_SH | LOCK_NB) != 0)
    return errno_error("a parcel");
  const std::string path = "/proc/self/fd/" + std::to_string(made.get());
  watch = Fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!watch.valid()) return errno_error(path);
  return made;
}

// Whether an epoll set with this tag is open.
bool is_tag_out(uint64_t id) {
  const Fd probe(::eventfd(0, EFD_CLOEXEC));
  struct flock lock{};
  lock.l_type = F_WRLCK;
  lock.l_start = static_cast<off_t>(id);
  lock.l_len = 1;
  return !probe.valid() || ::fcntl(probe.get(), F_OFD_GETLK, &lock) != 0 || lock.l_type != F_UNLCK;
}

}  // namespace

Exchange::~Exchange() {
  for (auto& [id, waiting] : files_) close_safely(std::move(waiting.file));
}

Result<Exchange::Export> Exchange::put(Fd file, uid_t owner, bool for_holders) {
  const auto own = std::ranges::count_if(
      files_, [owner](const auto& entry) { return entry.second.owner == owner; });
  if (files_.size() >= kMaxFiles || static_cast<size_t>(own) >= kMaxFilesOfUser) {
    close_safely(std::move(file));
    return error("too many open files are on their way between programs (" +
                 std::to_string(kMaxFilesOfUser) + " of one user, " + std::to_string(kMaxFiles) +
                 " in all)");
  }
  uint64_t id = 0;
  while (id == 0 || files_.contains(id)) {
    if (::getrandom(&id, sizeof id, 0) != sizeof id) return errno_error("getrandom");
    id >>=
        2;  // positive, so that it is a result and not an error; and an offset with one behind it
  }
  Fd watch;
  auto parcel = make_parcel(id, watch);
  if (!parcel) {
    close_safely(std::move(file));
    return std::unexpected(parcel.error());
  }
  Waiting& waiting = files_[id];
  waiting = {std::move(file), std::move(watch), owner, for_holders, EventLoop::Clock::now(), {}};
  look_later(id, waiting);
  return Export{id, std::move(*parcel)};
}

Fd Exchange::copy(uint64_t id, uid_t user) const {
  const auto found = files_.find(id);
  const bool may = found != files_.end() &&
                   (!found->second.for_holders || user == 0 || user == found->second.owner);
  return !may ? Fd() : Fd(::fcntl(found->second.file.get(), F_DUPFD_CLOEXEC, 0));
}

bool Exchange::is_out(uint64_t id, const Waiting& waiting) {
  return ::flock(waiting.parcel.get(), LOCK_EX | LOCK_NB) != 0 ||
         (waiting.for_holders && is_tag_out(id));
}

void Exchange::settle(uint64_t id) {
  const auto found = files_.find(id);
  if (found == files_.end() || is_out(id, found->second)) return;
  loop_.cancel(found->second.timer);
  Fd file = std::move(found->second.file);
  files_.erase(found);
  close_safely(std::move(file));
}

// Checks again after a quarter of the time that the parcel has been out, at most a second later.
void Exchange::look_later(uint64_t id, Waiting& waiting) {
  using std::chrono::milliseconds;
  const auto out =
      std::chrono::duration_cast<milliseconds>(EventLoop::Clock::now() - waiting.since);
  waiting.timer = loop_.after(std::clamp(out / 4, milliseconds(1), milliseconds(1000)), [this, id] {
    settle(id);
    const auto still = files_.find(id);
    if (still != files_.end()) look_later(id, still->second);
  });
}

void Exchange::close_safely(Fd file) {
  if (!file.valid()) return;
  linger option{};
  socklen_t size = sizeof option;
  if (::getsockopt(file.get(), SOL_SOCKET, SO_LINGER, &option, &size) == 0 && option.l_onoff != 0)
    close_elsewhere(std::move(file));
}

void Exchange::close_connection(Fd socket) {
  ::shutdown(socket.get(), SHUT_RDWR);  // nothing more can come
  char byte;
  if (::recv(socket.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
    close_elsewhere(std::move(socket));
}

void Exchange::close_elsewhere(Fd file) {
  // The child's copy must be the last one, so the child ends only when minod's copy is closed. The
  // exit of a process does not linger (inet_release() in net/ipv4/af_inet.c looks at PF_EXITING).
  int gate[2];
  if (::pipe2(gate, O_CLOEXEC) != 0) return;
  Fd wait(gate[0]), release(gate[1]);
  if (fork_keeping({file.get(), wait.get()}) == 0) {
    char byte;
    (void)!::read(wait.get(), &byte, 1);
    ::_exit(0);
  }
  file.reset();
}

}  // namespace mino
