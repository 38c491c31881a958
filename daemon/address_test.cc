// SPDX-License-Identifier: Apache-2.0
#include "daemon/address.h"

#include <gtest/gtest.h>

namespace mino {
namespace {

Ipv4Net net(const char* address, int prefix) {
  return {*parse_ipv4(address), prefix};
}

TEST(Address, GatewayIsTheFirstOtherAddress) {
  EXPECT_EQ(ipv4_text(parse_uplink("10.213.0.2/30", "")->gateway), "10.213.0.1");
  EXPECT_EQ(ipv4_text(parse_uplink("10.213.0.1/30", "")->gateway), "10.213.0.2");
  EXPECT_EQ(ipv4_text(parse_uplink("10.1.0.77/16", "")->gateway), "10.1.0.1");
}

TEST(Address, InstancesOnOneNetworkFollow) {
  const auto all = following_addresses(*parse_uplink("10.1.0.4/29", "10.1.0.5"), 2);
  ASSERT_TRUE(all);
  ASSERT_EQ(all->size(), 2u);
  EXPECT_EQ((*all)[0].device.text(), "10.1.0.4/29");
  EXPECT_EQ((*all)[1].device.text(), "10.1.0.6/29") << "not the gateway's";
  EXPECT_EQ(ipv4_text((*all)[1].gateway), "10.1.0.5");
  const auto none = following_addresses(*parse_uplink("10.1.0.4/29", "10.1.0.5"), 3);
  ASSERT_FALSE(none) << "10.1.0.7 is the broadcast address";
  EXPECT_NE(none.error().text.find("10.1.0.0/29 has no room for 3 instances"), std::string::npos);
}

TEST(Address, RefusesWhatNoInterfaceCanHave) {
  for (const char* bad : {"10.213.0.0/30", "10.213.0.3/30", "127.0.0.2/8", "224.0.0.1/24",
                          "0.0.0.2/30", "10.0.0.1/31", "10.0.0.1/33", "10.0.0.1/-1", "10.0.0.1/",
                          "10.0.0.1/3x", "fd00::1/64", "/30", "", "a/b/c"}) {
    EXPECT_FALSE(parse_uplink(bad, "")) << bad;
  }
}

TEST(Address, AutoTakesTheFirstFreeNetwork) {
  EXPECT_EQ(choose_uplink({})->device.text(), "10.213.0.2/30");
  EXPECT_EQ(choose_uplink({net("0.0.0.0", 0)})->device.text(), "10.213.0.2/30")
      << "default routes are everywhere";
  EXPECT_EQ(choose_uplink({net("10.213.0.0", 30), net("10.213.0.1", 32)})->device.text(),
            "10.213.0.6/30");
  EXPECT_EQ(choose_uplink({net("10.213.0.7", 32)})->device.text(), "10.213.0.2/30");
  EXPECT_EQ(choose_uplink({net("10.213.0.0", 17)})->device.text(), "10.213.128.2/30");
  EXPECT_EQ(ipv4_text(choose_uplink({})->gateway), "10.213.0.1");
}

TEST(Address, AutoAvoidsPrivateNetworksOfOthers) {
  EXPECT_EQ(choose_uplink({net("10.0.0.0", 8)})->device.text(), "172.29.213.2/30");
  EXPECT_EQ(choose_uplink({net("10.0.0.0", 8), net("172.16.0.0", 12)})->device.text(),
            "192.168.213.2/30");
  const auto none =
      choose_uplink({net("10.0.0.0", 8), net("172.16.0.0", 12), net("192.168.0.0", 16)});
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().text.find("--address"), std::string::npos);
}

TEST(Address, CollisionsAreWithEqualOrLongerPrefixes) {
  const Ipv4Net wanted = net("10.213.0.2", 30);
  EXPECT_FALSE(collision(wanted, {net("0.0.0.0", 0), net("10.0.0.0", 8), net("10.213.0.4", 30)}));
  EXPECT_TRUE(collision(wanted, {net("10.213.0.0", 30)}));
  EXPECT_TRUE(collision(wanted, {net("10.213.0.2", 32)}));
}

}  // namespace
}  // namespace mino
