// SPDX-License-Identifier: Apache-2.0
//
// Compares lengths of instructions with Zydis: all code of common libraries, and random bytes.
#include "hook/catch/instruction.h"

#include <Zydis/Decoder.h>
#include <dlfcn.h>
#include <elf.h>
#include <gtest/gtest.h>
#include <link.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>
#include <span>
#include <string>
#include <vector>

namespace mino::hook {
namespace {

class Reference {
 public:
  Reference() {
    ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisDecoderEnableMode(&decoder_, ZYDIS_DECODER_MODE_MINIMAL, ZYAN_TRUE);
  }
  u32 length(std::span<const u8> bytes) const {
    ZydisDecodedInstruction instruction;
    const bool good = ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder_, nullptr, bytes.data(),
                                                                 bytes.size(), &instruction));
    return good ? instruction.length : 0;
  }

 private:
  ZydisDecoder decoder_;
};

std::string hex(std::span<const u8> bytes) {
  std::string text;
  for (const u8 byte : bytes.first(std::min<size_t>(bytes.size(), kMaxInstructionBytes))) {
    std::array<char, 4> digits;
    std::snprintf(digits.data(), digits.size(), "%02x ", byte);
    text += digits.data();
  }
  return text;
}

struct Text {
  std::string name;
  std::span<const u8> bytes;
};

// The executable segments of what is loaded.
std::vector<Text> loaded_texts() {
  std::vector<Text> texts;
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* to) {
        for (int i = 0; i < info->dlpi_phnum; i++) {
          const ElfW(Phdr)& h = info->dlpi_phdr[i];
          if (h.p_type != PT_LOAD || !(h.p_flags & PF_X)) continue;
          const auto* begin = reinterpret_cast<const u8*>(info->dlpi_addr + h.p_vaddr);
          static_cast<std::vector<Text>*>(to)->push_back(
              {info->dlpi_name, {begin, static_cast<size_t>(h.p_memsz)}});
        }
        return 0;
      },
      &texts);
  return texts;
}

TEST(Instruction, HasTheLengthThatZydisGivesItInRealLibraries) {
  ASSERT_NE(dlopen("libcrypto.so.3", RTLD_NOW), nullptr) << dlerror();  // AVX, AVX-512, data
  const Reference reference;
  size_t count = 0, clean = 0, unknown = 0;
  for (const Text& text : loaded_texts()) {
    for (size_t at = 0; at < text.bytes.size();) {
      const auto rest = text.bytes.subspan(at);
      const u32 expected = reference.length(rest);
      const u32 length = instruction_length(rest.data(), rest.data() + rest.size());
      if (expected == 0) {
        at++;
        continue;
      }
      count++;
      // The assembly of OpenSSL and the vDSO have data among their code, which may look like
      // anything.
      if (!text.name.contains("libcrypto") && !text.name.contains("vdso")) {
        clean++;
        if (length == 0) unknown++;
      }
      if (length) {
        ASSERT_EQ(length, expected) << text.name << " + " << at << ": " << hex(rest);
      }
      at += expected;
    }
  }
  EXPECT_GT(count, 500'000u);
  EXPECT_GT(clean, 500'000u);
  EXPECT_LT(unknown, clean / 10'000) << "there are gaps between sections";
}

TEST(Instruction, HasTheLengthThatZydisGivesItInRandomBytes) {
  const Reference reference;
  std::mt19937 random(7);
  for (int i = 0; i < 1'000'000; i++) {
    std::array<u8, kMaxInstructionBytes> bytes;
    for (u8& byte : bytes) byte = static_cast<u8>(random());
    const u32 expected = reference.length(bytes);
    const u32 length = instruction_length(bytes.data(), bytes.data() + bytes.size());
    if (length && expected) {
      ASSERT_EQ(length, expected) << hex(bytes);
    }
  }
}

TEST(Instruction, EndsBeforeTheEnd) {
  const std::array<u8, 7> jump{0xff, 0x24, 0x25, 0x08, 0x01, 0x06, 0x00};
  for (size_t n = 0; n < jump.size(); n++)
    EXPECT_EQ(instruction_length(&jump[0], &jump[0] + n), 0u);
  EXPECT_EQ(instruction_length(&jump[0], &jump[0] + 7), 7u);
}

TEST(Instruction, IsNotWhatProgramsDoNotHave) {
  for (const u32 opcode :
       {0x06, 0x0e, 0x27, 0x60, 0x82, 0x9a, 0xca, 0xcf, 0xd6, 0xe4, 0xea, 0xec, 0xf1, 0xfa}) {
    const std::array<u8, 15> bytes{static_cast<u8>(opcode)};
    EXPECT_EQ(instruction_length(&bytes[0], &bytes[0] + 15), 0u) << opcode;
  }
}

}  // namespace
}  // namespace mino::hook
