// SPDX-License-Identifier: Apache-2.0
#include <elf.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "cli/commands.h"
#include "cli/hand_over.h"
#include "cli/program.h"

namespace mino {
namespace {

class Scratch : public testing::Test {
 protected:
  Scratch() {
    char name[] = "/tmp/mino-run-test.XXXXXX";
    dir_ = ::mkdtemp(name);
  }
  ~Scratch() override { std::filesystem::remove_all(dir_); }

  std::string file(const std::string& name, const std::string& content, mode_t mode = 0755) {
    const std::string path = dir_ + "/" + name;
    std::ofstream(path) << content;
    ::chmod(path.c_str(), mode);
    return path;
  }
  // The part of an ELF file that is read: its header, and one segment of a type.
  std::string elf(const std::string& name, uint32_t segment, uint8_t bits = ELFCLASS64) {
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = bits;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_EXEC;
    header.e_machine = EM_X86_64;
    header.e_phoff = sizeof header;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 1;
    Elf64_Phdr one{};
    one.p_type = segment;
    std::string content(reinterpret_cast<const char*>(&header), sizeof header);
    content.append(reinterpret_cast<const char*>(&one), sizeof one);
    return file(name, content.append(64, '\0'));
  }
  std::string dir_;
};

using HandOverTest = Scratch;
using ProgramTest = Scratch;

TEST_F(HandOverTest, TellsTheHookEverything) {
  HandOver hand_over;
  hand_over.socket = "/run/mino/minod.sock";
  EXPECT_EQ(hand_over.text(false),
            "v=1;sock=/run/mino/"
            "minod.sock;hook=auto;windows=1;arena=0;trace=-1;families=2,10,17,16,29,15,24;"
            "netlinks=0,4,6,10,12,16;paths=/proc/net:/proc/self/net:/proc/thread-self/net:"
            "/proc/sys/net:/sys/class/net;orig=0;instance=0;netns=0;load=0;rest=32768");
  hand_over.hook = "sud";
  hand_over.windows = false;
  hand_over.arena_bytes = 4096;
  hand_over.trace_fd = 900;
  hand_over.rest_after = 0;
  hand_over.policy.families = {"inet"};
  hand_over.policy.paths = {"/srv/data", "/proc/net"};
  EXPECT_EQ(hand_over.text(true),
            "v=1;sock=/run/mino/minod.sock;hook=sud;windows=0;arena=4096;trace=900;families=2;"
            "netlinks=;paths=/proc/net:/proc/self/net:/proc/thread-self/net:/proc/sys/net:"
            "/sys/class/net:/srv/data;orig=1;instance=0;netns=0;load=0;rest=0");
  hand_over.policy.families = {};
  EXPECT_EQ(hand_over.text(true),
            "v=1;sock=/run/mino/minod.sock;hook=sud;windows=0;arena=4096;trace=900;families=;"
            "netlinks=;paths=/srv/data:/proc/net;orig=1;instance=0;netns=0;load=0;rest=0");
}

TEST_F(HandOverTest, PreloadKeepsTheUsersLibraries) {
  const std::string library = file("libminoc.so", "");
  EXPECT_EQ(preload_value(library, nullptr).value(), library);
  EXPECT_EQ(preload_value(library, "").value(), library);
  EXPECT_EQ(preload_value(library, "/a.so:/b.so").value(), library + ":/a.so:/b.so");
  EXPECT_FALSE(preload_value(dir_ + "/none.so", nullptr));
  EXPECT_FALSE(preload_value(file("lib mino.so", ""), nullptr)) << "the loader splits at blanks";
  ASSERT_EQ(::chmod(library.c_str(), 0644), 0);
  EXPECT_NE(preload_value(library, nullptr).error().text.find("chmod 755"), std::string::npos);
}

TEST_F(ProgramTest, IsFoundAsExecvpDoes) {
  const std::string tool = file("tool", "#!/bin/sh\n");
  file("data", "x", 0644);
  ::setenv("PATH", ("/nonexistent:" + dir_).c_str(), 1);
  EXPECT_EQ(find_program("tool").path, tool);
  EXPECT_EQ(find_program(tool).path, tool);
  EXPECT_EQ(find_program("data").status, kNotExecutable);
  EXPECT_EQ(find_program("none").status, kNotFound);
  EXPECT_EQ(find_program("none").problem, "none: not found in PATH");
  EXPECT_EQ(find_program(dir_).status, kNotExecutable);
  EXPECT_EQ(find_program(dir_ + "/none").status, kNotFound);
  EXPECT_EQ(find_program("").status, kNotFound);
}

TEST_F(ProgramTest, SaysWhatWillNotBeOffloaded) {
  EXPECT_EQ(obstacle(elf("dynamic", PT_INTERP), "auto"), "");
  EXPECT_EQ(obstacle(elf("static", PT_LOAD), "auto"), "") << "libminoc.so loads it";
  EXPECT_NE(obstacle(elf("static", PT_LOAD), "patch").find("is statically linked"),
            std::string::npos);
  EXPECT_NE(obstacle(elf("narrow", PT_INTERP, ELFCLASS32), "auto").find("is not an x86-64 program"),
            std::string::npos);
  EXPECT_EQ(obstacle("/bin/sh", "auto"), "");
  EXPECT_EQ(obstacle(dir_ + "/none", "auto"), "");
  EXPECT_EQ(obstacle(file("text", "echo"), "auto"), "") << "the shell reads it";
}

TEST_F(ProgramTest, ScriptsAreTheirInterpreters) {
  const std::string interpreter = elf("static", PT_LOAD);
  EXPECT_NE(obstacle(file("script", "#! " + interpreter + " -x\n"), "patch").find("statically"),
            std::string::npos);
  EXPECT_EQ(obstacle(file("shell", "#!/bin/sh\n"), "auto"), "");
  const std::string loop = dir_ + "/loop";
  EXPECT_EQ(obstacle(file("loop", "#!" + loop + "\n"), "auto"), "") << "and ends";
}

TEST_F(ProgramTest, SetUidMattersWhenItChangesSomething) {
  const std::string program = elf("set-uid", PT_INTERP);
  ::chmod(program.c_str(), 04755);
  EXPECT_EQ(obstacle(program, "auto"), "") << "the owner gains nothing";
  if (::getuid() != 0 || ::chown(program.c_str(), 1, 1) != 0) GTEST_SKIP() << "needs root";
  ::chmod(program.c_str(), 04755);
  EXPECT_NE(obstacle(program, "auto").find("changes its privileges"), std::string::npos);
}

}  // namespace
}  // namespace mino
