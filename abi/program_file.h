// SPDX-License-Identifier: Apache-2.0
//
// Program files as execve(2) reads them: ELF (fs/binfmt_elf.c) for x86-64, and the first line of a
// script (fs/binfmt_script.c). hook/ and cli/ ask here into which programs ld.so does not bring the
// hook. The caller reads the file: nothing here makes a system call.
#pragma once

#include <cstdint>

namespace mino::abi {

struct ElfHeader {
  uint8_t ident[16];
  uint16_t type, machine;
  uint32_t version;
  uint64_t entry, headers_at, sections_at;
  uint32_t flags;
  uint16_t header_bytes, program_header_bytes, program_header_count;
  uint16_t section[3];
};
static_assert(sizeof(ElfHeader) == 64);

struct ProgramHeader {
  enum Type : uint32_t { kLoad = 1, kInterpreter = 3 };
  uint32_t type, flags;
  uint64_t offset, address, physical, file_bytes, memory_bytes, align;
};
static_assert(sizeof(ProgramHeader) == 56);

struct ElfFile {
  static constexpr uint16_t kFixed = 2, kIndependent = 3, kX86_64 = 62;
  // The kernel takes 64 KiB of them; linkers make about a dozen.
  static constexpr uint16_t kMaxHeaders = 64;

  ElfHeader header;
  ProgramHeader program[kMaxHeaders];

  const ProgramHeader* find(uint32_t type) const {
    for (uint16_t i = 0; i < header.program_header_count; i++) {
      if (program[i].type == type) return &program[i];
    }
    return nullptr;
  }
  // `read(to, bytes, at)` reads exactly `bytes` bytes of the file at offset `at`, or answers false.
  // load() is false if this is not an x86-64 program.
  template <class Read>
  bool load(Read read) {
    if (!read(&header, sizeof header, uint64_t{0})) return false;
    constexpr uint8_t kMagic[7] = {0x7f, 'E', 'L', 'F', 2, 1, 1};  // 64 bits, low byte first
    for (unsigned i = 0; i < sizeof kMagic; i++) {
      if (header.ident[i] != kMagic[i]) return false;
    }
    return header.machine == kX86_64 && (header.type == kFixed || header.type == kIndependent) &&
           header.program_header_bytes == sizeof(ProgramHeader) &&
           header.program_header_count > 0 && header.program_header_count <= kMaxHeaders &&
           read(program, header.program_header_count * sizeof(ProgramHeader), header.headers_at) &&
           find(ProgramHeader::kLoad) != nullptr;
  }
};

// The first line of a script.
struct ScriptLine {
  static constexpr unsigned kMaxBytes = 256;  // BINPRM_BUF_SIZE
  char interpreter[kMaxBytes];
  char argument[kMaxBytes];  // all that follows it, without the blanks at both ends; or ""

  // `line` is the beginning of the file: `bytes` of it, at most kMaxBytes - 1. False: not a script.
  bool parse(const char* line, unsigned bytes) {
    if (bytes < 3 || bytes >= kMaxBytes || line[0] != '#' || line[1] != '!') return false;
    const char* from = line + 2;
    const char* end = from;
    while (end < line + bytes && *end && *end != '\n') end++;
    while (end > from && blank(end[-1])) end--;
    while (from < end && blank(*from)) from++;
    char* to = interpreter;
    while (from < end && !blank(*from)) *to++ = *from++;
    *to = 0;
    while (from < end && blank(*from)) from++;
    to = argument;
    while (from < end) *to++ = *from++;
    *to = 0;
    return interpreter[0] != 0;
  }

 private:
  static bool blank(char c) { return c == ' ' || c == '\t'; }
};

}  // namespace mino::abi
