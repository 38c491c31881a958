// SPDX-License-Identifier: Apache-2.0
#include "daemon/status.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/text.h"
#include "daemon/resolvers.h"

namespace mino {
namespace {

TEST(Status, CountsTcpAndUdpSockets) {
  EXPECT_EQ(count_sockets("sockets: used 57\n"
                          "TCP: inuse 3 orphan 0 tw 1 alloc 5 mem 2\n"
                          "UDP: inuse 2 mem 0\n"
                          "UDPLITE: inuse 9\n"
                          "RAW: inuse 9\n"),
            5);
  EXPECT_EQ(count_sockets("TCP6: inuse 1\nUDP6: inuse 4\n"), 5);
  EXPECT_EQ(count_sockets(""), 0);
  EXPECT_EQ(count_sockets("TCP: inuse"), 0);
}

TEST(Status, MemoryOfAProcess) {
  EXPECT_GT(process_memory(::getpid()), 100 << 10);
  EXPECT_EQ(process_memory(-1), 0);
}

TEST(Status, NamesThatPeersChoose) {
  EXPECT_EQ(printable(std::string_view("curl\0junk", 9)), "curl");
  EXPECT_EQ(printable("a\x1b[31m\xff"), "a?[31m?");
}

TEST(Resolvers, LoopbackServersOnly) {
  using List = std::vector<std::string>;
  EXPECT_EQ(loopback_resolvers("nameserver 127.0.0.53\noptions edns0\nnameserver 9.9.9.9\n"),
            List{"127.0.0.53"});
  EXPECT_EQ(loopback_resolvers("  nameserver\t::1 # mine\n"), List{"::1"});
  EXPECT_EQ(loopback_resolvers("nameserver 10.0.0.1\n"), List{});
  EXPECT_EQ(loopback_resolvers("#nameserver 10.0.0.1\n"), List{"127.0.0.1"})
      << "none named: the local one";
  EXPECT_EQ(loopback_resolvers("nameserver 127.0.0.1\nnameserver 127.0.0.1\n"), List{"127.0.0.1"});
  EXPECT_EQ(
      loopback_resolvers(
          "nameserver 1.1.1.1\nnameserver 1.1.1.2\nnameserver 1.1.1.3\nnameserver 127.0.0.1\n"),
      List{})
      << "the resolver takes three";
  EXPECT_EQ(loopback_resolvers("nameserverx 127.0.0.1\nnameserver nonsense\n"), List{});
}

}  // namespace
}  // namespace mino
