// SPDX-License-Identifier: Apache-2.0
//
// The patcher. See hook/patch.h for the two forms and what is proven.
#include "hook/patch.h"

#include "hook/image.h"
#include "hook/mem.h"

extern "C" {
extern const char __ehdr_start[] __attribute__((visibility("hidden")));
extern const char mino_entry[] __attribute__((visibility("hidden")));
}

namespace mino::hook {

u32 patch_lock;  // reset_locks_in_child

u32 patched_sites;

namespace {

constexpr u64 kTable = 0x60000;  // its third byte is 06: an invalid instruction in 64-bit mode
constexpr u32 kSites = 0x10000 / 8;
constexpr u32 kSlotBytes = 32;
constexpr u64 kProtRead = 1, kProtWrite = 2, kProtExec = 4;

u64* table;
u8* slots;  // kSites * 32 bytes, readable and executable
volatile u64 site_in_progress;

void put32(u8* to, u32 value) { copy(to, &value, 4); }
void put64(u8* to, u64 value) { copy(to, &value, 8); }

void protect(u64 begin, u64 bytes, u64 prot) {
  const u64 page = begin & ~4095ull;
  raw(nr::kMprotect, page, (begin + bytes - page + 4095) & ~4095ull, prot);
}

// Writes a slot that (after `head`, the displaced instruction) enters the hook for the call that returns to
// `ret`. Answers the seven bytes of the jump to it, or false when the table is full.
bool make_slot(const u8* head, u32 head_bytes, u64 ret, u32 restart, u8 jump[7]) {
  if (patched_sites >= kSites) return false;
  const u32 index = patched_sites++;
  u8* slot = slots + index * kSlotBytes;
  protect(ptr(slot), kSlotBytes, kProtRead | kProtWrite | kProtExec);
  u8* p = slot;
  copy(p, head, head_bytes);
  p += head_bytes;
  *p++ = 0x48, *p++ = 0xb9;  // movabs $ret, %rcx
  put64(p, ret);
  p += 8;
  *p++ = 0x41, *p++ = 0xbb;  // mov $restart, %r11d
  put32(p, restart);
  p += 4;
  *p++ = 0xe9;  // jmp to the stub behind the last slot
  put32(p, static_cast<u32>(slots + kSites * kSlotBytes - (p + 4)));
  protect(ptr(slot), kSlotBytes, kProtRead | kProtExec);
  protect(kTable, 0x10000, kProtRead | kProtWrite);
  table[index] = ptr(slot);
  protect(kTable, 0x10000, kProtRead);
  const u32 address = static_cast<u32>(kTable + index * 8);
  jump[0] = 0xff, jump[1] = 0x24, jump[2] = 0x25;
  put32(jump + 3, address);
  return true;
}

bool is_known_number(u32 number) { return number < 512 && mino_interest[number]; }

// Is the instruction before `syscall` one that can be displaced with it?
bool seven_byte_head(const u8* site) {
  if (site[0] == 0xb8) {
    u32 number;
    copy(&number, site + 1, 4);
    return number < 512;
  }
  constexpr u8 kLoadSixth[5] = {0x4c, 0x8b, 0x4c, 0x24, 0x08};  // mov 8(%rsp),%r9
  for (int i = 0; i < 5; i++) {
    if (site[i] != kLoadSixth[i]) return false;
  }
  return true;
}

// Cross-modifying code: what other cores have fetched must be refetched (SDM 8.1.3, membarrier(2)).
void sync_cores(bool live) {
  constexpr u64 kPrivateExpeditedSyncCore = 32;
  if (live) raw(nr::kMembarrier, kPrivateExpeditedSyncCore, 0, 0);
}

void store16(u8* to, u16 value) { __atomic_store_n(reinterpret_cast<u16*>(to), value, __ATOMIC_RELEASE); }

// Both forms assume writable text. With other threads running (`live`) nobody may ever execute half of a
// jump: first byte to an invalid instruction (who comes now waits in SIGILL), then the old `syscall` (who was
// past the first instruction enters by SIGILL with the right number), then the rest, then the first byte.
bool patch_seven(u8* site, bool live) {
  u8 jump[7];
  if (live && (ptr(site + 5) & 63) == 63) return false;  // the two bytes must be stored as one
  if (!make_slot(site, 5, ptr(site) + 7, 7, jump)) return false;
  u16 tail;
  copy(&tail, jump + 5, 2);
  if (live) {
    site_in_progress = ptr(site);
    __atomic_store_n(site, u8{0x06}, __ATOMIC_SEQ_CST);
    sync_cores(live);
  }
  store16(site + 5, tail);
  sync_cores(live);
  for (int i = 1; i < 5; i++) site[i] = jump[i];
  sync_cores(live);
  __atomic_store_n(site, jump[0], __ATOMIC_SEQ_CST);
  sync_cores(live);
  site_in_progress = 0;
  return true;
}

bool patch_two(u8* site, u64 islet, bool live) {
  u8 jump[7];
  if (live && (ptr(site) & 63) == 63) return false;
  if (!make_slot(nullptr, 0, ptr(site) + 2, 2, jump)) return false;
  copy(reinterpret_cast<void*>(islet), jump, 7);
  sync_cores(live);
  const i64 distance = static_cast<i64>(islet) - static_cast<i64>(ptr(site) + 2);
  store16(site, static_cast<u16>(0xeb | (static_cast<u8>(distance) << 8)));
  sync_cores(live);
  return true;
}

bool is_bare_site(const u8* p) {
  // syscall; cmp $-4096 (or -4095),%rax
  if (p[2] == 0x48 && p[3] == 0x3d && p[4] <= 1 && p[5] == 0xf0 && p[6] == 0xff && p[7] == 0xff) return true;
  return p[-2] == 0x31 && p[-1] == 0xc0;  // xor %eax,%eax; syscall: read
}

void scan(u64 begin, u64 end, const Image& image) {
  for (const u8* p = reinterpret_cast<const u8*>(begin) + 8; ptr(p) + 8 <= end; p++) {
    if (p[0] != 0x0f || p[1] != 0x05) continue;
    u8* site = const_cast<u8*>(p);
    if (seven_byte_head(site - 5)) {
      u32 number;
      copy(&number, site - 4, 4);
      if (site[-5] != 0xb8 || is_known_number(number)) patch_seven(site - 5, false);
    } else if (is_bare_site(p)) {
      if (const u64 islet = image.find_islet(ptr(p))) patch_two(site, islet, false);
    }
  }
}

}  // namespace

bool prepare_patching() {
  constexpr u64 kPrivateAnonFixedNoreplace = 0x100022;
  const long low = raw(nr::kMmap, kTable, 0x10000, kProtRead, kPrivateAnonFixedNoreplace, ~0ull, 0);
  if (low != static_cast<long>(kTable)) return false;
  table = reinterpret_cast<u64*>(kTable);
  slots = static_cast<u8*>(map_pages(kSites * kSlotBytes + 4096));
  if (!slots) return false;
  u8* stub = slots + kSites * kSlotBytes;  // jmp *0(%rip); address of mino_entry
  stub[0] = 0xff, stub[1] = 0x25;
  put32(stub + 2, 0);
  put64(stub + 6, ptr(mino_entry));
  protect(ptr(slots), kSites * kSlotBytes + 4096, kProtRead | kProtExec);
  constexpr u64 kRegisterSyncCore = 64;
  raw(nr::kMembarrier, kRegisterSyncCore, 0, 0);
  return true;
}

void patch_range(u64 begin, u64 end) {
  Image image;
  if (!image.find(begin) || !image.patchable()) return;
  begin = begin < image.begin() ? image.begin() : begin;
  end = end > image.end() ? image.end() : end;
  lock(patch_lock);
  protect(begin, end - begin, kProtRead | kProtWrite | kProtExec);
  scan(begin, end, image);
  protect(begin, end - begin, kProtRead | kProtExec);
  unlock(patch_lock);
}

void patch_loaded_images() {
  Image image;
  u64 at = 0;
  while (image.next_executable(at)) {
    at = image.end();
    if (image.patchable() && !(ptr(__ehdr_start) >= image.file_begin() && ptr(__ehdr_start) < image.end())) {
      patch_range(image.begin(), image.end());
    }
  }
}

void patch_running_site(u64 site, u64 number) {
  u8* p = reinterpret_cast<u8*>(site);
  if (number >= 512 || p[0] != 0x0f || p[1] != 0x05) return;
  if (__atomic_exchange_n(&patch_lock, 1u, __ATOMIC_ACQUIRE)) return;  // somebody patches; next time
  Image image;
  if (p[0] == 0x0f && p[1] == 0x05 && image.find(site) && image.patchable()) {
    u8* head = p - 5;
    u32 loaded = 0;
    copy(&loaded, head + 1, 4);
    const bool seven =
        site - 5 >= image.begin() && seven_byte_head(head) && (head[0] != 0xb8 || loaded == number);
    const u64 islet = seven ? 0 : image.find_islet(site);
    if (seven || islet) {
      const u64 first = (seven ? ptr(head) : (islet < site ? islet : site)) & ~4095ull;
      const u64 last = (site > islet + 7 ? site : islet + 7) + 8;
      protect(first, last - first, kProtRead | kProtWrite | kProtExec);
      if (seven) {
        patch_seven(head, true);
      } else {
        patch_two(p, islet, true);
      }
      protect(first, last - first, kProtRead | kProtExec);
    }
  }
  unlock(patch_lock);
}

bool on_illegal_instruction(UContext* uc) {
  const u8* p = reinterpret_cast<const u8*>(uc->rip);
  if (uc->rip == site_in_progress) return true;  // again, until the patch is complete
  if (p[0] != 0x06) return p[0] == 0xff && p[1] == 0x24;  // completed meanwhile: retry
  if (p[1] != 0x00 || p[-5] != 0xff || p[-4] != 0x24 || p[-3] != 0x25) return false;
  uc->rcx = uc->rip + 2;
  uc->r11 = 2;
  uc->rip = ptr(mino_entry);
  return true;
}

}  // namespace mino::hook
