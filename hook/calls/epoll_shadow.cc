// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/epoll_shadow.h. A flat, growing array under a short lock. Registrations are rare
// compared with waits, and reports happen once in a device's life, so the structure is simple
// rather than fast.
#include "hook/calls/epoll_shadow.h"

#include "hook/base/mem.h"
#include "hook/base/pages.h"

namespace mino::hook {

namespace {
u32 shadow_lock;
}  // namespace

void reset_shadow_lock() {
  shadow_lock = 0;
}

namespace {

struct Entry {
  u32 epfd, fd;
  epoll_event event;
  u32 next;  // chain of the same fd; index + 1, 0 ends it
};

constexpr u32 kEntries = 1u << 20;  // committed as touched

Entry* entries;
u32* heads;  // by fd: index + 1
u32 used, free_list;

bool prepare() {
  if (entries) return true;
  heads = static_cast<u32*>(map_pages(u64{abi::kMaxFd} * 4));
  Entry* table = static_cast<Entry*>(map_pages(u64{kEntries} * sizeof(Entry)));
  if (!heads || !table) return false;
  entries = table;
  return true;
}

// The link that points to the entry of {epfd, fd}, or the end of the chain.
u32* find(u32 epfd, u32 fd) {
  u32* link = &heads[fd];
  while (*link && entries[*link - 1].epfd != epfd) link = &entries[*link - 1].next;
  return link;
}

void release(u32* link) {
  const u32 index = *link;
  *link = entries[index - 1].next;
  entries[index - 1].epfd = ~0u;
  entries[index - 1].next = free_list;
  free_list = index;
}

}  // namespace

void shadow_set(Process* process, u32 epfd, u32 fd, const epoll_event& event) {
  if (process->fds != main_process()->fds || fd >= abi::kMaxFd) return;
  lock(shadow_lock);
  if (prepare()) {
    u32* link = find(epfd, fd);
    if (!*link) {
      u32 index = free_list;
      if (index) {
        free_list = entries[index - 1].next;
      } else if (used < kEntries) {
        index = ++used;
      }
      if (index) {
        entries[index - 1] = {epfd, fd, event, 0};
        *link = index;
      }
    } else {
      entries[*link - 1].event = event;
    }
  }
  unlock(shadow_lock);
}

void shadow_remove(Process* process, u32 epfd, u32 fd) {
  if (process->fds != main_process()->fds || !entries || fd >= abi::kMaxFd) return;
  lock(shadow_lock);
  u32* link = find(epfd, fd);
  if (*link) release(link);
  unlock(shadow_lock);
}

void shadow_forget_fd(Process* process, u32 fd) {
  if (process->fds != main_process()->fds || !entries || fd >= abi::kMaxFd) return;
  lock(shadow_lock);
  while (heads[fd]) release(&heads[fd]);
  if (process->flags(fd) & kEpoll) {
    for (u32 i = 0; i < used; i++) {
      if (entries[i].epfd == fd) release(find(fd, entries[i].fd));
    }
  }
  unlock(shadow_lock);
}

u32 shadow_report(Process*, u32 epfd, epoll_event* events, u32 max) {
  u32 count = 0;
  lock(shadow_lock);
  for (u32 i = 0; entries && i < used && count < max; i++) {
    if (entries[i].epfd != epfd) continue;
    const u32 wanted = entries[i].event.events & (EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    events[count++] = {wanted | EPOLLERR | EPOLLHUP, entries[i].event.data};
  }
  unlock(shadow_lock);
  return count;
}

}  // namespace mino::hook
