// SPDX-License-Identifier: Apache-2.0
//
// Tests the text form of warm sites, and the search for byte pairs (hook/catch/site.h).
#include "hook/catch/warm.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "hook/catch/site.h"

namespace mino::hook {
namespace {

WarmSites example() {
  WarmSites sites{};
  for (u32 i = 0; i < kBuildIdBytes; i++) sites.build_id[i] = static_cast<u8>(17 * i + 3);
  sites.add({0xfd102, 0, -12});
  sites.add({0x3c11d, 5, 0});
  sites.add({0xf82ea, 6, 0});
  sites.add({0xf82ab, 0, 120});
  return sites;
}

std::string text_of(const WarmSites& sites) {
  std::string text(kWarmTextBytes, '?');
  text.resize(static_cast<size_t>(print_warm_sites(text.data(), sites) - text.data()));
  return text;
}

TEST(WarmSites, AreReadAsTheyWereWritten) {
  const WarmSites sites = example();
  WarmSites read{};
  parse_warm_sites((text_of(sites) + ";x=/bin/true").c_str(), read);
  ASSERT_EQ(read.count, 4u);
  EXPECT_TRUE(read.are_of(sites.build_id));
  for (u32 i = 0; i < read.count; i++) {
    EXPECT_EQ(read.sites[i].offset, sites.sites[i].offset);
    EXPECT_EQ(read.sites[i].head, sites.sites[i].head);
    EXPECT_EQ(read.sites[i].islet, sites.sites[i].islet);
    if (i > 0) {
      EXPECT_LT(read.sites[i - 1].offset, read.sites[i].offset);
    }
  }
  u8 other[kBuildIdBytes] = {};
  EXPECT_FALSE(read.are_of(other));
}

TEST(WarmSites, FullListFitsItsText) {
  WarmSites sites{};
  for (u32 i = 0; i < 2 * WarmSites::kMost; i++) sites.add({0xfffffff - i, 0, -128});
  EXPECT_EQ(sites.count, u32{WarmSites::kMost});
  EXPECT_LE(text_of(sites).size(), kWarmTextBytes);
}

TEST(WarmSites, OffsetsThatDoNotFitAreLeftOut) {
  WarmSites sites{};
  sites.add({WarmSites::kEnd + 0x1234, 5, 0});
  sites.add({WarmSites::kEnd - 1, 5, 0});
  ASSERT_EQ(sites.count, 1u);
  WarmSites read{};
  parse_warm_sites(text_of(sites).c_str(), read);
  ASSERT_EQ(read.count, 1u);
  EXPECT_EQ(read.sites[0].offset, WarmSites::kEnd - 1);
}

TEST(WarmSites, AnythingElseIsNone) {
  const std::string good = text_of(example());
  for (const std::string& bad :
       {std::string(), good.substr(0, 39), "x" + good, good + ",12", good + ",+05",
        good + ",0012345+0a", good + ",0012345+100", good + ",123456789+05", good + "!"}) {
    WarmSites read = example();
    parse_warm_sites(bad.c_str(), read);
    EXPECT_EQ(read.count, 0u) << bad;
  }
}

TEST(NextSyscall, FindsWhatALoopOverBytesFinds) {
  std::mt19937 random(1);
  std::vector<u8> text(4099);
  for (u8& byte : text) {
    const u8 likely[] = {0x0f, 0x05, 0x04, 0x06, 0x85, static_cast<u8>(random())};
    byte = likely[random() % 6];
  }
  for (const size_t begin : {0, 1, 2, 3, 4, 5, 6, 7, 8}) {
    for (const size_t end :
         {text.size(), text.size() - 1, text.size() - 5, begin, begin + 1, begin + 9}) {
      std::vector<size_t> expected, found;
      for (size_t i = begin; i + 1 < end; i++) {
        if (text[i] == 0x0f && text[i + 1] == 0x05) expected.push_back(i);
      }
      const u8* const last = text.data() + end;
      for (const u8* p = text.data() + begin; (p = next_syscall(p, last)) < last; p += 2)
        found.push_back(static_cast<size_t>(p - text.data()));
      EXPECT_EQ(found, expected) << begin << " to " << end;
    }
  }
}

TEST(NextPair, FindsAllOfSeveral) {
  std::mt19937 random(2);
  std::vector<u8> text(4099);
  for (u8& byte : text) {
    const u8 likely[] = {0x0f, 0x05, 0x34, 0xcd, 0x80, 0x10, 0x0e, static_cast<u8>(random())};
    byte = likely[random() % 8];
  }
  std::vector<size_t> expected, found;
  for (size_t i = 0; i + 1 < text.size(); i++) {
    const int pair = text[i] | text[i + 1] << 8;
    if (pair == 0x050f || pair == 0x340f || pair == 0x80cd) expected.push_back(i);
  }
  const u8* const end = text.data() + text.size();
  for (const u8* p = text.data(); (p = next_pair<0x050f, 0x340f, 0x80cd>(p, end)) < end; p++)
    found.push_back(static_cast<size_t>(p - text.data()));
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace mino::hook
