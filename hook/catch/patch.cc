// SPDX-License-Identifier: Apache-2.0
//
// See hook/catch/patch.h for the two forms and for what is proven.
#include "hook/catch/patch.h"

#include "hook/base/library.h"
#include "hook/base/lock.h"
#include "hook/base/mem.h"
#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/catch/entry.h"
#include "hook/catch/site.h"
#include "hook/catch/warm.h"
#include "hook/state/settings.h"
#include "hook/state/table.h"

namespace mino::hook {

u32 patched_sites;

namespace {

constexpr u64 kTable = 0x60000;  // its third byte is 06: an invalid instruction in 64-bit mode
constexpr u64 kTableBytes = 0x10000;
constexpr u32 kSites = kTableBytes / 8;
constexpr u32 kSlotBytes = 32;
// Behind the table: a stub, then the slots. Few of their pages are ever touched.
constexpr u64 kStub = kTable + kTableBytes, kSlots = kStub + kSlotBytes;
constexpr u64 kLowBytes = (kSlots + kSites * kSlotBytes - kTable + 4095) & ~4095ull;

u64* const table = reinterpret_cast<u64*>(kTable);
u8* const slots = reinterpret_cast<u8*>(kSlots);
bool prepared;  // table, stub and slots are there, readable and executable
u8 head_bytes_of[kSites];
volatile u64 site_in_progress;
u32 patch_lock;
bool other_threads;

WarmSites warm;
const char* warm_text;  // not read yet

// How often each site has trapped, by a hash of its address.
constexpr u8 kHot = 6, kNotPatchable = 255;
constexpr u32 kWarm = 10;  // the total of traps after which the warm sites are patched
u32 traps;
struct Trapped {
  u64 site;
  u8 times;
};
Trapped trapped[256];

u64 max(u64 a, u64 b) {
  return a > b ? a : b;
}
void put32(u8* to, u32 value) {
  copy(to, &value, 4);
}
void put64(u8* to, u64 value) {
  copy(to, &value, 8);
}

// PR_SET_MDWE or SELinux may refuse it.
bool protect(u64 begin, u64 bytes, u64 prot) {
  const u64 page = begin & ~4095ull;
  return raw(__NR_mprotect, page, (begin + bytes - page + 4095) & ~4095ull, prot) == 0;
}

// Reserves the table and the slots. False if low memory is not available; then only `sud` can work.
bool prepare() {
  if (prepared) return true;
  const long low = raw(__NR_mmap, kTable, kLowBytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, ~0ull, 0);
  if (low != static_cast<long>(kTable)) {
    if (!is_error(low)) raw(__NR_munmap, static_cast<u64>(low), kLowBytes);
    return false;
  }
  u8* stub = reinterpret_cast<u8*>(kStub);  // jmp *0(%rip); address of mino_entry
  stub[0] = 0xff, stub[1] = 0x25;
  put32(stub + 2, 0);
  put64(stub + 6, ptr(mino_entry));
  prepared = protect(kTable, kLowBytes, PROT_READ | PROT_EXEC);
  if (!prepared) raw(__NR_munmap, kTable, kLowBytes);
  return prepared;
}

// While one of these exists, slots can be made. Other threads continue to use existing slots.
class SlotsWritable {
 public:
  SlotsWritable() : good_(protect(kTable, kLowBytes, PROT_READ | PROT_WRITE | PROT_EXEC)) {}
  ~SlotsWritable() { protect(kTable, kLowBytes, PROT_READ | PROT_EXEC); }
  bool good() const { return good_; }

 private:
  bool good_;
};

// While one of these exists, the text of the image from `begin` to `end` can be changed.
class TextWritable {
 public:
  TextWritable(u64 begin, u64 end) : begin_(begin), bytes_(end - begin) {
    good_ = protect(begin_, bytes_, PROT_READ | PROT_WRITE | PROT_EXEC);
  }
  // With room for what surrounds a site.
  TextWritable(const Image& image, u64 begin, u64 end)
      : TextWritable(max(begin - kReach, image.begin()), min(end + kReach, image.end())) {}
  ~TextWritable() { protect(begin_, bytes_, PROT_READ | PROT_EXEC); }
  bool good() const { return good_; }

 private:
  static constexpr u64 kReach = 144;  // to an islet
  u64 begin_, bytes_;
  bool good_;
};

// Writes a slot. It executes `head`, the displaced instructions, and enters the hook for the call
// that returns to `ret`. Writes the seven bytes of a jump to it; false when the table is full.
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
  *p++ = 0xe9;  // jmp to the stub
  put32(p, static_cast<u32>(kStub - (ptr(p) + 4)));
  table[index] = ptr(slot);
  const u32 address = static_cast<u32>(kTable + index * 8);
  jump[0] = 0xff, jump[1] = 0x24, jump[2] = 0x25;
  put32(jump + 3, address);
  return true;
}

// Cross-modifying code: other cores must refetch what they have fetched (SDM 8.1.3, membarrier(2)).
void sync_cores(bool live) {
  static bool registered;
  if (!live) return;
  if (!registered) raw(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
  registered = true;
  raw(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
}

void store16(u8* to, u16 value) {
  __atomic_store_n(reinterpret_cast<u16*>(to), value, __ATOMIC_RELEASE);
}

// Both forms assume writable text. With other threads running (`live`), none may ever execute half
// of a jump. So the first byte becomes an invalid instruction (a thread that arrives now waits in
// SIGILL); then the old `syscall` is overwritten (a thread that was past the first instruction
// enters by SIGILL, with the right number); then the rest; then the first byte of the jump. `site`
// is the first displaced byte, `head` the number of bytes before the `syscall`.
bool patch_seven(u8* site, u32 head, bool live) {
  u8 jump[7];
  // The two bytes must be stored at once. And with two displaced instructions and no 06 before the
  // second (head 6), another thread may be between them.
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

bool patch(const Site& site, bool live) {
  return site.head ? patch_seven(site.at - site.head, site.head, live)
                   : patch_two(site.at, site.islet, live);
}

// Calls `visit` for every `syscall` in [begin, end) that has enough room around it in the image.
template <class Visit>
void for_each_syscall(const Image& image, u64 begin, u64 end, Visit visit) {
  const u8* p = reinterpret_cast<const u8*>(max(begin, image.begin() + 16));
  const u8* const last = reinterpret_cast<const u8*>(min(end, image.end() - 8));
  for (; p < last && (p = next_syscall(p, last)) < last; p += 2) visit(p);
}

}  // namespace

bool has_other_threads() {
  return other_threads;
}

namespace {

// `syscall` instructions that are ud2 now.
constexpr u32 kMostReplaced = 1024;
u64 replaced[kMostReplaced];
u32 replaced_count;

bool replace(u64 at) {
  if (replaced_count == kMostReplaced) return false;
  replaced[replaced_count++] = at;
  constexpr u16 kUd2 = 0x0b0f;
  store16(reinterpret_cast<u8*>(at), kUd2);
  return true;
}

bool is_replaced(u64 at) {
  for (u32 i = 0; i < replaced_count; i++) {
    if (replaced[i] == at) return true;
  }
  return false;
}

// rt_sigreturn needs the stack pointer as it is. Recognises `mov $15,%rax` and %eax.
bool returns_from_signal(const u8* at) {
  const bool wide =
      at[-7] == 0x48 && at[-6] == 0xc7 && at[-5] == 0xc0 && at[-4] == __NR_rt_sigreturn;
  return wide || number_at(at) == __NR_rt_sigreturn;
}

bool rewrite(const Image& image, const Instruction& instruction) {
  Site site;
  const auto* at = reinterpret_cast<const u8*>(instruction.at);
  const auto is_known = [&] { return instruction.begins >> site.head & 1; };
  const u64 number = static_cast<u64>(i64{number_at(at)});
  const bool good =
      !returns_from_signal(at) && ((prove(at, image, true, site) && is_known()) ||
                                   (prove_trapped(at, number, false, image, site) && is_known()));
  if (!good) return replace(instruction.at);
  // The longer forms leave the old `syscall` behind the jump, and something may branch to it.
  return patch(site, false) && (site.head <= 6 || replace(instruction.at));
}

}  // namespace

void restore_replaced() {
  constexpr u16 kSyscall = 0x050f;
  u32 kept = 0;
  for (u32 i = 0; i < replaced_count; i++) {
    const TextWritable text_writable(replaced[i], replaced[i] + 2);
    if (text_writable.good())
      store16(reinterpret_cast<u8*>(replaced[i]), kSyscall);
    else
      replaced[kept++] = replaced[i];
  }
  replaced_count = kept;
}

bool rewrite_all(const Image& image, const Instruction* instructions, u32 count) {
  if (count == 0) return true;
  if (!prepare()) return false;
  const SlotsWritable slots_writable;
  const TextWritable text_writable(image, instructions[0].at, instructions[count - 1].at);
  if (!slots_writable.good() || !text_writable.good()) return false;
  for (u32 i = 0; i < count; i++) {
    if (!rewrite(image, instructions[i])) return false;
  }
  return true;
}

Range patcher_memory() {
  return prepared ? Range{kTable, kTable + kLowBytes} : Range{};
}

u32 bytes_displaced(const u8* p) {
  if (p[0] != 0xff || p[1] != 0x24 || p[2] != 0x25) return 0;
  u32 address;
  copy(&address, p + 3, 4);
  const u32 index = (address - static_cast<u32>(kTable)) / 8;
  if (address < kTable || index >= patched_sites) return 0;
  return head_bytes_of[index] ? head_bytes_of[index] + 2u : 7;
}

void patch_range(u64 begin, u64 end) {
  lock(patch_lock);
  Image image;
  if (prepare() && image.find(begin) && image.patchable()) {
    image.end_where_unreadable(begin, end);
    begin = begin < image.begin() ? image.begin() : begin;
    end = end > image.end() ? image.end() : end;
    if (begin < end) {
      const SlotsWritable slots_writable;
      const TextWritable text_writable(begin, end);
      Site site;
      if (slots_writable.good() && text_writable.good()) {
        for_each_syscall(image, begin, end, [&](const u8* p) {
          if (prove(p, image, false, site)) patch(site, false);
        });
      }
    }
  }
  unlock(patch_lock);
}

void patch_loaded_images() {
  Image image;
  u64 at = 0;
  while (image.next_executable(at)) {
    at = image.end();
    if (image.patchable() && !(base() >= image.file_begin() && base() < image.end())) {
      patch_range(image.begin(), image.end());
    }
  }
}

namespace {

WarmSite warm_site(const Site& site, const Image& image) {
  const u64 at = ptr(site.at);
  return {static_cast<u32>(image.offset_of(at)), static_cast<u8>(site.head),
          static_cast<signed char>(site.head ? 0 : site.islet - (at + 2))};
}

// False if this site must never be tried again.
bool patch_trapped_site(u64 at, u64 number) {
  Image image;
  if (!image.find(at) || !image.patchable() || !prepare()) return false;
  image.end_where_unreadable(at, at + 4096);
  const bool live = other_threads;
  Site site;
  if (!prove_trapped(reinterpret_cast<const u8*>(at), number, live, image, site)) return false;
  const SlotsWritable slots_writable;
  const TextWritable text_writable(image, at, at);
  if (!slots_writable.good() || !text_writable.good() || !patch(site, live)) return false;
  if (u8 id[kBuildIdBytes]; warm_sites().count && image.find(at, id) && warm.are_of(id))
    warm.add(warm_site(site, image));
  return true;
}

// Sites within this distance are patched together: text is made writable as a whole, and each page
// is copied.
constexpr u64 kWarmBytes = 24 * 4096;

// Not on the stack: see hook/catch/image.cc, `maps`.
u64 candidates[2 * WarmSites::kMost];
Site known[WarmSites::kMost];

// The range in which most common sites of the image are close together; empty if there are none.
void find_warm_range(const Image& image, u64& begin, u64& end) {
  constexpr u32 kMost = sizeof candidates / sizeof candidates[0];
  u32 count = 0, best = 0;
  for_each_syscall(image, image.begin(), image.end(), [&](const u8* p) {
    if (count < kMost && is_common(number_at(p))) candidates[count++] = ptr(p);
  });
  begin = end = 0;
  for (u32 first = 0, last = 0; first < count; first++) {
    const u64 page = candidates[first] & ~4095ull;
    while (last < count && candidates[last] < page + kWarmBytes) last++;
    if (last - first <= best) continue;
    best = last - first;
    begin = candidates[first];
    end = candidates[last - 1] + 2;
  }
}

// Patches the sites that another process has found.
void patch_known_sites(const Image& image) {
  u32 count = 0;
  for (u32 i = 0; i < warm.count; i++) {
    const WarmSite& one = warm.sites[i];
    const u64 at = image.address_of(one.offset);
    u8 byte;
    Site site{reinterpret_cast<u8*>(at), one.head, 0};
    if (!one.head) site.islet = at + 2 + static_cast<u64>(i64{one.islet});
    if (user_read(at, &byte, 1) && looks_like(site, image)) known[count++] = site;
  }
  for (u32 i = 0, next; i < count; i = next) {
    const u64 begin = ptr(known[i].at);
    for (next = i + 1; next < count && ptr(known[next].at) - begin < kWarmBytes;) next++;
    const TextWritable text_writable(image, begin, ptr(known[next - 1].at));
    for (u32 k = i; k < next && text_writable.good(); k++) {
      // Checked again: two sites may have claimed one islet.
      if (looks_like(known[k], image)) patch(known[k], false);
    }
  }
}

// Patches the warm sites of the image around `at`, if it has a build-id and is not so large that
// searching it would not pay.
void patch_warm_sites(u64 at) {
  constexpr u64 kMostScanned = 4 << 20;
  Image image;
  u8 id[kBuildIdBytes];
  if (!image.find(at, id) || !image.patchable() || !prepare()) return;
  const SlotsWritable slots_writable;
  if (!slots_writable.good()) return;
  if (warm_sites().are_of(id)) return patch_known_sites(image);
  if (image.end() - image.begin() > kMostScanned) return;
  image.end_where_unreadable(image.begin(), image.end());
  u64 begin, end;
  find_warm_range(image, begin, end);
  if (begin == end) return;
  const TextWritable text_writable(image, begin, end);
  if (!text_writable.good()) return;
  copy(warm.build_id, id, sizeof id);
  warm.count = 0;
  for_each_syscall(image, begin, end, [&](const u8* p) {
    Site site;
    if (is_common(number_at(p)) && prove(p, image, true, site) && patch(site, false))
      warm.add(warm_site(site, image));
  });
}

// Each site has eight possible places; the least used gives way.
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

void inherit_warm_sites(const char* text) {
  warm_text = text;
}

const WarmSites& warm_sites() {
  static char text[kWarmTextBytes + 1];
  if (warm_text) {
    // Not read beyond its end: a debugger would show each fault.
    user_string(ptr(warm_text), text, sizeof text - 1);
    parse_warm_sites(text, warm);
    warm_text = nullptr;
  }
  return warm;
}

void patch_when_hot(u64 site, u64 number) {
  Trapped& seen = count_of(site);
  const bool enough = __atomic_add_fetch(&traps, 1, __ATOMIC_RELAXED) == kWarm && !other_threads;
  const bool hot = seen.times != kNotPatchable && ++seen.times >= kHot;
  if (!enough && !hot) return;
  const u8* p = reinterpret_cast<const u8*>(site);
  if (__atomic_exchange_n(&patch_lock, 1u, __ATOMIC_ACQUIRE))
    return;  // another thread is patching; try next time
  if (enough) patch_warm_sites(site);
  if (hot) {
    seen.times = 0;
    if (number >= 512 || p[0] != 0x0f || p[1] != 0x05 || !patch_trapped_site(site, number))
      seen.times = kNotPatchable;
  }
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

namespace {

bool enter(UContext* uc, u64 ret) {
  uc->rcx = ret;
  uc->r11 = 2;
  uc->rip = ptr(mino_entry);
  return true;
}

}  // namespace

bool on_illegal_instruction(UContext* uc) {
  const u8* p = reinterpret_cast<const u8*>(uc->rip);
  // Retry until the patch is complete: at its first byte, and at the old `syscall`.
  const u64 unfinished = site_in_progress;
  if (unfinished && (uc->rip == unfinished || uc->rip == unfinished + 5)) return true;
  if (p[0] == 0x0f && p[1] == 0x0b) {
    if (!is_replaced(uc->rip)) return false;
    if (uc->rax == static_cast<u64>(__NR_rt_sigreturn)) {
      uc->rip = ptr(mino_restore_rt);
      return true;
    }
    return enter(uc, uc->rip + 2);
  }
  if (p[0] != 0x06) return p[0] == 0xff && p[1] == 0x24;  // completed meanwhile: retry
  if (p[1] != 0x00 || p[-5] != 0xff || p[-4] != 0x24 || p[-3] != 0x25) return false;
  // With one displaced instruction this is the old `syscall`; with two, it is the second of them.
  u32 address;
  copy(&address, p - 2, 4);
  const u32 index = (address - static_cast<u32>(kTable)) / 8;
  if (index >= patched_sites) return false;
  if (head_bytes_of[index] >= 8) {
    uc->rip = table[index] + 5;
    return true;
  }
  return enter(uc, uc->rip + 2);
}

}  // namespace mino::hook
