// SPDX-License-Identifier: Apache-2.0
//
// See hook/calls/epoll_shadow.h. A flat, growing array under a short lock. Registrations are rare
// compared with waits, and a device dies once, so the structure is simple rather than fast.
#include "hook/calls/epoll_shadow.h"

#include "hook/base/lock.h"
#include "hook/base/mem.h"
#include "hook/base/pages.h"

namespace mino::hook {

namespace {

struct Entry {
  u32 set, fd;
  epoll_event event;
  u32 next;        // chain of the same fd; index + 1, 0 ends it
  u32 generation;  // of the process that registered it
  bool spent;      // disarmed by EPOLLONESHOT
};

constexpr u32 kFirstEntries = 1024, kMaxEntries = 1u << 20;

u32 shadow_lock;
u32 generation;  // one more in each forked child
Entry* entries;
u32 room;
u32 *heads, *sets;  // by number: the first entry (index + 1), and the set's id or 0
u32 used, free_list, last_set;
bool oneshots;

// The shadow is that of the table that most of the process uses.
bool is_ours(const Process* process) {
  return process->fds == main_process()->fds;
}

bool prepare() {
  if (entries) return true;
  if (!heads) heads = static_cast<u32*>(map_pages(2 * u64{abi::kMaxFd} * 4));
  if (!heads) return false;
  sets = heads + abi::kMaxFd;
  entries = static_cast<Entry*>(map_pages(u64{kFirstEntries} * sizeof(Entry)));
  room = entries ? kFirstEntries : 0;
  return entries;
}

bool grow() {
  if (room == kMaxEntries) return false;
  const u64 bytes = u64{room} * sizeof(Entry);
  const long at = raw(__NR_mremap, ptr(entries), bytes, 2 * bytes, MREMAP_MAYMOVE);
  if (is_error(at)) return false;
  entries = reinterpret_cast<Entry*>(at);
  room *= 2;
  return true;
}

u32 set_of(u32 epfd) {
  if (!sets[epfd]) sets[epfd] = ++last_set;
  return sets[epfd];
}

// A number of the set, or ~0u.
u32 number_of(const Process* process, u32 set) {
  for (u32 fd = 0; fd < process->table()->fd_limit; fd++) {
    if (sets[fd] == set) return fd;
  }
  return ~0u;
}

// The link that points to the entry of {set, fd}, or the end of the chain.
u32* find(u32 set, u32 fd) {
  u32* link = &heads[fd];
  while (*link && entries[*link - 1].set != set) link = &entries[*link - 1].next;
  return link;
}

void release(u32* link) {
  const u32 index = *link;
  *link = entries[index - 1].next;
  entries[index - 1].set = 0;
  entries[index - 1].next = free_list;
  free_list = index;
}

u32 new_entry() {
  const u32 index = free_list;
  if (index) {
    free_list = entries[index - 1].next;
    return index;
  }
  return used < room || grow() ? ++used : 0;
}

// The child of a fork leaves registrations that its parent made, which has the files still.
void unregister(const Process* process, const Entry& entry) {
  if (!process->table()->buried || entry.generation != generation) return;
  epoll_event event{};
  raw(__NR_epoll_ctl, number_of(process, entry.set), EPOLL_CTL_DEL, entry.fd, ptr(&event));
}

}  // namespace

void reset_shadow() {
  shadow_lock = 0;
  generation++;
}

void shadow_set(Process* process, u32 epfd, u32 fd, const epoll_event& event) {
  if (!is_ours(process) || epfd >= abi::kMaxFd || fd >= abi::kMaxFd) return;
  lock(shadow_lock);
  if (prepare()) {
    if (event.events & EPOLLONESHOT) oneshots = true;
    const u32 set = set_of(epfd);
    u32* link = find(set, fd);
    if (*link) {
      entries[*link - 1].event = event;
      entries[*link - 1].spent = false;
    } else if (const u32 index = new_entry()) {
      entries[index - 1] = {set, fd, event, heads[fd], generation, false};
      heads[fd] = index;
    }
  }
  unlock(shadow_lock);
}

void shadow_remove(Process* process, u32 epfd, u32 fd) {
  if (!is_ours(process) || !entries || epfd >= abi::kMaxFd || fd >= abi::kMaxFd) return;
  lock(shadow_lock);
  u32* link = find(sets[epfd], fd);
  if (*link) release(link);
  unlock(shadow_lock);
}

bool shadow_knows(const Process* process, u32 epfd) {
  return !is_ours(process) || epfd >= abi::kMaxFd || (sets && sets[epfd]);
}

void shadow_begin(Process* process, u32 epfd) {
  if (!is_ours(process) || epfd >= abi::kMaxFd) return;
  lock(shadow_lock);
  if (prepare()) set_of(epfd);
  unlock(shadow_lock);
}

void shadow_duplicate(Process* process, u32 epfd, u32 copy) {
  if (!is_ours(process) || epfd >= abi::kMaxFd || copy >= abi::kMaxFd) return;
  lock(shadow_lock);
  if (prepare()) sets[copy] = set_of(epfd);
  unlock(shadow_lock);
}

void shadow_forget_fd(Process* process, u32 fd) {
  if (!is_ours(process) || !entries || fd >= abi::kMaxFd) return;
  lock(shadow_lock);
  while (heads[fd]) {
    unregister(process, entries[heads[fd] - 1]);
    release(&heads[fd]);
  }
  const u32 set = sets[fd];
  sets[fd] = 0;
  if (set && number_of(process, set) == ~0u) {
    for (u32 i = 0; i < used; i++) {
      if (entries[i].set == set) release(find(set, entries[i].fd));
    }
  }
  unlock(shadow_lock);
}

bool shadow_has_oneshots() {
  return oneshots;
}

void shadow_fired(const Process* process, u32 epfd, const epoll_event& event) {
  // Most programs that use EPOLLONESHOT have the number in `data`. Others are not worth a search
  // for each event.
  const u32 fd = static_cast<u32>(event.data);
  if (!is_ours(process) || !entries || epfd >= abi::kMaxFd || fd >= abi::kMaxFd) return;
  lock(shadow_lock);
  if (const u32 index = *find(sets[epfd], fd)) {
    Entry& entry = entries[index - 1];
    entry.spent = entry.event.data == event.data && (entry.event.events & EPOLLONESHOT);
  }
  unlock(shadow_lock);
}

void shadow_register(Process* process) {
  if (!is_ours(process) || !entries) return;
  lock(shadow_lock);
  for (u32 i = 0; i < used; i++) {
    Entry& entry = entries[i];
    if (!entry.set || entry.spent) continue;
    raw(__NR_epoll_ctl, number_of(process, entry.set), EPOLL_CTL_ADD, entry.fd, ptr(&entry.event));
  }
  unlock(shadow_lock);
}

}  // namespace mino::hook
