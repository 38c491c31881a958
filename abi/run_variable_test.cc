// SPDX-License-Identifier: Apache-2.0
//
// MINO_RUN: what is written can be read, and what the reader makes of anything else.
#include "abi/run_variable.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace mino::abi {
namespace {

using enum RunName;
using Writer = RunWriter<std::string>;

std::vector<RunField> fields_of(const char* text) {
  std::vector<RunField> all;
  RunReader reader(text);
  for (RunField field; reader.next(field);) all.push_back(field);
  return all;
}

std::string text_of(const RunField& field) {
  return std::string(field.text, field.bytes);
}

// The only field of a text, which must stay where it is.
RunField only(const char* text) {
  const std::vector<RunField> all = fields_of(text);
  EXPECT_EQ(all.size(), 1u) << text;
  return all.at(0);
}

std::string copied(const char* text, size_t room = 100) {
  std::string to(room, '?');
  only(text).copy(to.data(), room);
  return to.c_str();
}

std::vector<std::string> paths_of(const char* text, size_t room = 100) {
  std::string to(room + 1, '?');
  const uint32_t count = only(text).paths(to.data(), room);
  EXPECT_EQ(to[room], '?') << "beyond its room";
  std::vector<std::string> paths;
  const char* at = to.data();
  for (uint32_t i = 0; i < count; i++, at += std::strlen(at) + 1) paths.emplace_back(at);
  return paths;
}

TEST(RunVariable, NamesAreDistinctAndFound) {
  std::set<std::string> names;
  for (size_t i = 0; i < static_cast<size_t>(kUnknown); i++) {
    EXPECT_TRUE(names.insert(kRunNames[i]).second) << kRunNames[i];
    const std::string text = std::string(kRunNames[i]) + "=1";
    EXPECT_EQ(only(text.c_str()).name, static_cast<RunName>(i)) << text;
  }
  EXPECT_EQ(std::string(kRunPrefix), std::string(kRunVariable) + "=");
}

// Every name means what the table says.
TEST(RunVariable, EveryFieldComesBack) {
  std::string text;
  Writer to(text, Writer::Start::kEmpty);
  to.number(kVersion, kRunVersion);
  to.text(kSocket, "/run/mino/minod.sock");
  to.text(kHook, "sud");
  to.flag(kWindows, true);
  to.number(kArena, 65536);
  to.descriptor(kTrace, 900);
  to.set(kFamilies, std::vector<int>{2, 10, 16});
  to.set(kNetlinks, std::vector<int>{});
  to.paths(kPaths, std::vector<std::string>{"/proc/net", "/srv/data"});
  to.flag(kUserPreload, true);
  to.number(kInstance, 3);
  to.flag(kNetns, false);
  to.flag(kLoadAll, true);
  to.number(kRestAfter, 32768);
  to.number(kSession, 1022);
  to.number(kPlaceholder, 1023);
  to.number(kBroken, 1024);
  to.flag(kCredentialsChanged, true);
  to.number(kHome, UINT64_MAX);
  to.number(kFilters, 0);
  to.flag(kLinks, false);
  to.flag(kDirectory, true);
  to.name(kWarmSites);
  text += "0123,0000010+5";
  to.text(kProgram, "/bin/a;r=5;x=b");
  EXPECT_EQ(text,
            "v=1;sock=/run/mino/minod.sock;hook=sud;windows=1;arena=65536;trace=900;"
            "families=2,10,16;netlinks=;paths=/proc/net:/srv/data;orig=1;instance=3;netns=0;load=1;"
            "rest=32768;s=1022;p=1023;b=1024;c=1;r=18446744073709551615;f=0;l=0;d=1;"
            "k=0123,0000010+5;x=/bin/a;r=5;x=b");

  std::map<RunName, RunField> got;
  std::string handed_on;
  for (const RunField& field : fields_of(text.c_str())) {
    EXPECT_TRUE(got.emplace(field.name, field).second) << text_of(field);
    if (field.is_handed_on()) handed_on += text_of(field) + ";";
  }
  ASSERT_EQ(got.size(), static_cast<size_t>(kUnknown));
  EXPECT_EQ(handed_on, text.substr(0, text.find("s=1022")));
  const auto copy = [&got](RunName name) {
    char to[100];
    got[name].copy(to, sizeof to);
    return std::string(to);
  };
  EXPECT_EQ(got[kVersion].number(), kRunVersion);
  EXPECT_EQ(copy(kSocket), "/run/mino/minod.sock");
  EXPECT_TRUE(got[kHook].begins("sud"));
  EXPECT_FALSE(got[kHook].begins("preload"));
  EXPECT_TRUE(got[kWindows].flag(false));
  EXPECT_EQ(got[kArena].number(), 65536u);
  EXPECT_EQ(got[kTrace].descriptor(), 900);
  EXPECT_EQ(got[kFamilies].set(), 1u << 2 | 1u << 10 | 1u << 16);
  EXPECT_EQ(got[kNetlinks].set(), 0u);
  char paths[100];
  ASSERT_EQ(got[kPaths].paths(paths, sizeof paths), 2u);
  EXPECT_EQ(std::memcmp(paths, "/proc/net\0/srv/data", 20), 0);
  EXPECT_TRUE(got[kUserPreload].flag(false));
  EXPECT_EQ(got[kInstance].number(), 3u);
  EXPECT_FALSE(got[kNetns].flag(true));
  EXPECT_TRUE(got[kLoadAll].flag(false));
  EXPECT_EQ(got[kRestAfter].number(), 32768u);
  EXPECT_EQ(got[kSession].number(), 1022u);
  EXPECT_EQ(got[kPlaceholder].number(), 1023u);
  EXPECT_EQ(got[kBroken].number(), 1024u);
  EXPECT_TRUE(got[kCredentialsChanged].flag(false));
  EXPECT_EQ(got[kHome].number(), UINT64_MAX);
  EXPECT_EQ(got[kFilters].number(), 0u);
  EXPECT_FALSE(got[kLinks].flag(true));
  EXPECT_TRUE(got[kDirectory].flag(false));
  EXPECT_EQ(copy(kWarmSites), "0123,0000010+5");
  EXPECT_EQ(copy(kProgram), "/bin/a;r=5;x=b");
}

TEST(RunVariable, WritesBehindWhatIsThere) {
  std::string text = "v=1";
  Writer(text, Writer::Start::kAfterOthers).descriptor(kTrace, -7);
  EXPECT_EQ(text, "v=1;trace=-1");
  EXPECT_EQ(only("trace=-1").descriptor(), -1);
}

TEST(RunVariable, WhatIsNoFieldIsHandedOn) {
  EXPECT_TRUE(fields_of("").empty());
  std::string seen;
  for (const RunField& field :
       fields_of("later=1;;windows;x;=2;sockets=/a;soc=/b;sock =/c;V=1;ss=3; s=4;f;")) {
    EXPECT_EQ(field.name, kUnknown) << text_of(field);
    EXPECT_TRUE(field.is_handed_on());
    seen += text_of(field) + "|";
  }
  EXPECT_EQ(seen, "later=1||windows|x|=2|sockets=/a|soc=/b|sock =/c|V=1|ss=3| s=4|f|");
}

TEST(RunVariable, NothingFollowsTheProgram) {
  const std::vector<RunField> all = fields_of("v=1;x=;v=2");
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(text_of(all[1]), "x=;v=2");
  EXPECT_FALSE(all[1].is_handed_on());
}

TEST(RunVariable, NumbersEndWithTheirDigits) {
  EXPECT_EQ(only("v=").number(), 0u);
  EXPECT_EQ(only("v=one").number(), 0u);
  EXPECT_EQ(only("v=-1").number(), 0u);
  EXPECT_EQ(only("v= 1").number(), 0u);
  EXPECT_EQ(only("v=01").number(), 1u);
  EXPECT_EQ(only("v=12x3").number(), 12u);
  EXPECT_EQ(only("v=18446744073709551617").number(), 1u) << "wraps";
  EXPECT_EQ(only("trace=").descriptor(), 0);
  EXPECT_EQ(only("trace=-").descriptor(), -1);
  EXPECT_EQ(only("trace=5-").descriptor(), 5);
}

TEST(RunVariable, FlagsOfAnotherValueAreAsIfLeftOut) {
  for (const bool otherwise : {false, true}) {
    EXPECT_TRUE(only("load=1").flag(otherwise));
    EXPECT_TRUE(only("load=10").flag(otherwise));
    EXPECT_FALSE(only("load=0").flag(otherwise));
    for (const char* text : {"load=", "load=2", "load=yes"})
      EXPECT_EQ(only(text).flag(otherwise), otherwise) << text;
  }
}

TEST(RunVariable, SetsHoldWhatFitsInOne) {
  EXPECT_EQ(only("families=0,31").set(), 1u | 1u << 31);
  EXPECT_EQ(only("families=32,4294967298,2").set(), 1u << 2);
  EXPECT_EQ(only("families=2,,10").set(), 1u << 2) << "ends where no number is";
  EXPECT_EQ(only("families=,2").set(), 0u);
  EXPECT_EQ(only("families=2 10").set(), 1u << 2);
  EXPECT_EQ(only("families=2,").set(), 1u << 2);
}

TEST(RunVariable, TextsAreCutWhereTheRoomEnds) {
  EXPECT_EQ(copied("sock="), "");
  EXPECT_EQ(copied("sock=/a=b"), "/a=b");
  EXPECT_EQ(copied("sock=12345", 6), "12345");
  EXPECT_EQ(copied("sock=12345", 5), "1234");
  EXPECT_EQ(copied("x=a;b", 4), "a;b");
}

using Paths = std::vector<std::string>;

TEST(RunVariable, PrefixesLoseTheSlashAtTheirEnd) {
  EXPECT_EQ(paths_of("paths="), Paths());
  EXPECT_EQ(paths_of("paths=/a/:/b"), (Paths{"/a", "/b"}));
  EXPECT_EQ(paths_of("paths=/a::/b:"), (Paths{"/a", "/b"}));
  EXPECT_EQ(paths_of("paths=/"), Paths{""});
  EXPECT_EQ(paths_of("paths=:/a"), (Paths{"", "/a"}));
  EXPECT_EQ(paths_of("paths=/a//"), Paths{"/a/"}) << "one of them";
}

TEST(RunVariable, PrefixesEndWhereTheRoomDoes) {
  EXPECT_EQ(paths_of("paths=/abc:/d", 6), Paths{"/abc"});
  EXPECT_EQ(paths_of("paths=/abc:/d", 5), Paths{"/ab"});
  EXPECT_EQ(paths_of("paths=/abc:/d", 9), (Paths{"/abc", "/d"}));
}

// The hook has no libc: the reader and the writer must do without anything that is not constexpr.
static_assert([] {
  struct {
    char text[16]{};
    size_t n = 0;
    constexpr void push_back(char c) { text[n++] = c; }
  } out;
  RunWriter to(out, RunWriter<decltype(out)>::Start::kEmpty);
  to.number(kArena, 42);
  RunReader reader(out.text);
  RunField field{};
  return reader.next(field) && field.name == kArena && field.number() == 42 && !reader.next(field);
}());

}  // namespace
}  // namespace mino::abi
