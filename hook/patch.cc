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

u32 patched_sites;

namespace {

constexpr u64 kTable = 0x60000;  // its third byte is 06: an invalid instruction in 64-bit mode
constexpr u32 kSites = 0x10000 / 8;
constexpr u32 kSlotBytes = 32;
constexpr u64 kProtRead = 1, kProtWrite = 2, kProtExec = 4;

u64* table;
u8 head_bytes_of[kSites];
u8* slots;  // kSites * 32 bytes, readable and executable
volatile u64 site_in_progress;
u32 patch_lock;
bool other_threads;

// How often sites have trapped, by a hash of their address.
constexpr u8 kHot = 6, kNotPatchable = 255;
struct Trapped {
  u64 site;
  u8 times;
};
Trapped trapped[256];

void put32(u8* to, u32 value) {
  copy(to, &value, 4);
}
void put64(u8* to, u64 value) {
  copy(to, &value, 8);
}

// May be refused: PR_SET_MDWE, SELinux.
bool protect(u64 begin, u64 bytes, u64 prot) {
  const u64 page = begin & ~4095ull;
  return raw(nr::kMprotect, page, (begin + bytes - page + 4095) & ~4095ull, prot) == 0;
}

// Reserves the pointer table; false if low memory is not to be had (then only `sud` can work).
bool prepare() {
  if (slots) return true;
  constexpr u64 kPrivateAnonFixedNoreplace = 0x100022;
  const long low = raw(nr::kMmap, kTable, 0x10000, kProtRead, kPrivateAnonFixedNoreplace, ~0ull, 0);
  if (low != static_cast<long>(kTable)) return false;
  table = reinterpret_cast<u64*>(kTable);
  constexpr u64 kBytes = kSites * kSlotBytes + 4096;
  slots = static_cast<u8*>(map_pages(kBytes));
  if (!slots) return false;
  u8* stub = slots + kSites * kSlotBytes;  // jmp *0(%rip); address of mino_entry
  stub[0] = 0xff, stub[1] = 0x25;
  put32(stub + 2, 0);
  put64(stub + 6, ptr(mino_entry));
  if (!protect(ptr(slots), kBytes, kProtRead | kProtExec)) {
    unmap_pages(slots, kBytes);
    slots = nullptr;
    return false;
  }
  constexpr u64 kRegisterSyncCore = 64;
  raw(nr::kMembarrier, kRegisterSyncCore, 0, 0);
  return true;
}

// While one of these stands, slots can be made. Other threads go on using those there are.
class Writable {
 public:
  // … in the text from `begin` to `end`.
  Writable(u64 begin, u64 end) : begin_(begin), bytes_(end - begin) {
    good_ = protect(ptr(slots), kSites * kSlotBytes, kProtRead | kProtWrite | kProtExec) &&
            protect(kTable, 0x10000, kProtRead | kProtWrite) &&
            protect(begin_, bytes_, kProtRead | kProtWrite | kProtExec);
  }
  ~Writable() {
    protect(begin_, bytes_, kProtRead | kProtExec);
    protect(kTable, 0x10000, kProtRead);
    protect(ptr(slots), kSites * kSlotBytes, kProtRead | kProtExec);
  }
  bool good() const { return good_; }

 private:
  u64 begin_, bytes_;
  bool good_;
};

// Writes a slot that (after `head`, the displaced instruction) enters the hook for the call that
// returns to `ret`. Answers the seven bytes of the jump to it, or false when the table is full.
bool make_slot(const u8* head, u32 head_bytes, u64 ret, u32 restart, u8 jump[7]) {
  if (patched_sites >= kSites) return false;
  const u32 index = patched_sites++;
  head_bytes_of[index] = static_cast<u8>(head_bytes);
  u8* slot = slots + index * kSlotBytes;
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
  table[index] = ptr(slot);
  const u32 address = static_cast<u32>(kTable + index * 8);
  jump[0] = 0xff, jump[1] = 0x24, jump[2] = 0x25;
  put32(jump + 3, address);
  return true;
}

bool is_known_number(u32 number) {
  return number < 512 && mino_interest[number];
}

// Instructions that can be displaced: they neither jump nor address by %rip, and doing them twice
// is harmless.

// The byte at p may begin an instruction: it is not one that a REX prefix makes another (41 ba: mov
// $imm32,%r10d), nor the disp8 of one that ends in an imm32 (c7 45 b8: movl $imm32,-0x48(%rbp)).
bool may_begin(const u8* p) {
  const auto takes_both = [](u8 opcode) {
    return opcode == 0xc7 || opcode == 0x81 || opcode == 0x69;
  };
  const auto has_disp8 = [](u8 modrm) { return (modrm & 0xc0) == 0x40; };
  if ((p[-1] & 0xf0) == 0x40) return false;
  return !(takes_both(p[-2]) && has_disp8(p[-1])) &&
         !(takes_both(p[-3]) && has_disp8(p[-2]) && (p[-2] & 7) == 4);
}
bool is_load_number(const u8* p) {  // mov $imm32,%eax
  u32 number;
  copy(&number, p + 1, 4);
  return p[0] == 0xb8 && number < 512 && may_begin(p);
}
bool is_load_from_stack(const u8* p) {  // mov disp8(%rsp),%r64: REX.W 8b /r 24 disp8
  return (p[0] == 0x48 || p[0] == 0x4c) && p[1] == 0x8b && (p[2] & 0xc7) == 0x44 && p[3] == 0x24;
}
bool is_load_edi(const u8* p) {  // mov disp8(%rsp),%edi
  return p[0] == 0x8b && p[1] == 0x7c && p[2] == 0x24 && may_begin(p);
}
bool is_load_constant(const u8* p) {  // mov $imm32,%r32 but %esp
  return p[0] > 0xb8 && p[0] <= 0xbf && p[0] != 0xbc && may_begin(p);
}

// What can be rewritten before the `syscall` at `site`: the bytes displaced besides it, or 0.
u32 head_length(const u8* site) {
  if (is_load_number(site - 5) || is_load_from_stack(site - 5) || is_load_constant(site - 5))
    return 5;
  if (is_load_edi(site - 4) && (is_load_number(site - 9) || is_load_from_stack(site - 9))) return 9;
  if (is_load_edi(site - 6) && site[-2] == 0x31 && site[-1] == 0xc0) return 6;
  return 0;
}

// Cross-modifying code: what other cores have fetched must be refetched (SDM 8.1.3, membarrier(2)).
void sync_cores(bool live) {
  constexpr u64 kPrivateExpeditedSyncCore = 32;
  if (live) raw(nr::kMembarrier, kPrivateExpeditedSyncCore, 0, 0);
}

void store16(u8* to, u16 value) {
  __atomic_store_n(reinterpret_cast<u16*>(to), value, __ATOMIC_RELEASE);
}

// Both forms assume writable text. With other threads running (`live`) nobody may ever execute half
// of a jump: first byte to an invalid instruction (who comes now waits in SIGILL), then the old
// `syscall` (who was past the first instruction enters by SIGILL with the right number), then the
// rest, then the first byte. `site` is the first displaced byte, `head` the number of bytes before
// the `syscall`.
bool patch_seven(u8* site, u32 head, bool live) {
  u8 jump[7];
  // The two bytes must be stored as one; and nobody may stand between two displaced instructions
  // without 06.
  if (live && ((ptr(site + 5) & 63) == 63 || head == 6)) return false;
  if (!make_slot(site, head, ptr(site) + head + 2, head + 2, jump)) return false;
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
  if (p[2] == 0x48 && p[3] == 0x3d && p[4] <= 1 && p[5] == 0xf0 && p[6] == 0xff && p[7] == 0xff)
    return true;
  return p[-2] == 0x31 && p[-1] == 0xc0;  // xor %eax,%eax; syscall: read
}

void scan(u64 begin, u64 end, const Image& image) {
  for (const u8* p = reinterpret_cast<const u8*>(begin) + 16; ptr(p) + 8 <= end; p++) {
    if (p[0] != 0x0f || p[1] != 0x05) continue;
    u8* site = const_cast<u8*>(p);
    const u32 head = head_length(p);
    const bool trusted = is_bare_site(p);
    u32 number = 0;
    copy(&number, p - 4, 4);
    if (head == 5 && p[-5] == 0xb8) {
      if (is_known_number(number)) patch_seven(site - 5, head, false);
    } else if (head && (trusted || (head == 5 && p[-1] == 8 && p[-3] == 0x4c)) &&
               (head != 6 || image.no_branch_into(ptr(p) - 5, ptr(p)))) {
      patch_seven(site - head, head, false);
    } else if (trusted) {
      if (const u64 islet = image.find_islet(ptr(p))) patch_two(site, islet, false);
    }
  }
}

}  // namespace

void patch_range(u64 begin, u64 end) {
  lock(patch_lock);
  Image image;
  if (prepare() && image.find(begin) && image.patchable()) {
    image.end_where_unreadable(begin, end);
    begin = begin < image.begin() ? image.begin() : begin;
    end = end > image.end() ? image.end() : end;
    if (begin < end) {
      const Writable writable(begin, end);
      if (writable.good()) scan(begin, end, image);
    }
  }
  unlock(patch_lock);
}

void patch_loaded_images() {
  Image image;
  u64 at = 0;
  while (image.next_executable(at)) {
    at = image.end();
    if (image.patchable() &&
        !(ptr(__ehdr_start) >= image.file_begin() && ptr(__ehdr_start) < image.end())) {
      patch_range(image.begin(), image.end());
    }
  }
}

namespace {

// False: never try again.
bool patch_trapped_site(u64 site, u64 number) {
  u8* p = reinterpret_cast<u8*>(site);
  Image image;
  if (!image.find(site) || !image.patchable() || !prepare()) return false;
  image.end_where_unreadable(site, site + 4096);
  const bool live = other_threads;
  const u32 displaced = site >= image.begin() + 16 ? head_length(p) : 0;
  u8* head = p - displaced;
  u32 loaded = 0;
  copy(&loaded, head + 1, 4);
  const bool seven = displaced == 9 ||
                     (displaced == 6 && !live && image.no_branch_into(site - 5, site)) ||
                     (displaced == 5 && (head[0] != 0xb8 || loaded == number));
  const u64 islet = seven ? 0 : image.find_islet(site);
  if (!seven && !islet) return false;
  const u64 first = (seven ? ptr(head) : (islet < site ? islet : site)) & ~4095ull;
  const u64 last = (site > islet + 7 ? site : islet + 7) + 8;
  const Writable writable(first, last);
  if (!writable.good()) return false;
  return seven ? patch_seven(head, displaced, live) : patch_two(p, islet, live);
}

// Among eight places; the one seen least gives way.
Trapped& count_of(u64 site) {
  const u64 hash = (site * 0x9e3779b97f4a7c15) >> 56;
  Trapped* least = &trapped[hash];
  for (u64 i = 0; i < 8; i++) {
    Trapped& one = trapped[(hash + i) & 255];
    if (one.site == site) return one;
    if (one.times < least->times) least = &one;
  }
  *least = {site, 0};
  return *least;
}

}  // namespace

void patch_when_hot(u64 site, u64 number) {
  Trapped& seen = count_of(site);
  if (seen.times == kNotPatchable || ++seen.times < kHot) return;
  const u8* p = reinterpret_cast<const u8*>(site);
  if (__atomic_exchange_n(&patch_lock, 1u, __ATOMIC_ACQUIRE))
    return;  // somebody patches; next time
  seen.times = 0;
  if (number >= 512 || p[0] != 0x0f || p[1] != 0x05 || !patch_trapped_site(site, number))
    seen.times = kNotPatchable;
  unlock(patch_lock);
}

void expect_other_threads(bool others) {
  other_threads = others;
}

void pause_patching() {
  lock(patch_lock);
}

void resume_patching() {
  unlock(patch_lock);
}

bool on_illegal_instruction(UContext* uc) {
  const u8* p = reinterpret_cast<const u8*>(uc->rip);
  // Again, until the patch is complete: at its first byte, and where the `syscall` was.
  const u64 unfinished = site_in_progress;
  if (unfinished && (uc->rip == unfinished || uc->rip == unfinished + 5)) return true;
  if (p[0] != 0x06) return p[0] == 0xff && p[1] == 0x24;  // completed meanwhile: retry
  if (p[1] != 0x00 || p[-5] != 0xff || p[-4] != 0x24 || p[-3] != 0x25) return false;
  // With one displaced instruction this is the old `syscall`; with two, the second of them.
  u32 address;
  copy(&address, p - 2, 4);
  const u32 index = (address - static_cast<u32>(kTable)) / 8;
  if (index >= patched_sites) return false;
  if (head_bytes_of[index] == 9) {
    uc->rip = table[index] + 5;
    return true;
  }
  uc->rcx = uc->rip + 2;
  uc->r11 = 2;
  uc->rip = ptr(mino_entry);
  return true;
}

}  // namespace mino::hook
