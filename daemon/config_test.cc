// SPDX-License-Identifier: Apache-2.0
#include "daemon/config.h"

#include <gtest/gtest.h>

namespace mino {
namespace {

std::string mistake(std::string_view text) {
  const auto config = read_config(text, "minod.toml");
  return config ? "no mistake" : config.error().text;
}

TEST(Config, EveryKeyIsOptional) {
  const auto config = read_config("", "minod.toml");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->engine, "native");
  EXPECT_FALSE(config->uplink);
  EXPECT_TRUE(config->nat && config->dns_relay);
  EXPECT_EQ(config->policy.families.size(), 7u);
}

TEST(Config, EveryKeyIsRead) {
  const auto config = read_config(R"(
run_dir = "/run/other"
engine = "native"
[uplink]
interface = "eth1"
address = "10.1.2.6/29"
gateway = "10.1.2.1"
nat = false
mtu = 9000
[limits]
sessions = 7
sessions_per_user = 3
arena_bytes = 65536
lanes = 16
[dns]
relay = false
[policy]
families = ["inet"]
paths = ["/srv/data"]
[log]
level = "debug"
)",
                                  "minod.toml");
  ASSERT_TRUE(config) << config.error().text;
  EXPECT_EQ(config->run_dir, "/run/other");
  EXPECT_EQ(config->uplink->device.text(), "10.1.2.6/29");
  EXPECT_EQ(ipv4_text(config->uplink->gateway), "10.1.2.1");
  EXPECT_EQ(config->interface, "eth1");
  EXPECT_EQ(config->mtu, 9000);
  EXPECT_EQ(config->sessions, 7);
  EXPECT_EQ(config->most_per_user(), 3);
  EXPECT_EQ(config->arena_bytes, 65536);
  EXPECT_EQ(config->lanes, 16);
  EXPECT_FALSE(config->nat || config->dns_relay);
  EXPECT_EQ(config->policy.families, std::vector<std::string>{"inet"});
  EXPECT_EQ(config->policy.paths, std::vector<std::string>{"/srv/data"});
  EXPECT_EQ(config->log_level, "debug");
}

TEST(Config, OneUserDoesNotGetAllSessions) {
  const auto most = [](std::string_view text) {
    return read_config(text, "minod.toml")->most_per_user();
  };
  EXPECT_EQ(most(""), 224);
  EXPECT_EQ(most("engine = \"linux\""), 111);
  EXPECT_EQ(most("engine = \"linux\"\n[linux]\ninstances = 16"), 224);
  EXPECT_EQ(most("[limits]\nsessions = 1"), 1);
}

TEST(Config, MistakesNameFileLineColumnAndRemedy) {
  EXPECT_EQ(mistake("engin = \"native\""),
            "minod.toml:1:1: unknown key engin; did you mean engine?");
  EXPECT_EQ(mistake("\n[uplink]\n  adress = \"auto\""),
            "minod.toml:3:3: unknown key uplink.adress; did you mean uplink.address?");
  EXPECT_EQ(mistake("[dns]\nzebra = 1"),
            "minod.toml:2:1: unknown key dns.zebra; known here: relay");
  EXPECT_EQ(mistake("engine = \"linus\""),
            "minod.toml:1:10: engine: \"linus\": no such engine; use native or linux");
  EXPECT_EQ(mistake("[linux]\nmemory_mib = 1"),
            "minod.toml:2:14: linux.memory_mib: must be a whole number from 64 to 65536");
  EXPECT_EQ(mistake("[linux]\nkernel = \"linux\""),
            "minod.toml:2:10: linux.kernel: \"linux\": must be an absolute path");
  EXPECT_EQ(mistake("engine = 3"), "minod.toml:1:10: engine: must be a string in quotes");
  EXPECT_EQ(mistake("uplink = 3"),
            "minod.toml:1:10: uplink: must be a table: write [uplink] and its keys below");
  EXPECT_EQ(mistake("[limits]\nsessions = 0"),
            "minod.toml:2:12: limits.sessions: must be a whole number from 1 to 1024");
  EXPECT_EQ(mistake("[limits]\nsessions = \"many\""),
            "minod.toml:2:12: limits.sessions: must be a whole number from 1 to 1024");
  EXPECT_EQ(mistake("[uplink]\nnat = \"no\""), "minod.toml:2:7: uplink.nat: must be true or false");
  EXPECT_EQ(mistake("[policy]\nfamilies = [\"inet\", \"unix\"]"),
            "minod.toml:2:21: policy.families: \"unix\": not an address family that can be "
            "offloaded; use inet, inet6, "
            "packet, netlink, can, key or pppox");
  EXPECT_EQ(mistake("[policy]\npaths = \"/x\""),
            "minod.toml:2:9: policy.paths: must be a list of strings, as [\"…\", \"…\"]");
  EXPECT_EQ(mistake("[policy]\npaths = [\"/\"]"),
            "minod.toml:2:10: policy.paths: \"/\": too wide: the program's own files must stay on "
            "the host; name a "
            "directory below it");
  EXPECT_EQ(mistake("[log]\nlevel = \"loud\""),
            "minod.toml:2:9: log.level: \"loud\": use trace, debug, info, warn, error or off");
}

TEST(Config, SysctlsOfTheInstance) {
  const auto config = read_config("[linux]\nsysctls = [\"net.core.somaxconn=8192\"]", "minod.toml");
  ASSERT_TRUE(config);
  EXPECT_EQ(config->sysctls, std::vector<std::string>{"net.core.somaxconn=8192"});
  EXPECT_EQ(mistake("[linux]\nsysctls = [\"net.core.somaxconn\"]"),
            "minod.toml:2:12: linux.sysctls: \"net.core.somaxconn\": write NAME=VALUE, as "
            "\"net.core.somaxconn=8192\"");
  EXPECT_EQ(mistake("[linux]\nsysctls = [\"a=" + std::string(1000, '1') + "\"]"),
            "minod.toml:2:11: linux.sysctls: too many; at most 1,000 bytes together");
}

TEST(Config, BadAddresses) {
  EXPECT_EQ(mistake("[uplink]\naddress = \"10.0.0.2\""),
            "minod.toml:2:11: uplink.address: \"10.0.0.2\": no prefix length; write an address "
            "with one, as "
            "\"10.213.0.2/30\", or \"auto\"");
  EXPECT_EQ(mistake("[uplink]\naddress = \"10.0.0.300/24\""),
            "minod.toml:2:11: uplink.address: \"10.0.0.300/24\": not an IPv4 address; write one as "
            "\"10.213.0.2/30\", or "
            "\"auto\"");
  EXPECT_EQ(mistake("[uplink]\naddress = \"10.0.0.2/30\"\ngateway = \"10.0.0.9\""),
            "minod.toml:3:11: uplink.gateway: gateway \"10.0.0.9\": not an address of 10.0.0.0/30, "
            "the device's network");
  EXPECT_EQ(mistake("[uplink]\ngateway = \"10.0.0.9\""),
            "minod.toml:2:11: uplink.gateway: set uplink.address as well; \"auto\" chooses both");
}

TEST(Config, NoToml) {
  EXPECT_EQ(mistake("engine = ").substr(0, 16), "minod.toml:1:10:");
  EXPECT_NE(mistake("[uplink\n").find("minod.toml:1:8:"), std::string::npos)
      << mistake("[uplink\n");
  EXPECT_EQ(read_config_file("/nonexistent").error().text,
            "/nonexistent: No such file or directory");
}

}  // namespace
}  // namespace mino
