// SPDX-License-Identifier: Apache-2.0
#include "daemon/exchange.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "daemon/confine.h"

namespace mino {

Exchange::~Exchange() {
  for (auto& [id, waiting] : files_) close_safely(std::move(waiting.file));
}

Result<uint64_t> Exchange::put(Fd file) {
  if (files_.size() >= kMaxFiles) {
    close_safely(std::move(file));
    return error("too many open files are on their way between sessions (1024 at a time)");
  }
  uint64_t id = 0;
  while (id == 0 || files_.contains(id)) {
    if (::getrandom(&id, sizeof id, 0) != sizeof id) return errno_error("getrandom");
  }
  const auto timer = loop_.after(kPatience, [this, id] { close_safely(take(id)); });
  files_[id] = {std::move(file), timer};
  return id;
}

Fd Exchange::take(uint64_t id) {
  const auto found = files_.find(id);
  if (found == files_.end()) return {};
  Fd file = std::move(found->second.file);
  loop_.cancel(found->second.timer);
  files_.erase(found);
  return file;
}

Fd Exchange::copy(uint64_t id) const {
  const auto found = files_.find(id);
  return found == files_.end() ? Fd() : Fd(::fcntl(found->second.file.get(), F_DUPFD_CLOEXEC, 0));
}

void Exchange::close_safely(Fd file) {
  if (!file.valid()) return;
  linger option{};
  socklen_t size = sizeof option;
  if (::getsockopt(file.get(), SOL_SOCKET, SO_LINGER, &option, &size) != 0 || option.l_onoff == 0)
    return;
  // The child's copy must be the last one: it ends only when minod's is closed, and the exit of a
  // process does not linger (inet_release() in net/ipv4/af_inet.c looks at PF_EXITING).
  int gate[2];
  if (::pipe2(gate, O_CLOEXEC) != 0) return;
  Fd wait(gate[0]), release(gate[1]);
  if (::fork() == 0) {
    release.reset();
    close_others({file.get(), wait.get()});
    char byte;
    (void)!::read(wait.get(), &byte, 1);
    ::_exit(0);
  }
  file.reset();
}

}  // namespace mino
