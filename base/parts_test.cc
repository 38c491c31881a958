// SPDX-License-Identifier: Apache-2.0
//
// Where find_part() looks for the parts of mino: beside the programs, and below a prefix.
#include "base/parts.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/install_dirs.h"

namespace mino {
namespace {

const std::string kPrograms = std::string("usr/") + kProgramDir,
                  kDaemons = std::string("usr/") + kDaemonDir,
                  kPrivate = std::string("usr/") + kPrivateDir,
                  kInstall = "`cmake --install BUILD --prefix ROOT/usr`";

class PartsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "parts.XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    root_ = name;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  // Makes an empty file of this name below the root, with its directories.
  std::string make(const std::string& name) {
    const std::string path = root_ + "/" + name;
    std::filesystem::create_directories(path.substr(0, path.rfind('/')));
    std::ofstream file(path);
    EXPECT_TRUE(file.good()) << path;
    return path;
  }

  // The path, or what the error says, with ROOT in place of the root's name.
  std::string found(Part part, const std::string& directory) {
    const auto path = find_part(part, root_ + "/" + directory);
    if (path) return *path;
    std::string text = path.error().text;
    for (size_t at; (at = text.find(root_)) != std::string::npos;)
      text.replace(at, root_.size(), "ROOT");
    return text;
  }

  std::string root_;
};

TEST_F(PartsTest, LieBesideEachOtherInTheBuildTree) {
  for (const auto& [part, name] : {std::pair{Part::kMino, "build/mino"},
                                   {Part::kMinod, "build/minod"},
                                   {Part::kHook, "build/libminoc.so"},
                                   {Part::kPreloadHook, "build/libminoc-preload.so"},
                                   {Part::kKernel, "build/kernel/linux"}}) {
    const std::string path = make(name);
    EXPECT_EQ(found(part, "build"), path);
  }
}

TEST_F(PartsTest, LieBelowAPrefixWhereTheyAreInstalled) {
  for (const auto& [part, name] : {std::pair{Part::kMino, kPrograms + "/mino"},
                                   {Part::kMinod, kDaemons + "/minod"},
                                   {Part::kHook, kPrivate + "/libminoc.so"},
                                   {Part::kPreloadHook, kPrivate + "/libminoc-preload.so"},
                                   {Part::kKernel, kPrivate + "/kernel/linux"}}) {
    const std::string path = make(name);
    EXPECT_EQ(found(part, kPrograms), path) << "from mino";
    EXPECT_EQ(found(part, kDaemons), path) << "from minod";
  }
}

TEST_F(PartsTest, WhatLiesBesideTheProgramWins) {
  const std::string planted = make(kPrivate + "/libminoc.so");
  EXPECT_EQ(found(Part::kHook, kPrograms), planted) << "as installed";
  const std::string beside = make(kPrograms + "/libminoc.so");
  EXPECT_EQ(found(Part::kHook, kPrograms), beside) << "a build folder whose name ends in bin";
}

TEST_F(PartsTest, NothingOutsideTheBuildTreeIsTaken) {
  make(std::string(kPrivateDir) + "/libminoc.so");
  make(std::string(kDaemonDir) + "/minod");
  EXPECT_EQ(found(Part::kHook, "build"),
            "libminoc.so is not there: looked for ROOT/build/libminoc.so; build it with "
            "`cmake --build ROOT/build --target minoc`");
  EXPECT_EQ(found(Part::kMinod, "build"),
            "minod is not there: looked for ROOT/build/minod; build it with "
            "`cmake --build ROOT/build --target minod`");
}

TEST_F(PartsTest, AMissingOneIsNamedWithThePlacesAndTheRemedy) {
  EXPECT_EQ(found(Part::kHook, kPrograms), "libminoc.so is not there: looked for ROOT/" +
                                               kPrograms + "/libminoc.so and ROOT/" + kPrivate +
                                               "/libminoc.so; install all of mino: " + kInstall);
  EXPECT_EQ(found(Part::kMino, kPrograms), "mino is not there: looked for ROOT/" + kPrograms +
                                               "/mino; install all of mino: " + kInstall);
  EXPECT_EQ(found(Part::kKernel, kDaemons),
            "kernel/linux is not there: looked for ROOT/" + kDaemons + "/kernel/linux and ROOT/" +
                kPrivate + "/kernel/linux; build it with `kernel/build.sh --output ROOT/" +
                kPrivate +
                "/kernel`, set linux.kernel in minod's configuration, or use --engine native");
  EXPECT_EQ(found(Part::kKernel, "build"),
            "kernel/linux is not there: looked for ROOT/build/kernel/linux; build it with "
            "`kernel/build.sh --output ROOT/build/kernel`, set linux.kernel in minod's "
            "configuration, or use --engine native");
}

TEST_F(PartsTest, OneThatCannotBeReachedIsNotMissing) {
  // Whoever opens it says what is wrong with it.
  ASSERT_EQ(::symlink("libminoc.so", (root_ + "/libminoc.so").c_str()), 0);
  EXPECT_EQ(find_part(Part::kHook, root_).value(), root_ + "/libminoc.so") << "ELOOP";
}

TEST_F(PartsTest, AreFoundFromTheExecutableThatAsks) {
  const auto path = find_part(Part::kKernel);
  const std::string said = path ? *path : path.error().text;
  char self[4096];
  const ssize_t n = ::readlink("/proc/self/exe", self, sizeof self);
  ASSERT_GT(n, 0);
  const std::string directory =
      std::filesystem::path(std::string(self, static_cast<size_t>(n))).parent_path();
  EXPECT_NE(said.find(directory + "/kernel/linux"), std::string::npos) << said;
}

}  // namespace
}  // namespace mino
