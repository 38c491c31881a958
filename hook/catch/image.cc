// SPDX-License-Identifier: Apache-2.0
//
// See hook/catch/image.h. Reads /proc/self/maps and .eh_frame_hdr (LSB core, "Exception Frames").
// Only encodings that GNU ld and lld emit are understood; anything else means "no islet".
#include "hook/catch/image.h"

#include <initializer_list>

#include "hook/base/uapi.h"
#include "hook/base/user.h"
#include "hook/catch/warm.h"

namespace mino::hook {

namespace {

// One line of /proc/self/maps.
struct Line {
  u64 begin, end, inode;
  char permissions[5];
  bool has_path;
};

Line parse_line(const char* s) {
  Line line{};
  line.begin = parse_hex(s);
  s++;
  line.end = parse_hex(s);
  s++;
  copy(line.permissions, s, 4);
  s += 5;
  parse_hex(s);  // offset
  s++;
  while (*s && *s != ' ') s++;  // device
  s++;
  line.inode = parse_number(s);
  while (*s == ' ') s++;
  line.has_path = *s == '/';
  return line;
}

template <class T>
T peek(const u8* p) {
  T value;
  copy(&value, p, sizeof value);
  return value;
}

// The length of the padding instruction at p (one of those that assemblers emit), or 0.
u32 padding_length(const u8* p, const u8* end) {
  const u8* q = p;
  while (q < end && (*q == 0x66 || *q == 0x2e)) q++;
  if (q >= end) return 0;
  if (*q == 0x90 || *q == 0xcc) return static_cast<u32>(q + 1 - p);
  if (end - q < 3 || q[0] != 0x0f || q[1] != 0x1f) return 0;
  u32 tail;
  switch (q[2]) {
    case 0x00:
      tail = 3;
      break;
    case 0x40:
      tail = 4;
      break;
    case 0x44:
      tail = 5;
      break;
    case 0x80:
      tail = 7;
      break;
    case 0x84:
      tail = 8;
      break;
    default:
      return 0;
  }
  return q + tail > end ? 0 : static_cast<u32>(q + tail - p);
}

bool all_padding(u64 begin, u64 end) {
  const u8* p = reinterpret_cast<const u8*>(begin);
  const u8* last = reinterpret_cast<const u8*>(end);
  while (p < last) {
    const u32 n = padding_length(p, last);
    if (n == 0) return false;
    p += n;
  }
  return true;
}

// The first page in [from, to) that cannot be read, or `to`.
u64 readable_end(u64 from, u64 to) {
  u8 byte;
  for (u64 page = from & ~4095ull; page < to; page += 4096) {
    if (!user_read(page, &byte, 1)) return page < from ? from : page;
  }
  return to;
}

// Not on the stack: the trap runs on the program's own stack, and musl's posix_spawn has only 5
// KiB. Used before main, or by the holder of patch_lock.
char maps[4096 + 1];

}  // namespace

void Image::end_where_unreadable(u64 from, u64 to) {
  const u64 end = readable_end(from, min(to, end_));
  if (end < min(to, end_)) end_ = end;
}

bool Image::scan_maps(u64 from, u64 containing) {
  const long fd = raw(__NR_openat, AT_FDCWD, ptr("/proc/self/maps"), O_CLOEXEC, 0);
  if (is_error(fd)) return false;
  u64 have = 0, file_begin = 0;
  Line run{};  // the parts of one mapping, which patched pages have split
  bool found = false, complete = false;
  while (!complete) {
    const long got = raw(__NR_read, static_cast<u64>(fd), ptr(maps + have), 4096 - have);
    if (got <= 0) break;
    have += static_cast<u64>(got);
    maps[have] = 0;
    u64 start = 0;
    for (u64 i = 0; i < have && !complete; i++) {
      if (maps[i] != '\n') continue;
      maps[i] = 0;
      const Line line = parse_line(maps + start);
      start = i + 1;
      if (line.inode != run.inode || line.inode == 0) file_begin = line.begin;
      const bool goes_on = line.begin == run.end && line.inode == run.inode &&
                           equal(line.permissions, run.permissions);
      complete = found && !goes_on;
      if (complete) break;
      const u64 begin = goes_on ? run.begin : line.begin;
      run = line;
      run.begin = begin;
      found |= containing ? containing >= line.begin && containing < line.end
                          : line.begin >= from && line.permissions[2] == 'x';
      if (!found) continue;
      begin_ = run.begin;
      end_ = run.end;
      file_begin_ = file_begin;
      patchable_ = line.has_path && line.inode != 0 && equal(line.permissions, "r-xp");
    }
    copy(maps, maps + start, have - start);
    have -= start;
  }
  raw(__NR_close, static_cast<u64>(fd));
  eh_header_ = nullptr;
  if (found && patchable_) find_eh_frame();
  return found;
}

bool Image::next_executable(u64 from) {
  return scan_maps(from, 0);
}
bool Image::find(u64 address, u8* build_id) {
  const long fd = raw(__NR_openat, AT_FDCWD, ptr("/proc/self/maps"), O_CLOEXEC, 0);
  if (is_error(fd)) return false;
  bool answered = true;
  const bool found = query(static_cast<u64>(fd), address, build_id, answered);
  raw(__NR_close, static_cast<u64>(fd));
  return answered ? found : !build_id && scan_maps(0, address);
}

namespace {

struct Mapping {  // struct procmap_query of linux/fs.h, since Linux 6.11
  u64 size, flags, address, begin, end, permissions, page_size, offset, inode;
  u32 major, minor, name_bytes, build_id_bytes;
  u64 name, build_id;
};
// The number of the request has the size of the structure in it.
static_assert(sizeof(Mapping) == (PROCMAP_QUERY >> 16 & 0x3fff));
constexpr u64 kReadableExecutable = PROCMAP_QUERY_VMA_READABLE | PROCMAP_QUERY_VMA_EXECUTABLE;

long ask_about(u64 fd, Mapping& at, u64 address) {
  at.size = sizeof at;
  at.address = address;
  return raw(__NR_ioctl, fd, PROCMAP_QUERY, ptr(&at));
}

}  // namespace

Image::Next Image::next_text(u64 from) {
  const long fd = raw(__NR_openat, AT_FDCWD, ptr("/proc/self/maps"), O_CLOEXEC, 0);
  if (is_error(fd)) return Next::kUnknown;
  Mapping at{};
  at.flags = PROCMAP_QUERY_VMA_EXECUTABLE | PROCMAP_QUERY_COVERING_OR_NEXT_VMA;
  at.name = ptr(maps);
  at.name_bytes = sizeof maps;
  const long result = ask_about(static_cast<u64>(fd), at, from);
  bool answered = result == 0;
  if (answered) {
    vdso_ = at.name_bytes && equal(maps, "[vdso]");
    const u64 inside = at.begin > from ? at.begin : from;
    answered = query(static_cast<u64>(fd), inside, nullptr, answered) && answered;
  }
  raw(__NR_close, static_cast<u64>(fd));
  return answered ? Next::kText : result == -ENOENT ? Next::kNone : Next::kUnknown;
}

// Takes a tenth of the time that reading the text takes. `answered` is false on kernels before
// 6.11.
bool Image::query(u64 fd, u64 address, u8* build_id, bool& answered) {
  Mapping at;
  const auto ask = [&](u64 where) {
    at = {};
    if (where == address && build_id) {
      at.build_id_bytes = kBuildIdBytes;
      at.build_id = ptr(build_id);
    }
    return ask_about(fd, at, where);
  };
  const long result = ask(address);
  answered = result == 0 || result == -ENOENT;
  if (result != 0 || (build_id && at.build_id_bytes != kBuildIdBytes)) return false;
  eh_header_ = nullptr;
  begin_ = file_begin_ = at.begin;
  offset_ = at.offset;
  end_ = at.end;
  const u64 inode = at.inode, device = u64{at.major} << 32 | at.minor;
  patchable_ = inode != 0 && at.permissions == kReadableExecutable;
  if (!patchable_) return true;
  const auto same_file = [&] {
    return at.inode == inode && (u64{at.major} << 32 | at.minor) == device;
  };
  // Join neighbours that are parts of one mapping, which patched pages have split.
  bool same_mapping = true;
  while (ask(file_begin_ - 1) == 0 && same_file()) {
    file_begin_ = at.begin;
    same_mapping = same_mapping && at.permissions == kReadableExecutable;
    if (same_mapping) {
      begin_ = at.begin;
      offset_ = at.offset;
    }
  }
  while (ask(end_) == 0 && same_file() && at.permissions == kReadableExecutable) end_ = at.end;
  find_eh_frame();
  return true;
}

void Image::find_eh_frame() {
  const u8* elf = reinterpret_cast<const u8*>(file_begin_);
  if (readable_end(file_begin_, file_begin_ + 4096) == file_begin_) return;
  if (peek<u32>(elf) != 0x464c457f || elf[EI_CLASS] != ELFCLASS64) return;
  const u8* headers = elf + peek<u64>(elf + 32);
  const u16 count = peek<u16>(elf + 56);
  u64 bias = 0, frame = 0, frame_end = 0, segment = 0, segment_end = 0;
  bool have_bias = false;
  if (ptr(headers) + count * 56u > file_begin_ + 4096) return;
  for (u16 i = 0; i < count; i++) {
    const u8* h = headers + i * 56;
    const u32 type = peek<u32>(h);
    const u64 vaddr = peek<u64>(h + 16);
    if (type == PT_LOAD && !have_bias) {  // the first one holds the ELF header
      bias = file_begin_ - (vaddr & ~4095ull);
      have_bias = true;
    }
    if (type == PT_GNU_EH_FRAME) {
      frame = vaddr;
      frame_end = vaddr + peek<u64>(h + 40);
    }
  }
  if (!have_bias || !frame) return;
  for (u16 i = 0; i < count; i++) {
    const u8* h = headers + i * 56;
    const u64 vaddr = peek<u64>(h + 16), bytes = peek<u64>(h + 32);
    if (peek<u32>(h) != PT_LOAD || frame < vaddr || frame - vaddr >= bytes) continue;
    segment = bias + vaddr;
    segment_end = segment + bytes;
  }
  const u8* header = reinterpret_cast<const u8*>(bias + frame);
  // It may not be mapped yet (ld.so maps text first), or something else may be there.
  frames_ = segment;
  frames_end_ = readable_end(segment, segment_end);
  if (!in_frames(ptr(header), frame_end - frame) || frame_end - frame < 12) return;
  // version 1, eh_frame_ptr pcrel|sdata4, fde_count udata4, table datarel|sdata4
  if (header[0] != 1 || header[1] != 0x1b || header[2] != 0x03 || header[3] != 0x3b) return;
  function_count_ = peek<u32>(header + 8);
  if (12 + u64{function_count_} * 8 > frame_end - frame) return;
  eh_header_ = header;
}

u64 Image::function_start(u32 i) const {
  return ptr(eh_header_) + static_cast<u64>(static_cast<i64>(peek<int>(eh_header_ + 12 + i * 8)));
}

namespace {

// Whether the pointers of a CIE's functions are pcrel|sdata4. `room` bytes of the CIE can be read.
bool has_short_pointers(const u8* cie, u64 room) {
  constexpr u64 kMost = 32;  // enough for all letters, with numbers below 128
  if (room < kMost || cie[8] != 1 || cie[9] != 'z') return false;
  const u8* letter = cie + 10;
  const u8* p = letter;
  while (*p && p < cie + 15) p++;
  if (*p++) return false;
  // Alignments of code and data, the return address, the length of what follows.
  for (int i = 0; i < 4; i++) {
    if (*p++ & 0x80) return false;
  }
  for (; *letter; letter++) {
    if (*letter == 'R') return *p == 0x1b;
    if (*letter == 'L') {
      p++;
    } else if (*letter == 'P') {  // the personality: its encoding and the pointer
      const u32 size = *p++ & 7;
      if (size != 0 && size != 3 && size != 4) return false;
      p += size == 3 ? 4 : 8;
    } else if (*letter != 'S' && *letter != 'B') {
      return false;
    }
  }
  return false;
}

}  // namespace

u64 Image::function_end(u32 i) const {
  const u8* fde = eh_header_ + static_cast<i64>(peek<int>(eh_header_ + 12 + i * 8 + 4));
  if (!in_frames(ptr(fde), 16)) return ~0ull;
  const u8* cie = fde + 4 - peek<u32>(fde + 4);
  if (!in_frames(ptr(cie), 12) || !has_short_pointers(cie, frames_end_ - ptr(cie))) return ~0ull;
  return function_start(i) + peek<u32>(fde + 12);
}

bool Image::function_around(u64 address, u64& from, u64& to) const {
  u32 index;
  if (!find_function(address, index)) return false;
  from = function_start(index);
  to = function_end(index);
  return to != ~0ull && address < to && from >= begin_ && to <= end_;
}

// The last function that starts at or before the address.
bool Image::find_function(u64 address, u32& index) const {
  if (!eh_header_ || function_count_ == 0) return false;
  u32 low = 0, high = function_count_;
  while (high - low > 1) {
    const u32 middle = (low + high) / 2;
    (function_start(middle) <= address ? low : high) = middle;
  }
  index = low;
  return function_start(low) <= address;
}

bool Image::function_before(u64 address, u64& from, u64& to) const {
  u32 index;
  if (!find_function(address, index)) return false;
  from = function_start(index);
  to = function_end(index);
  return to != ~0ull && address >= to && from >= begin_ && to <= end_;
}

bool Image::no_branch_into(u64 from, u64 to) const {
  u32 index;
  if (!find_function(from, index)) return false;
  const u64 start = function_start(index), end = function_end(index);
  if (end == ~0ull || from < start || to >= end || end - start > 4096 || start < begin_ ||
      end > end_)
    return false;
  for (u64 at = start; at + 6 < end; at++) {
    const u8* p = reinterpret_cast<const u8*>(at);
    u64 target = 0;
    if (p[0] == 0xeb || (p[0] & 0xf0) == 0x70 || (p[0] >= 0xe0 && p[0] <= 0xe3)) {
      target = at + 2 + static_cast<u64>(static_cast<i64>(static_cast<signed char>(p[1])));
    } else if (p[0] == 0xe9 || p[0] == 0xe8) {
      target = at + 5 + static_cast<u64>(static_cast<i64>(peek<int>(p + 1)));
    } else if (p[0] == 0x0f && (p[1] & 0xf0) == 0x80) {
      target = at + 6 + static_cast<u64>(static_cast<i64>(peek<int>(p + 2)));
    }
    if (target >= from && target <= to) return false;
  }
  return true;
}

bool Image::is_padding(u64 at, u64 bytes) const {
  if (at < begin_ || at >= end_ || end_ - at < bytes) return false;
  const u8* const end = reinterpret_cast<const u8*>(end_);
  for (u64 done = 0; done < bytes;) {
    const u32 n = padding_length(reinterpret_cast<const u8*>(at + done), end);
    if (n == 0) return false;
    done += n;
  }
  return true;
}

u64 Image::find_islet(u64 site) const {
  u32 low;
  if (!find_function(site, low)) return 0;
  // Try the gaps before and after the function, and one further in both directions.
  for (const u32 i : {low - 1, low, low - 2, low + 1}) {
    if (i >= function_count_ || i + 1 >= function_count_) continue;
    const u64 gap = function_end(i), gap_end = function_start(i + 1);
    if (gap == ~0ull || gap >= gap_end || gap_end - gap > 64 || gap < begin_ || gap_end > end_)
      continue;
    // Part of the gap may hold an islet already: take the untouched tail.
    for (u64 at = gap; at + 7 <= gap_end; at++) {
      const i64 distance = static_cast<i64>(at) - static_cast<i64>(site + 2);
      if (distance < -128 || distance > 127 || !all_padding(at, gap_end)) continue;
      return at;
    }
  }
  return 0;
}

}  // namespace mino::hook
