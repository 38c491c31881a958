// SPDX-License-Identifier: Apache-2.0
//
// One executable mapping of a file, as /proc/self/maps and the file's own program headers describe
// it: where it lies, which functions it has (.eh_frame_hdr), and where padding between them can
// take an islet.
#pragma once

#include "hook/base/raw.h"

namespace mino::hook {

class Image {
 public:
  // One thread at a time: patch_lock.
  bool next_executable(u64 from);  // the first executable mapping at or after `from`
  // The same without missing one, however many there are. kUnknown: the kernel does not tell
  // (before Linux 6.11, without /proc, with no descriptor left).
  enum class Next { kText, kNone, kUnknown };
  Next next_text(u64 from);
  // The executable mapping that holds `address`; with its file's build-id, if that is asked for
  // (then false where there is none).
  bool find(u64 address, u8* build_id = nullptr);

  // Ends the image before the first page of [from, to) that cannot be read: a mapping may be longer
  // than its file.
  void end_where_unreadable(u64 from, u64 to);

  u64 begin() const { return begin_; }
  u64 end() const { return end_; }
  u64 file_begin() const { return file_begin_; }  // first mapping of the same file
  // For an image that find() has found.
  u64 address_of(u64 offset) const { return begin_ + (offset - offset_); }
  u64 offset_of(u64 address) const { return address - begin_ + offset_; }

  // Private, file-backed, r-x exactly: the only kind whose permissions we can put back and whose
  // content nobody else writes.
  bool patchable() const { return patchable_; }

  // The address of 7 bytes of padding within reach of a two-byte jump at `site`, or 0.
  u64 find_islet(u64 site) const;

  // For what next_text has found: it is the vDSO.
  bool is_vdso() const { return vdso_; }

  // .eh_frame can be read.
  bool has_functions() const { return eh_header_ && function_count_; }

  // The function that holds `address`; false if .eh_frame says nothing of one.
  bool function_around(u64 address, u64& from, u64& to) const;

  // The last function that ends at or before `address`, where no other holds that.
  bool function_before(u64 address, u64& from, u64& to) const;

  bool is_padding(u64 at, u64 bytes) const;

  // No direct branch in the function around `from` leads to an address in [from, to]. Every byte is
  // taken for the start of a branch, so that the answer can only err towards "there may be one".
  bool no_branch_into(u64 from, u64 to) const;

 private:
  bool in_frames(u64 at, u64 bytes) const { return at >= frames_ && at + bytes <= frames_end_; }
  bool find_function(u64 address, u32& index) const;
  u64 function_start(u32 index) const;
  u64 function_end(u32 index) const;  // ~0 if its record is of a kind we do not read
  bool query(u64 fd, u64 address, u8* build_id, bool& answered);
  bool scan_maps(u64 from, u64 containing);
  void find_eh_frame();

  u64 begin_ = 0, end_ = 0, file_begin_ = 0, offset_ = 0;
  bool patchable_ = false, vdso_ = false;
  const u8* eh_header_ = nullptr;
  u64 frames_ = 0, frames_end_ = 0;  // what can be read of the segment that eh_header_ lies in
  u32 function_count_ = 0;
};

}  // namespace mino::hook
