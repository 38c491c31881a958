// SPDX-License-Identifier: Apache-2.0
#include "daemon/instance_limits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace mino {
namespace {

ReadSysctl host(std::map<std::string, std::string> values) {
  return [values](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    if (found == values.end()) return {};
    return found->second;
  };
}

bool has(const std::vector<std::string>& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

TEST(InstanceLimits, AreThoseOfTheHost) {
  const auto limits = instance_limits(512,
                                      host({{"net.core.rmem_max", "4194304"},
                                            {"net.ipv4.tcp_rmem", "4096\t131072\t33554432"},
                                            {"net.ipv4.tcp_max_tw_buckets", "131072"},
                                            {"net.netfilter.nf_conntrack_max", "262144"}}),
                                      {});
  EXPECT_TRUE(has(limits.sysctls, "net.core.rmem_max=4194304"));
  EXPECT_TRUE(has(limits.sysctls, "net.ipv4.tcp_rmem=4096 131072 33554432"));
  EXPECT_TRUE(has(limits.sysctls, "net.ipv4.tcp_max_tw_buckets=131072"));
  EXPECT_TRUE(has(limits.sysctls, "net.netfilter.nf_conntrack_max=262144"));
  EXPECT_TRUE(has(limits.sysctls, "net.ipv4.tcp_mem=8192 10922 16384"));
}

TEST(InstanceLimits, AreWhatItsMemoryCarries) {
  const auto limits = instance_limits(64,
                                      host({{"net.core.rmem_max", "1073741824"},
                                            {"net.ipv4.tcp_rmem", "4096 131072 33554432"},
                                            {"net.ipv4.tcp_max_tw_buckets", "1000000"},
                                            {"net.ipv4.tcp_max_orphans", "1000000"},
                                            {"fs.file-max", "9223372036854775807"}}),
                                      {});
  EXPECT_TRUE(has(limits.sysctls, "net.core.rmem_max=8388608"));
  EXPECT_TRUE(has(limits.sysctls, "net.ipv4.tcp_rmem=4096 131072 8388608"));
  EXPECT_TRUE(has(limits.sysctls, "net.ipv4.tcp_max_tw_buckets=16384"));
  EXPECT_TRUE(has(limits.sysctls, "net.netfilter.nf_conntrack_max=32768"));
  EXPECT_TRUE(has(limits.sysctls, "net.ipv4.tcp_max_orphans=4096"));
  EXPECT_TRUE(has(limits.sysctls, "fs.file-max=6400"));
  EXPECT_TRUE(has(limits.parameters, "thash_entries=32768"));
}

TEST(InstanceLimits, WhatTheHostDoesNotHaveStaysTheKernelsOwn) {
  const auto limits = instance_limits(100, host({{"net.core.somaxconn", "many"}}), {});
  EXPECT_EQ(limits.sysctls, (std::vector<std::string>{"net.netfilter.nf_conntrack_max=51200",
                                                      "net.ipv4.tcp_mem=1600 2133 3200",
                                                      "net.ipv4.udp_mem=1600 2133 3200"}));
  EXPECT_TRUE(has(limits.parameters, "nf_conntrack.hashsize=8192"));
  EXPECT_TRUE(has(limits.parameters, "thash_entries=32768"));
}

TEST(InstanceLimits, TheConfigurationsOwnWin) {
  const auto limits = instance_limits(512, host({}), {"net.ipv4.tcp_mem=1 2 3"});
  EXPECT_EQ(limits.sysctls.back(), "net.ipv4.tcp_mem=1 2 3");
}

TEST(InstanceLimits, MistakesInAnAssignment) {
  EXPECT_EQ(sysctl_mistake("net.ipv4.tcp_rmem=4096 131072 1000000"), "");
  EXPECT_EQ(sysctl_mistake("net/ipv4/conf/eth0.5/rp_filter=0"), "");
  EXPECT_NE(sysctl_mistake("net.core.somaxconn"), "");
  EXPECT_NE(sysctl_mistake("=1"), "");
  EXPECT_NE(sysctl_mistake("net.core somaxconn=1"), "");
  EXPECT_NE(sysctl_mistake("../self/oom_score_adj=1"), "");
  EXPECT_NE(sysctl_mistake("net.core.somaxconn=1;net.core.rmem_max=2"), "");
  EXPECT_NE(sysctl_mistake("net.core.somaxconn=\"1\""), "");
}

}  // namespace
}  // namespace mino
