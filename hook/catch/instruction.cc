// SPDX-License-Identifier: Apache-2.0
//
// See hook/catch/instruction.h. Tables give the form of what follows each opcode.
#include "hook/catch/instruction.h"

namespace mino::hook {

namespace {

// What follows an opcode.
enum Form : u8 {
  kNone,  // nothing
  kM,     // ModRM, and the SIB byte and displacement that it asks for
  kMB,    // the same and a byte
  kMZ,    // the same and 4 bytes, or 2 with an operand-size prefix
  kB,     // a byte
  kW,     // 2 bytes
  kWB,    // 3 bytes
  kZ,     // 4 bytes, or 2 with an operand-size prefix
  kV,     // as kZ, or 8 with REX.W
  kA,     // an address: 8 bytes, or 4 with an address-size prefix
  kJ,     // a displacement of 4 bytes; with a prefix its size depends on the processor
  kGroup3B,
  kGroup3Z,  // kMB and kMZ for TEST, else kM
  kGroup0,
  kGroup0B,
  kGroup0Z,  // kM, kMB, kMZ if the ModRM's reg is 0 (or that of xabort, xbegin), else invalid
  kX,        // invalid or unknown
};

struct Forms {
  u8 of[256];
};

struct Range {
  u8 first, last;
  Form form;
};

template <unsigned long N>
constexpr Forms forms(const Range (&ranges)[N]) {
  Forms forms{};
  for (u8& form : forms.of) form = kX;
  for (const Range& range : ranges) {
    for (u32 i = range.first; i <= range.last; i++) forms.of[i] = range.form;
  }
  return forms;
}

constexpr Forms kOneByte = [] {
  Forms one = forms({
      {0x50, 0x5f, kNone},    {0x63, 0x63, kM},       {0x68, 0x68, kZ},       {0x69, 0x69, kMZ},
      {0x6a, 0x6a, kB},       {0x6b, 0x6b, kMB},      {0x70, 0x7f, kB},       {0x80, 0x80, kMB},
      {0x81, 0x81, kMZ},      {0x83, 0x83, kMB},      {0x84, 0x8e, kM},       {0x8f, 0x8f, kGroup0},
      {0x90, 0x99, kNone},    {0x9b, 0x9f, kNone},    {0xa0, 0xa3, kA},       {0xa4, 0xa7, kNone},
      {0xa8, 0xa8, kB},       {0xa9, 0xa9, kZ},       {0xaa, 0xaf, kNone},    {0xb0, 0xb7, kB},
      {0xb8, 0xbf, kV},       {0xc0, 0xc1, kMB},      {0xc2, 0xc2, kW},       {0xc3, 0xc3, kNone},
      {0xc6, 0xc6, kGroup0B}, {0xc7, 0xc7, kGroup0Z}, {0xc8, 0xc8, kWB},      {0xc9, 0xc9, kNone},
      {0xcc, 0xcc, kNone},    {0xcd, 0xcd, kB},       {0xd0, 0xd3, kM},       {0xd7, 0xd7, kNone},
      {0xd8, 0xdf, kM},       {0xe0, 0xe3, kB},       {0xe8, 0xe9, kJ},       {0xeb, 0xeb, kB},
      {0xf4, 0xf5, kNone},    {0xf6, 0xf6, kGroup3B}, {0xf7, 0xf7, kGroup3Z}, {0xf8, 0xf9, kNone},
      {0xfc, 0xfd, kNone},    {0xfe, 0xff, kM},
  });
  for (u32 row = 0; row < 0x40; row += 8) {  // add, or, adc, sbb, and, sub, xor, cmp
    for (u32 i = 0; i < 4; i++) one.of[row + i] = kM;
    one.of[row + 4] = kB;
    one.of[row + 5] = kZ;
  }
  return one;
}();

constexpr Forms kTwoBytes = forms({
    {0x00, 0x03, kM}, {0x05, 0x05, kNone}, {0x0b, 0x0b, kNone}, {0x0d, 0x0d, kM},
    {0x10, 0x1f, kM}, {0x28, 0x2f, kM},    {0x31, 0x31, kNone}, {0x34, 0x34, kNone},
    {0x40, 0x6f, kM}, {0x70, 0x73, kMB},   {0x74, 0x76, kM},    {0x77, 0x77, kNone},
    {0x7c, 0x7f, kM}, {0x80, 0x8f, kJ},    {0x90, 0x9f, kM},    {0xa0, 0xa2, kNone},
    {0xa3, 0xa3, kM}, {0xa4, 0xa4, kMB},   {0xa5, 0xa5, kM},    {0xa8, 0xa9, kNone},
    {0xab, 0xab, kM}, {0xac, 0xac, kMB},   {0xad, 0xb9, kM},    {0xba, 0xba, kMB},
    {0xbb, 0xc1, kM}, {0xc2, 0xc2, kMB},   {0xc3, 0xc3, kM},    {0xc4, 0xc6, kMB},
    {0xc7, 0xc7, kM}, {0xc8, 0xcf, kNone}, {0xd0, 0xfe, kM},
});

// VEX and EVEX: map 1 holds the two-byte opcodes, but few of them exist there.
constexpr bool vector_has_byte(u32 map, u8 opcode) {
  return map == 3 || (map == 1 && ((opcode >= 0x70 && opcode <= 0x73) || opcode == 0xc2 ||
                                   (opcode >= 0xc4 && opcode <= 0xc6)));
}

class Reader {
 public:
  Reader(const u8* p, const u8* end)
      : begin_(p), at_(p), end_(end - p > kMaxInstructionBytes ? p + kMaxInstructionBytes : end) {}

  u32 length() {
    if (!prefixes()) return 0;
    const u8 opcode = byte();
    bool good;
    if (opcode == 0xc5 || opcode == 0xc4) {
      good = !rex_seen_ && !operand_size_ && vex(opcode == 0xc4);
    } else if (opcode == 0x62) {
      good = !rex_seen_ && !operand_size_ && evex();
    } else if (opcode != 0x0f) {
      good = rest(kOneByte.of[opcode]);
    } else {
      good = two_bytes();
    }
    return good && !short_ ? static_cast<u32>(at_ - begin_) : 0;
  }

 private:
  u8 byte() {
    if (at_ < end_) return *at_++;
    short_ = true;
    return 0;
  }
  bool skip(u32 bytes) {
    if (static_cast<u64>(end_ - at_) < bytes) return false;
    at_ += bytes;
    return true;
  }

  bool prefixes() {
    for (; at_ < end_; at_++) {
      const u8 p = *at_;
      if (p == 0x66) {
        operand_size_ = true;
      } else if (p == 0x67) {
        address_size_ = true;
      } else if (p != 0x2e && p != 0x36 && p != 0x3e && p != 0x26 && p != 0x64 && p != 0x65 &&
                 p != 0xf0 && p != 0xf2 && p != 0xf3) {
        break;
      }
    }
    if (at_ < end_ && (*at_ & 0xf0) == 0x40) {
      rex_seen_ = true;
      wide_ = *at_++ & 8;
    }
    return at_ < end_;
  }

  bool two_bytes() {
    const u8 opcode = byte();
    if (opcode == 0x38 || opcode == 0x3a) {
      byte();
      return rest(opcode == 0x38 ? kM : kMB);
    }
    return rest(kTwoBytes.of[opcode]);
  }

  bool vex(bool three_bytes) {
    const u32 map = three_bytes ? byte() & 0x1f : 1;
    byte();
    return vector(map);
  }
  bool evex() {
    const u32 map = byte() & 0x0f;  // bit 3 is 0 except for APX
    byte();
    byte();
    return map != 4 && map < 8 && vector(map);  // 5 and 6: AVX512-FP16
  }
  bool vector(u32 map) {
    if (map == 0 || map == 4 || map > 6) return false;
    const u8 opcode = byte();
    if (map == 1 && opcode == 0x77) return true;  // vzeroupper
    if (map == 1 && (opcode & 0xf0) == 0x80) return false;
    return rest(vector_has_byte(map, opcode) ? kMB : kM);
  }

  bool mod_rm(u8& reg) {
    const u8 modrm = byte();
    if (modrm == 0xf8) transaction_ = true;
    const u8 mod = modrm >> 6, rm = modrm & 7;
    reg = modrm >> 3 & 7;
    if (mod == 3) return true;
    u32 displacement = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    if (rm == 4) {
      if ((byte() & 7) == 5 && mod == 0) displacement = 4;
    } else if (rm == 5 && mod == 0) {
      displacement = 4;
    }
    return skip(displacement);
  }

  bool rest(u8 form) {
    const u32 z = operand_size_ && !wide_ ? 2 : 4;
    u8 reg;
    switch (form) {
      case kNone:
        return true;
      case kM:
        return mod_rm(reg);
      case kMB:
        return mod_rm(reg) && skip(1);
      case kMZ:
        return mod_rm(reg) && skip(z);
      case kB:
        return skip(1);
      case kW:
        return skip(2);
      case kWB:
        return skip(3);
      case kZ:
        return skip(z);
      case kV:
        return skip(wide_ ? 8 : z);
      case kA:
        return skip(address_size_ ? 4 : 8);
      case kJ:
        return (!operand_size_ || wide_) && skip(4);
      case kGroup3B:
        return mod_rm(reg) && (reg > 1 || skip(1));
      case kGroup3Z:
        return mod_rm(reg) && (reg > 1 || skip(z));
      case kGroup0:
        return mod_rm(reg) && reg == 0;
      case kGroup0B:
        return mod_rm(reg) && (reg == 0 || transaction_) && skip(1);
      case kGroup0Z:
        return mod_rm(reg) && (reg == 0 || transaction_) && skip(z);
      default:
        return false;
    }
  }

  const u8* begin_;
  const u8* at_;
  const u8* end_;
  bool operand_size_ = false, address_size_ = false, rex_seen_ = false, wide_ = false;
  bool short_ = false, transaction_ = false;
};

}  // namespace

u32 instruction_length(const u8* p, const u8* end) {
  return Reader(p, end).length();
}

}  // namespace mino::hook
