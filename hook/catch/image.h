// SPDX-License-Identifier: Apache-2.0
//
// One executable mapping of a file, as /proc/self/maps and the file's own program headers describe
// it: where it is, which functions it has (.eh_frame_hdr), and where padding between them has room
// for an islet. Used by the patcher and the scan. It only reads.
#pragma once

#include "hook/base/raw.h"

namespace mino::hook {

class Image {
 public:
  // Only one thread at a time may use these: the holder of patch_lock.
  bool next_executable(u64 from);  // the first executable mapping at or after `from`
  // The same, but misses no mapping, however many there are. kUnknown: the kernel does not tell
  // (before Linux 6.11, without /proc, without a free descriptor).
  enum class Next { kText, kNone, kUnknown };
  Next next_text(u64 from);
  // The executable mapping that contains `address`; with the build-id of its file if `build_id` is
  // given (then false if it has none).
  bool find(u64 address, u8* build_id = nullptr);

  // Ends the image before the first page of [from, to) that cannot be read, since a mapping may be
  // longer than its file.
  void end_where_unreadable(u64 from, u64 to);

  u64 begin() const { return begin_; }
  u64 end() const { return end_; }
  u64 file_begin() const { return file_begin_; }  // first mapping of the same file
  // Only for an image from find().
  u64 address_of(u64 offset) const { return begin_ + (offset - offset_); }
  u64 offset_of(u64 address) const { return address - begin_ + offset_; }

  // Private, file-backed, and exactly r-x. Only such mappings have permissions that we can restore
  // and contents that nobody else writes.
  bool patchable() const { return patchable_; }

  // The address of 7 bytes of padding within reach of a two-byte jump at `site`, or 0.
  u64 find_islet(u64 site) const;

  // Whether an image from next_text() is the vDSO.
  bool is_vdso() const { return vdso_; }

  // Whether .eh_frame can be read.
  bool has_functions() const { return eh_header_ && function_count_; }

  // The function that contains `address`; false if .eh_frame has none.
  bool function_around(u64 address, u64& from, u64& to) const;

  // The last function that ends at or before `address`, if no other contains it.
  bool function_before(u64 address, u64& from, u64& to) const;

  bool is_padding(u64 at, u64 bytes) const;

  // Whether no direct branch in the function around `from` leads into [from, to]. Every byte is
  // taken for the start of a branch, so that an error can only be a false alarm.
  bool no_branch_into(u64 from, u64 to) const;

 private:
  bool in_frames(u64 at, u64 bytes) const { return at >= frames_ && at + bytes <= frames_end_; }
  bool find_function(u64 address, u32& index) const;
  u64 function_start(u32 index) const;
  u64 function_end(u32 index) const;  // ~0 if its record has a form that we do not read
  bool query(u64 fd, u64 address, u8* build_id, bool& answered);
  bool scan_maps(u64 from, u64 containing);
  void find_eh_frame();

  u64 begin_ = 0, end_ = 0, file_begin_ = 0, offset_ = 0;
  bool patchable_ = false, vdso_ = false;
  const u8* eh_header_ = nullptr;
  u64 frames_ = 0, frames_end_ = 0;  // the readable part of the segment with eh_header_
  u32 function_count_ = 0;
};

}  // namespace mino::hook
