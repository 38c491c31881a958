// SPDX-License-Identifier: Apache-2.0
//
// The constants that hook/base/uapi.h defines itself have the values that libc gives them.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <set>
#include <string>

#include "hook/base/uapi_values.h"

namespace mino::hook {

namespace {

constexpr NamedValue kOfLibc[] = {
#include "hook/uapi_names.inc"  // generated from hook/base/uapi.h
};

// Names that libc does not have. Those from PR_SET_MDWE on are in the libc of newer systems.
const std::set<std::string> kOnlyOurs = {"ST_VALID",
                                         "MAX_RW_COUNT",
                                         "MAX_ARG_STRLEN",
                                         "SA_RESTORER",
                                         "SS_AUTODISARM",
                                         "SHM_EXEC",
                                         "SIOCIWFIRST",
                                         "SIOCIWLAST",
                                         "NL802154_ATTR_PID",
                                         "NL802154_ATTR_NETNS_FD",
                                         "PR_SET_MDWE",
                                         "__NR_fchmodat2",
                                         "PR_GET_MDWE",
                                         "BPF_TOKEN_CREATE",
                                         "PROCMAP_QUERY",
                                         "PROCMAP_QUERY_VMA_READABLE",
                                         "PROCMAP_QUERY_VMA_EXECUTABLE",
                                         "PROCMAP_QUERY_COVERING_OR_NEXT_VMA"};

TEST(Uapi, IsWhatLibcSays) {
  const auto ours = uapi_values();
  ASSERT_EQ(ours.size(), std::size(kOfLibc));
  ASSERT_GE(ours.size(), 40u) << "the build has found too few definitions in hook/base/uapi.h";
  for (size_t i = 0; i < ours.size(); i++) {
    const std::string name = ours[i].name;
    ASSERT_EQ(name, kOfLibc[i].name);
    // Newer headers have some as enumerators, which #ifdef does not see.
    if (!kOnlyOurs.contains(name)) {
      EXPECT_NE(ours[i].value, kAbsent) << name;
    }
    if (kOfLibc[i].value == kAbsent) {
      EXPECT_TRUE(kOnlyOurs.contains(name)) << name << " is unknown to the headers of this test";
    } else {
      EXPECT_EQ(ours[i].value, kOfLibc[i].value) << name;
    }
  }
}

}  // namespace

}  // namespace mino::hook
