// SPDX-License-Identifier: Apache-2.0
//
// Programs whose segments are unusual, made here by hand, and what execve does with them
// (fs/binfmt_elf.c). They need no libc and no interpreter.

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <string>
#include <vector>

#include "children.h"

namespace {

constexpr Elf64_Addr kCode = 0x10000000, kData = 0x10010000;

Elf64_Phdr segment(uint32_t flags, Elf64_Off offset, Elf64_Addr address, size_t file_bytes,
                   size_t memory_bytes) {
  Elf64_Phdr p = {};
  p.p_type = PT_LOAD;
  p.p_flags = flags;
  p.p_offset = offset;
  p.p_vaddr = p.p_paddr = address;
  p.p_filesz = file_bytes;
  p.p_memsz = memory_bytes;
  p.p_align = 4096;
  return p;
}

// Adds 42 to the byte at kData + 16, and exits with what is there.
constexpr unsigned char kProgram[] = {
    0xb8, 0x10, 0x00, 0x01, 0x10,  // mov $kData + 16, %eax
    0x80, 0x00, 0x2a,              // addb $42, (%rax)
    0x0f, 0xb6, 0x38,              // movzbl (%rax), %edi
    0xb8, 0xe7, 0x00, 0x00, 0x00,  // mov $231, %eax
    0x0f, 0x05,                    // syscall
};

// The status with which the program ends.
int status_of(std::vector<Elf64_Phdr> segments) {
  std::string file(8192, '\0');
  Elf64_Ehdr head = {};
  memcpy(head.e_ident, ELFMAG, SELFMAG);
  head.e_ident[EI_CLASS] = ELFCLASS64;
  head.e_ident[EI_DATA] = ELFDATA2LSB;
  head.e_ident[EI_VERSION] = EV_CURRENT;
  head.e_type = ET_EXEC;
  head.e_machine = EM_X86_64;
  head.e_version = EV_CURRENT;
  head.e_entry = kCode + 1024;
  head.e_phoff = sizeof head;
  head.e_ehsize = sizeof head;
  head.e_phentsize = sizeof(Elf64_Phdr);
  head.e_phnum = static_cast<uint16_t>(segments.size());
  memcpy(file.data(), &head, sizeof head);
  memcpy(file.data() + sizeof head, segments.data(), segments.size() * sizeof(Elf64_Phdr));
  memcpy(file.data() + 1024, kProgram, sizeof kProgram);
  file[4096 + 16] = 1;  // for segments with this page
  const std::string path = std::string(check::scratch()) + "/program";
  unlink(path.c_str());
  int fd = OK(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755));
  EXPECT_EQ(write(fd, file.data(), file.size()), file.size());
  EXPECT_EQ(close(fd), 0);
  pid_t pid = child([&] {
    execl(path.c_str(), "program", nullptr);
    _exit(127);
  });
  return wait_for(pid);
}

const Elf64_Phdr kText = segment(PF_R | PF_X, 0, kCode, 4096, 4096);

void expect_exit(int status, int want, int line) {
  if (WIFEXITED(status) && WEXITSTATUS(status) == want) return;
  char what[80];
  snprintf(what, sizeof what, "wanted exit status %d, got status %#x", want,
           static_cast<unsigned>(status));
  check::fail("loading.cc", line, "status_of", what);
}

void expect_segv(int status, int line) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV) return;
  char what[80];
  snprintf(what, sizeof what, "wanted SIGSEGV, got status %#x", static_cast<unsigned>(status));
  check::fail("loading.cc", line, "status_of", what);
}

}  // namespace

TEST(segment_without_content) {
  for (Elf64_Off offset : {0, 4096, 0x123, 4095, 1 << 20})
    expect_exit(status_of({kText, segment(PF_R | PF_W, offset, kData, 0, 64)}), 42, __LINE__);
  // It may begin anywhere in a page.
  expect_exit(status_of({kText, segment(PF_R | PF_W, 0x321, kData + 8, 0, 64)}), 42, __LINE__);
  // And it is writable, whatever its flags say.
  expect_exit(status_of({kText, segment(PF_R, 0, kData, 0, 64)}), 42, __LINE__);
  expect_exit(status_of({kText, segment(PF_R | PF_W, 0, kData, 0, 3 << 20)}), 42, __LINE__);
  // One that is empty altogether does no harm.
  expect_exit(status_of({kText, segment(PF_R | PF_W, 0, kData, 0, 64),
                         segment(PF_R, 0x77, kData + 0x10000, 0, 0)}),
              42, __LINE__);
}

TEST(segment_with_content) {
  expect_exit(status_of({kText, segment(PF_R | PF_W, 4096, kData, 64, 64)}), 43, __LINE__);
  expect_exit(status_of({kText, segment(PF_R | PF_W, 4096, kData, 8, 4096)}), 42, __LINE__);
  expect_exit(status_of({kText, segment(PF_R | PF_W, 4096 + 16, kData + 16, 8, 9000)}), 43,
              __LINE__);
}

// The kernel finds out when it is too late to return.
TEST(segments_that_cannot_be_mapped) {
  expect_segv(status_of({kText, segment(PF_R | PF_W, 4096 + 1, kData, 64, 64)}), __LINE__);
  expect_segv(status_of({kText, segment(PF_R | PF_W, 4096, kData + 8, 64, 64)}), __LINE__);
  expect_segv(status_of({kText, segment(PF_R | PF_W, 4096, kData, 64, 32)}), __LINE__);
}
